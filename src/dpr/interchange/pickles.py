"""Vectors that the original DPR's code pickled, as rows; nothing in such a file is ever run.

Takes a file that holds a pickled list of ``(id, vector)``, as the original's
``generate_dense_embeddings.py`` writes them, or a list of such files; gives NumPy files and ids.
No unpickler is involved: ``pickletools`` decodes the opcodes (PEP 307, 3154, 574) and the machine
below acts on the few of them that such a list needs. Names of functions become marks; the only
ones known are those by which NumPy describes an array, and those are not called either.

Memory holds a batch of rows, whatever the size or the content of the file: rows are given as soon
as they are appended to the list, and what came with them is forgotten.
"""

from __future__ import annotations

import os
import pickletools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import numpy.typing as npt

from dpr.errors import InputError
from dpr.interchange.whole import NumpyWriter, id_lines, numpy_with_ids

Rows = tuple[list[str], npt.NDArray[Any]]

_LARGEST = 2**20  # bytes of one string or vector
_MOST_BYTES = 2**28  # of what stands between one portion of rows and the next
_MOST_OPCODES = 200_000  # likewise; Python's pickler appends 1000 rows at a time, 25 opcodes each
_MOST_REMEMBERED = 200_000
_NAMES = {
    "numpy.ndarray": "array",
    "numpy.dtype": "type",
    "_codecs.encode": "bytes",
    **{
        f"numpy.{core}.{name}": kind
        for core in ("core", "_core")
        for name, kind in (
            ("multiarray._reconstruct", "empty"),
            ("numeric._frombuffer", "filled"),
        )
    },
}
_FLOATS = ("f2", "f4", "f8")


@dataclass(frozen=True, slots=True)
class _Name:
    """A function or class that the file names: what it stands for here."""

    kind: str


@dataclass(eq=False, slots=True)
class _Type:
    """A type of numbers: its code, such as ``f4``, and the order of its bytes."""

    code: str
    order: str = "<"


@dataclass(eq=False, slots=True)
class _Array:
    """An array, as far as the file has described it."""

    shape: Any = None
    type: Any = None
    data: Any = None


class _List:
    """The list of all rows."""


class _Mark:
    """Where a sequence on the stack begins."""


def read_pickled(path: Path) -> Iterator[Rows]:
    """The rows of a file in portions: ids, and vectors (n, dim) in the file's own float type.

    Raises:
        InputError: the file cannot be read, is not such a pickle, is damaged, or holds anything
            else; names the row.
    """
    source = str(path)
    try:
        with path.open("rb") as stream:
            machine = _Machine(source)
            for opcode, argument, _ in pickletools.genops(_Bounded(stream)):  # type: ignore[arg-type]
                machine.step(opcode.name, argument)
                if machine.rows:
                    yield machine.take_rows()
            if stream.read(1):
                raise InputError("there is more after the end of the pickle", source=source)
            if not machine.done:
                raise InputError("the pickle holds no rows", source=source)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", source=source) from error
    except Exception as error:  # of many kinds: ValueError, IndexError, KeyError, UnicodeError
        raise InputError(
            f"is no pickle of vectors, or is truncated or damaged ({type(error).__name__}: "
            f"{str(error)[:100]}); fetch it again",
            source=source,
        ) from error


