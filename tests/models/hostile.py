"""Pickles that run code where an unpickler would let them, each making a folder as a canary."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path


def text(value: str) -> bytes:
    """The opcode that pushes a string."""
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def code(canary: str) -> str:
    return f"__import__('os').mkdir({canary!r})"


class _Reduced:
    """Pickles as a call of ``function`` with ``arguments``."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.value = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.value


def reduced(module: str, name: str, *arguments: str) -> bytes:
    """A call, in opcodes of protocol 0 to 2."""
    pushed = b"".join(text(argument) for argument in arguments)
    return f"c{module}\n{name}\n".encode() + b"(" + pushed + b"tR"


def getattr_chain(canary: str) -> bytes:
    """getattr(__import__('os'), 'mkdir')(canary), from builtins alone."""
    module = reduced("builtins", "__import__", "os")
    return b"cbuiltins\ngetattr\n(" + module + text("mkdir") + b"tR(" + text(canary) + b"tR."


def nested(inner: bytes, depth: int = 20) -> bytes:
    """Deep inside lists and dictionaries."""
    return b"]" * depth + inner + b"a" * depth


def in_omegaconf(call: bytes) -> bytes:
    """As the state of an object of the one library whose names are let through."""
    made = b"comegaconf.dictconfig\nDictConfig\n)\x81"
    return made + b"}(" + text("_content") + call + b"ub."


def checkpoint(model: bytes = b"}", settings: bytes = b"}", optimizer: bytes = b"}") -> bytes:
    """The outline of an original checkpoint, with parts in opcodes."""
    return (
        b"\x80\x02}("
        + (text("model_dict") + model + text("optimizer_dict") + optimizer)
        + (text("encoder_params") + settings + b"u.")
    )


def call(canary: str) -> bytes:
    return reduced("posix", "mkdir", canary)


PAYLOADS: dict[str, Callable[[str], bytes]] = {
    "os.mkdir": lambda c: call(c) + b".",
    "os.system": lambda c: reduced("os", "system", f"mkdir '{c}'") + b".",
    "eval": lambda c: reduced("builtins", "eval", code(c)) + b".",
    "exec": lambda c: reduced("builtins", "exec", code(c)) + b".",
    "python 2's eval": lambda c: reduced("__builtin__", "eval", code(c)) + b".",
    "getattr": getattr_chain,
    "a reduced object": lambda c: pickle.dumps(_Reduced(eval, code(c)), 2),
    "protocol 4": lambda c: pickle.dumps(_Reduced(eval, code(c)), 4),
    "protocol 5": lambda c: pickle.dumps([{"a": _Reduced(eval, code(c))}], 5),
    "protocol 0": lambda c: pickle.dumps({"model_dict": _Reduced(eval, code(c))}, 0),
    "the opcode INST": lambda c: b"(" + text(c) + b"iposix\nmkdir\n.",
    "the opcode OBJ": lambda c: b"(cposix\nmkdir\n" + text(c) + b"o.",
    "NEWOBJ": lambda c: b"cfunctools\npartial\n(cposix\nmkdir\n" + text(c) + b"t\x81(tR.",
    "NEWOBJ_EX": lambda c: (
        b"\x80\x04cfunctools\npartial\n(cposix\nmkdir\n" + text(c) + b"t}\x92(tR."
    ),
    "subprocess": lambda c: b"csubprocess\ncheck_call\n((" + text("mkdir") + text(c) + b"ltR.",
    "operator": lambda c: (
        b"coperator\nmethodcaller\n("
        + text("mkdir")
        + text(c)
        + b"tR("
        + reduced("importlib", "import_module", "os")
        + b"tR."
    ),
    "pathlib": lambda c: (
        b"coperator\nmethodcaller\n("
        + text("mkdir")
        + b"tR("
        + reduced("pathlib", "Path", c)
        + b"tR."
    ),
    "a nested one": lambda c: nested(call(c)) + b".",
    "in the weights": lambda c: checkpoint(b"}(" + text("x") + call(c) + b"u"),
    "in the settings": lambda c: checkpoint(settings=b"}(" + text("x") + call(c) + b"u"),
    "in the optimizer": lambda c: checkpoint(optimizer=nested(call(c))),
    "popped": lambda c: call(c) + b"0" + checkpoint(),
    "as a key": lambda c: b"}" + call(c) + b"K\x01s.",
    "as the state of a dictionary": lambda c: (
        b"ccollections\nOrderedDict\n)R}(" + text("items") + call(c) + b"ub."
    ),
}

# Live only with the libraries that they name; refused all the same.
UNVERIFIED: dict[str, Callable[[str], bytes]] = {
    "in omegaconf": lambda c: in_omegaconf(call(c)),
    "omegaconf's own resolver": lambda c: in_omegaconf(reduced("builtins", "eval", code(c))),
    "torch.load": lambda c: reduced("torch", "load", c) + b".",
    "torch.hub": lambda c: reduced("torch.hub", "load", c) + b".",
    "numpy": lambda c: reduced("numpy.testing._private.utils", "runstring", code(c)) + b".",
    "an extension code": lambda c: b"\x80\x02\x82\x01" + b"(" + text(c) + b"tR.",
    "a dotted name": lambda c: b"\x80\x04" + text("typing") + text("sys.exit") + b"\x93)R.",
    "a persistent id": lambda c: b"(" + text("storage") + text("x") + text("../x") + b"tQ.",
}


def torch_file(path: Path, data: bytes, compression: int = zipfile.ZIP_STORED) -> Path:
    """A file of torch.save's zip format, around a pickle."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/byteorder", "little")
        archive.writestr("archive/version", "3\n")
    return path
