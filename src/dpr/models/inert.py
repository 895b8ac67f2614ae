"""PyTorch files read as data: the pickle inside is interpreted, and nothing in it is ever called.

Takes a file of ``torch.save`` (the zip format of PyTorch 1.6 and later), gives dictionaries, lists
and tensors yet to be read. Names of classes and functions become inert records; a name outside a
short list is refused. Needed because checkpoints of the original DPR code hold objects of a
configuration library (omegaconf), which ``torch.load(weights_only=True)`` refuses.

Knows nothing of what the file is for. No unpickler is involved: the opcodes are decoded by
``pickletools``, which only describes them, and acted on here (PEP 3154 and pickletools' notes).
"""

from __future__ import annotations

import pickletools
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from dpr.errors import CheckpointError

_LARGEST_PICKLE = 4 * 2**20  # bytes; that of a checkpoint with its optimizer takes 0.2 MB
_MOST_NODES = 100_000
_DEEPEST = 50

_STORAGES: dict[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
# What may be named. Naming has no effect: none of these is looked up, let alone called.
_TYPES = "int|long|float|bool|str|unicode|bytes|list|dict|tuple|set|frozenset|object|NoneType"
_ALLOWED = re.compile(
    r"omegaconf(\.\w+)*\.\w+|typing\.\w+|_?operator\.getitem|collections\.(OrderedDict|defaultdict)"
    rf"|(builtins|__builtin__)\.({_TYPES})|argparse\.Namespace|copy_?reg\._reconstructor"
    r"|torch\._utils\._rebuild_(tensor_v2|parameter)|torch\.(Size|device)"
    rf"|torch\.({'|'.join(_STORAGES)})|pathlib\.(Pure)?(Posix|Windows)?Path"
    r"|torch\.(float|bfloat|int|uint)(8|16|32|64)|_codecs\.encode"
)


@dataclass(eq=False, slots=True)
class Record:
    """An object that the file describes: what it names, with what arguments and state."""

    name: str
    arguments: Any = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class LazyTensor:
    """A tensor whose numbers are still in the file; ``read`` gives them."""

    path: Path
    entry: str
    dtype: torch.dtype
    numel: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    def read(self) -> Tensor:
        """The tensor.

        Raises:
            CheckpointError: the file is truncated or corrupt, or is not laid out as it claims.
        """
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))
        count = 1  # in whole numbers without limit: torch's would wrap around
        for n in self.shape:
            count *= n
        if count > self.numel or (count and last >= self.numel):
            raise CheckpointError(f"{self.path}: a tensor reaches beyond its data in {self.entry}")
        size = self.numel * self.dtype.itemsize
        with _told(self.path):
            if count == 0:
                return torch.empty(self.shape, dtype=self.dtype)
            with zipfile.ZipFile(self.path) as archive:
                data = bytearray(_entry(archive, self.entry, size))
            if len(data) != size:
                raise CheckpointError(f"{self.path}: {self.entry} is not of the size it should be")
            flat = torch.frombuffer(data, dtype=self.dtype)
            return flat.as_strided(self.shape, self.stride, self.offset).contiguous()


