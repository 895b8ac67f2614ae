"""How often each word stands in each row: an inverted index with counts, in memory or mapped.

Takes arrays or a file of them. A file is in the safetensors format, with these tensors (t terms
ordered by their UTF-8 bytes, n rows; a posting is a row that a term stands in, p in all):

    starts     int64 (t + 1,)   term i has the postings from starts[i] to starts[i + 1]
    spelled    int64 (t + 1,)   and the bytes from spelled[i] to spelled[i + 1] of letters
    rows       uint32 (p,)      of each posting, ascending within a term
    lengths    uint32 (n,)      words of each row
    counts     (p,)             how often the term stands in the row; uint8, uint16 or uint32
    letters    uint8            the terms' UTF-8, one after the other

Counts and not scores: a score depends on every passage that there is, and those change. Knows
nothing of texts, scores or questions.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dpr.errors import CorruptionError

Array = npt.NDArray[Any]

FILE = "words.safetensors"
MAX_HEADER = 1 << 16

_TYPES = {"I64": "<i8", "U32": "<u4", "U16": "<u2", "U8": "u1"}
_TENSORS = {  # in the order of the file, wide types first, so that each is aligned
    "starts": ("I64",),
    "spelled": ("I64",),
    "rows": ("U32",),
    "lengths": ("U32",),
    "counts": ("U32", "U16", "U8"),
    "letters": ("U8",),
}


@dataclass(frozen=True, slots=True, eq=False)
class WordCounts:
    """The words of one segment's rows; the arrays are those of the file."""

    starts: Array
    spelled: Array
    rows: Array
    lengths: Array
    counts: Array
    letters: Array

    def __len__(self) -> int:
        """Rows."""
        return len(self.lengths)

    @property
    def terms(self) -> int:
        return len(self.starts) - 1

    @property
    def bytes(self) -> int:
        return sum(int(getattr(self, name).nbytes) for name in _TENSORS)

    @classmethod
    def load(cls, files: Mapping[str, Path]) -> WordCounts:
        """Maps what ``build_words`` and ``merge_words`` made; ``files`` gives paths by name.

        Raises:
            CorruptionError: not such a file. Its length and layout are checked; that its bytes are
                those once written is for the owner's hash to tell.
        """
        return read_file(files[FILE])

    def find(self, term: str) -> int:
        """The term's place; -1 where no row has it."""
        wanted, letters, spelled = term.encode("utf-8", "replace"), self.letters, self.spelled

        def spelling(place: int) -> bytes:
            return letters[spelled[place] : spelled[place + 1]].tobytes()

        place = bisect_left(range(self.terms), wanted, key=spelling)
        return place if place < self.terms and spelling(place) == wanted else -1

    def postings(self, place: int) -> tuple[Array, Array]:
        """The rows that a term stands in, ascending, and how often it does."""
        own = slice(int(self.starts[place]), int(self.starts[place + 1]))
        return self.rows[own], self.counts[own]

    def tensors(self) -> list[Tensor]:
        """For ``file_of``."""
        arrays = [(name, getattr(self, name)) for name in _TENSORS]
        return [Tensor(name, array.dtype, len(array), [array]) for name, array in arrays]


class Tensor(NamedTuple):
    """An array that is made piece by piece: its name, type, length, and the pieces in order."""

    name: str
    dtype: np.dtype[Any]
    length: int
    pieces: Iterable[Array]


def hold(tensors: Sequence[Tensor]) -> WordCounts:
    """The arrays in memory."""
    return WordCounts(
        **{one.name: np.concatenate([np.empty(0, one.dtype), *one.pieces]) for one in tensors}
    )


def file_of(tensors: Sequence[Tensor]) -> Iterator[bytes | memoryview]:
    """The bytes of a file, piece by piece."""
    names = {np.dtype(kind): name for name, kind in _TYPES.items()}
    header, end = {}, 0
    for one in tensors:
        begin, end = end, end + one.length * one.dtype.itemsize
        header[one.name] = {
            "dtype": names[one.dtype],
            "shape": [one.length],
            "data_offsets": [begin, end],
        }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for one in tensors:
        for piece in one.pieces:
            if len(piece):
                yield np.ascontiguousarray(piece, one.dtype).data.cast("B")


def read_file(path: Path) -> WordCounts:
    """Maps a file.

    Raises:
        CorruptionError: see ``WordCounts.load``.
    """
    try:
        content = np.memmap(path, np.uint8, "r").view(np.ndarray)
        arrays = _arrays(content)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptionError(
            f"{path}: is no file of word counts ({error}); build the words anew"
        ) from error
    counts = WordCounts(**arrays)
    ends = [int(array[-1]) if len(array) else -1 for array in (counts.starts, counts.spelled)]
    if ends != [len(counts.rows), len(counts.letters)] or not (
        len(counts.starts) == len(counts.spelled) and len(counts.rows) == len(counts.counts)
    ):
        raise CorruptionError(f"{path}: its arrays do not fit each other; build the words anew")
    return counts


def _arrays(content: Array) -> dict[str, Array]:
    """The tensors of a file's bytes, which must follow each other without gap or rest."""
    size = int.from_bytes(content[:8].tobytes(), "little")
    if len(content) < 8 or not 0 < size <= min(MAX_HEADER, len(content) - 8):
        raise ValueError(f"its header has {size} bytes")
    header = json.loads(content[8 : 8 + size].tobytes())
    data = content[8 + size :]
    arrays, end = {}, 0
    for name, kinds in _TENSORS.items():
        one = header[name]
        (length,) = one["shape"]
        if one["dtype"] not in kinds or type(length) is not int or length < 0:
            raise ValueError(f"{name} is {one['dtype']} {one['shape']}")
        kind = np.dtype(_TYPES[one["dtype"]])
        begin, end = end, end + length * kind.itemsize
        if one["data_offsets"] != [begin, end] or end > len(data):
            raise ValueError(f"{name} is not where it should be")
        arrays[name] = data[begin:end].view(kind)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes are too many")
    return arrays