class _Bounded:
    """What ``pickletools`` reads from, no more than ``_LARGEST`` bytes at once."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, count: int) -> bytes:
        if count > _LARGEST:
            raise ValueError(f"a value of {count} bytes; at most {_LARGEST} are read")
        return self._stream.read(count)

    def readline(self) -> bytes:
        line = self._stream.readline(_LARGEST + 1)
        if len(line) > _LARGEST:
            raise ValueError(f"a line of more than {_LARGEST} bytes")
        return line


class _Machine:
    """A stack machine for the opcodes of a list of rows. It builds data and calls nothing.

    Attributes:
        rows: those that were appended since they were last taken.
        done: the pickle came to its end, and had rows.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.rows: list[tuple[str, npt.NDArray[Any]]] = []
        self.done = False
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._memoized = 0
        self._recent: list[int] = []  # places in the memo that are forgotten with the next rows
        self._bytes = self._opcodes = 0
        self._given = 0
        self._like: npt.NDArray[Any] | None = None

    def step(self, name: str, argument: Any) -> None:
        """Acts on one opcode."""
        if isinstance(argument, str | bytes | bytearray):
            self._bytes += len(argument)
        self._opcodes += 1
        if (
            self._opcodes > _MOST_OPCODES
            or self._bytes > _MOST_BYTES
            or len(self._memo) > _MOST_REMEMBERED
        ):
            self._refuse("so much that belongs to no row")
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _STEPS:
            _STEPS[name](self, argument)
        elif name not in ("PROTO", "FRAME"):
            self._refuse(f"the opcode {name}")

    def take_rows(self) -> Rows:
        """The rows so far, which are then forgotten."""
        ids = [one for one, _ in self.rows]
        vectors = np.stack([vector for _, vector in self.rows])
        if self._given:
            # What came before the first rows, such as the type of numbers, is referred to later.
            for place in self._recent:
                del self._memo[place]
        self._given += len(ids)
        self.rows, self._recent, self._bytes, self._opcodes = [], [], 0, 0
        return ids, vectors

    def _refuse(self, what: str) -> NoReturn:
        raise InputError(
            f"refuses {what}: only a list of (id, vector) is read from a pickle, because anything "
            "else could run code",
            source=self.source,
        )

    def _fail(self, what: str) -> NoReturn:
        row = self._given + len(self.rows)
        raise InputError(f"row {row}, counted from 0: {what}", source=self.source)

    # stack and memo

    def mark(self, _: Any) -> None:
        self._stack.append(_Mark())

    def to_mark(self) -> list[Any]:
        items: list[Any] = []
        while not isinstance(top := self._stack.pop(), _Mark):
            items.append(top)
        return items[::-1]

    def get(self, place: int) -> None:
        if place not in self._memo:
            self._refuse("a reference to a value of rows that are done")
        self._stack.append(self._memo[place])

    def put(self, place: int) -> None:
        value = self._stack[-1]
        if place not in self._memo and not isinstance(value, _Name | _Type | _List):
            self._recent.append(place)
        self._memo[place] = value
        self._memoized += 1

    def memoize(self, _: Any) -> None:
        self.put(self._memoized)

    # rows

    def begin(self, _: Any) -> None:
        if self._stack or self._memoized:
            self._refuse("a list within the list")
        self._stack.append(_List())

    def begin_at_mark(self, _: Any) -> None:
        items = self.to_mark()
        self.begin(None)
        self._extend(items)

    def append(self, _: Any) -> None:
        self._extend([self._stack.pop()])

    def appends(self, _: Any) -> None:
        self._extend(self.to_mark())

    def _extend(self, items: list[Any]) -> None:
        if len(self._stack) != 1 or not isinstance(self._stack[0], _List):
            self._refuse("a list within the list")
        for item in items:
            if not isinstance(item, tuple) or len(item) != 2:
                self._fail("is no pair of an id and a vector")
            name, array = item
            if type(name) not in (str, int):
                self._fail(f"its id is {type(name).__name__}; expected a text or a whole number")
            if not isinstance(array, _Array):
                self._fail(f"its vector is {type(array).__name__.strip('_')}; expected an array")
            self.rows.append((str(name), self._vector(array)))

    def _vector(self, array: _Array) -> npt.NDArray[Any]:
        kind, shape = array.type, array.shape
        if not isinstance(kind, _Type) or kind.code not in _FLOATS or kind.order not in "<>|=":
            self._fail("its vector is not of float16, float32 or float64 numbers")
        if not isinstance(shape, tuple) or len(shape) != 1 or type(shape[0]) is not int:
            self._fail("its vector is not a single row of numbers")
        if not isinstance(array.data, bytes | bytearray):
            self._fail("its vector has no numbers")
        dtype = np.dtype(f"{kind.order.replace('|', '=')}{kind.code}")
        if shape[0] < 1 or len(array.data) != shape[0] * dtype.itemsize:
            self._fail(f"its vector of {shape[0]} numbers has {len(array.data)} bytes")
        vector = np.frombuffer(array.data, dtype)
        if self._like is None:
            self._like = vector
        if vector.shape != self._like.shape or vector.dtype != self._like.dtype:
            self._fail(
                f"its vector has {len(vector)} {vector.dtype} numbers, the first one "
                f"{len(self._like)} {self._like.dtype}"
            )
        return vector

    def stop(self, _: Any) -> None:
        value = self._stack.pop()
        if not isinstance(value, _List) or self._stack:
            self._refuse("anything but a list at the top")
        self.done = bool(self._given or self.rows)

    # what describes an array

    def tuple_at_mark(self, _: Any) -> None:
        self._stack.append(tuple(self.to_mark()))

    def tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise IndexError("the stack is too short")
        self._stack[-count:] = [tuple(self._stack[-count:])]

    def name(self, name: str) -> None:
        dotted = name.replace(" ", ".")
        if dotted not in _NAMES:
            self._refuse(f"the name {dotted[:200]}")
        self._stack.append(_Name(_NAMES[dotted]))

    def stack_name(self, _: Any) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            self._refuse("a name that is no text")
        self.name(f"{module} {name}")

    def reduce(self, _: Any) -> None:
        given, function = self._stack.pop(), self._stack.pop()
        match getattr(function, "kind", None), given:
            case "empty", (_Name(kind="array"), _, _):
                made: Any = _Array()
            case "filled", (bytes() | bytearray() as data, _Type() as kind, tuple() as shape, _):
                made = _Array(shape, kind, data)
            case "type", (str() as code, *_):
                made = _Type(code)
            case "bytes", (str() as text, "latin1" | "latin-1"):  # how protocol 2 writes bytes
                made = text.encode("latin-1")
            case _:
                self._refuse("what is not how NumPy describes an array")
        self._stack.append(made)

    def build(self, _: Any) -> None:
        state, target = self._stack.pop(), self._stack[-1]
        match target, state:
            case _Array(data=None), (_, tuple() as shape, _Type() as kind, _, bytes() as data):
                target.shape, target.type, target.data = shape, kind, data
            case _Type(), (_, str() as order, *_):
                target.order = order
            case _:
                self._refuse("a state that is not how NumPy describes an array")