def read_inert(path: Path) -> Any:
    """What a PyTorch file holds: plain values, ``Record`` and ``LazyTensor``.

    Raises:
        CheckpointError: not a zip file of ``torch.save``, damaged, or it names anything outside
            a short list of harmless things.
    """
    with _told(path), zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.count("/") == 1]
        pickles = [name for name in names if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(f"{path}: is a zip file, but not one of torch.save")
        root = pickles[0].removesuffix("data.pkl")
        order = f"{root}byteorder"
        if order in names and _entry(archive, order, 16) != b"little":
            raise CheckpointError(f"{path}: was saved on a big-endian machine: save it on another")
        return _Reader(path, root).run(_entry(archive, pickles[0], _LARGEST_PICKLE))


def plain(value: Any) -> Any:
    """Settings as plain values: omegaconf's nodes and argparse's namespaces are unwrapped, and
    what is not a plain value becomes None.

    Raises:
        CheckpointError: nested too deeply or too large to be settings.
    """
    budget = _MOST_NODES

    def walk(value: Any, depth: int) -> Any:
        nonlocal budget
        budget -= 1
        if budget < 0 or depth > _DEEPEST:
            raise CheckpointError("the settings in the checkpoint are too large or nested deeply")
        if isinstance(value, Record):
            state = value.state if isinstance(value.state, dict) else {}
            if "_content" in state:  # omegaconf's DictConfig and ListConfig
                return walk(state["_content"], depth + 1)
            if "_val" in state:  # its leaves
                return walk(state["_val"], depth + 1)
            return walk(state, depth + 1) if value.name == "argparse.Namespace" else None
        if isinstance(value, dict):
            return {str(key): walk(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [walk(item, depth + 1) for item in value]
        return value if isinstance(value, str | int | float | bool) else None

    return walk(value, 0)


class _Mark:
    """Where a sequence on the stack begins."""


class _Reader:
    """A stack machine for the opcodes of pickle that builds data and calls nothing."""

    def __init__(self, path: Path, root: str) -> None:
        self.path = path
        self.root = root
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        """The value that the pickle describes."""
        for opcode, argument, _ in pickletools.genops(data):
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _LITERALS:
                self.stack.append(_LITERALS[name] if argument is None else argument)
            elif name in _EMPTY:
                self.stack.append(_EMPTY[name]())
            elif name not in ("PROTO", "FRAME"):
                step = getattr(self, f"_{name.lower()}", None)
                if step is None:
                    self._refuse(f"the opcode {name}")
                step(argument)
        raise CheckpointError(f"{self.path}: the pickle in it is truncated")

    def _refuse(self, what: str) -> NoReturn:
        raise CheckpointError(
            f"{self.path}: refuses {what}: only tensors, plain values and settings of omegaconf "
            "are read from a checkpoint, because anything else could run code"
        )

    def _to_mark(self) -> list[Any]:
        items: list[Any] = []
        while not isinstance(top := self.stack.pop(), _Mark):
            items.append(top)
        return items[::-1]

    # stack and memo

    def _mark(self, _: Any) -> None:
        self.stack.append(_Mark())

    def _pop(self, _: Any) -> None:
        self.stack.pop()

    def _pop_mark(self, _: Any) -> None:
        self._to_mark()

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    _binget = _long_binget = _get

    def _put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    # containers

    def _tuple(self, _: Any) -> None:
        self.stack.append(tuple(self._to_mark()))

    def _tuple1(self, _: Any) -> None:
        self.stack[-1:] = [tuple(self.stack[-1:])]

    def _tuple2(self, _: Any) -> None:
        self.stack[-2:] = [tuple(self.stack[-2:])]

    def _tuple3(self, _: Any) -> None:
        self.stack[-3:] = [tuple(self.stack[-3:])]

    def _list(self, _: Any) -> None:
        self.stack.append(self._to_mark())

    _frozenset = _list

    def _dict(self, _: Any) -> None:
        items = self._to_mark()
        self.stack.append({})
        self._fill(items)

    def _append(self, _: Any) -> None:
        self._extend([self.stack.pop()])

    def _appends(self, _: Any) -> None:
        self._extend(self._to_mark())

    _additems = _appends

    def _extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        (target.items if isinstance(target, Record) else self._expect(target, list)).extend(items)

    def _setitem(self, _: Any) -> None:
        items = self.stack[-2:]
        del self.stack[-2:]
        self._fill(items)

    def _setitems(self, _: Any) -> None:
        self._fill(self._to_mark())

    def _fill(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Record):
            target.items.extend(items)
            return
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, str | int | float | bytes | None):
                self._refuse(f"a {type(key).__name__} as the key of a dictionary")
            self._expect(target, dict)[key] = value

    def _expect(self, value: Any, kind: type) -> Any:
        if not isinstance(value, kind):
            raise CheckpointError(f"{self.path}: the pickle in it is corrupt")
        return value

    # names and what is made of them

    def _global(self, name: str) -> None:
        dotted = name.replace(" ", ".")
        if not _ALLOWED.fullmatch(dotted):
            self._refuse(f"the name {dotted}")
        self.stack.append(Record(dotted))

    def _stack_global(self, _: Any) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._global(f"{self._expect(module, str)} {self._expect(name, str)}")

    def _reduce(self, _: Any) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self._made(self._expect(function, Record), arguments))

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        self.stack.pop()
        self._reduce(None)

    def _inst(self, name: str) -> None:
        arguments = tuple(self._to_mark())
        self._global(name)
        self.stack.append(self._made(self.stack.pop(), arguments))

    def _obj(self, _: Any) -> None:
        function, *arguments = self._to_mark()
        self.stack.append(self._made(self._expect(function, Record), tuple(arguments)))

    def _build(self, _: Any) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Record):
            target.state = state  # a dictionary's attributes (_metadata) are not needed

    def _made(self, function: Record, arguments: Any) -> Any:
        self._expect(arguments, tuple)
        if function.name in ("collections.OrderedDict", "collections.defaultdict"):
            return {}
        if function.name == "_codecs.encode":  # how protocol 2 writes bytes
            return self._expect(arguments[0], str).encode("latin-1")
        if function.name == "torch._utils._rebuild_parameter":
            return arguments[0]
        if function.name == "torch._utils._rebuild_tensor_v2":
            return self._tensor(*arguments[:4])
        return Record(function.name, arguments)

    def _tensor(self, storage: Any, offset: Any, shape: Any, stride: Any) -> LazyTensor:
        self._expect(storage, LazyTensor)
        for numbers in (shape, stride, (offset,)):
            for number in self._expect(numbers, tuple):
                if self._expect(number, int) < 0:
                    raise CheckpointError(f"{self.path}: the layout of a tensor is corrupt")
        if len(shape) != len(stride):
            raise CheckpointError(f"{self.path}: the layout of a tensor is corrupt")
        entry, dtype, numel = storage.entry, storage.dtype, storage.numel
        return LazyTensor(self.path, entry, dtype, numel, offset, shape, stride)

    def _binpersid(self, _: Any) -> None:
        """("storage", class, entry, device, number of elements): the data of tensors."""
        match self.stack.pop():
            case ("storage", Record(name=name), str(key), _, int(numel)) if (
                name.startswith("torch.")
                and name[6:] in _STORAGES
                and re.fullmatch(r"[0-9]{1,9}", key)
                and numel >= 0
            ):
                dtype = _STORAGES[name[6:]]
                entry = f"{self.root}data/{key}"
                self.stack.append(LazyTensor(self.path, entry, dtype, numel, 0, (numel,), (1,)))
            case _:
                self._refuse("a reference to something other than the data of a tensor")


_LITERALS: dict[str, Any] = {
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), 0),
    **dict.fromkeys(("FLOAT", "BINFLOAT"), 0.0),
    **dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE"), ""),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), ""),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), b""),
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
}
_EMPTY: dict[str, type] = {
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": list,
}


def _entry(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    """The bytes of one file of the archive, which must be stored as they are."""
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
        raise CheckpointError(f"{archive.filename}: {name} is compressed or larger than it may be")
    return archive.read(info)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever a corrupt file makes the decoders raise, as a CheckpointError with its name."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:  # of many kinds: BadZipFile, ValueError, IndexError, RecursionError
        raise CheckpointError(
            f"{path}: cannot be read ({type(error).__name__}: {str(error)[:200]}); it is "
            "truncated or corrupt: fetch it again"
        ) from error