_VALUES = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "UNICODE", "BINUNICODE"),
    *("SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "MARK": _Machine.mark,
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), _Machine.get),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), _Machine.put),
    "MEMOIZE": _Machine.memoize,
    "EMPTY_LIST": _Machine.begin,
    "LIST": _Machine.begin_at_mark,
    "APPEND": _Machine.append,
    "APPENDS": _Machine.appends,
    "TUPLE": _Machine.tuple_at_mark,
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "GLOBAL": _Machine.name,
    "STACK_GLOBAL": _Machine.stack_name,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "STOP": _Machine.stop,
}


def convert_vectors(
    files: Sequence[str | os.PathLike[str]],
    to: str | os.PathLike[str],
    progress: Callable[[Path, Path, int], None] | None = None,
) -> list[tuple[Path, Path, int]]:
    """Pickled vectors to NumPy files and ids, each file for itself.

    ``name.pkl`` becomes ``name.npy``, (rows, dim) in the float type that was pickled, and
    ``name.ids.txt``, an id a line. Only conversion reads pickles; see ``import_vectors`` for what
    comes after it.

    Args:
        files: pickled lists of ``(id, vector)``.
        to: the folder that gets the files.
        progress: called after each file with what is returned of it.

    Returns:
        of each file the vectors, the ids, and how many there are.

    Raises:
        InputError: a file is no such pickle, or would run code; two files have one name; the
            folder cannot be written to. Files converted before it are complete and stay.
    """
    paths = [Path(file) for file in files]
    names = [path.name.removesuffix(".pkl") for path in paths]
    if same := {name for name in names if names.count(name) > 1}:
        raise InputError(f"several files have the name {min(same)!r}; convert them one by one")
    written = []
    for path, name in zip(paths, names, strict=True):
        target, ids = Path(to) / f"{name}.npy", Path(to) / f"{name}.ids.txt"
        with numpy_with_ids(target, ids) as (numbers, texts):
            writer = None
            for some, vectors in read_pickled(path):
                writer = writer or NumpyWriter(numbers, vectors.shape[1], vectors.dtype.name)
                writer.append(vectors)
                texts.write(id_lines(some, str(path)))
            if writer is None:
                raise InputError("the pickle holds no rows", source=str(path))
            writer.finish()
        written.append((target, ids, writer.rows))
        if progress is not None:
            progress(*written[-1])
    return written
