"""faiss as a library of kernels: its indexes as streams of bytes and as files, and its masks.

Takes and gives faiss objects, which have no types. Needs the extra ``search`` (faiss-cpu). Knows
nothing of which index is good for what. A damaged file can crash faiss: whoever reads one has
checked its length and hash before.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from dpr.errors import CollectionError, MissingExtraError
from dpr.indexes.index import Mask

WAITING = 16  # chunks that may wait to be written
CHUNK_BYTES = 1 << 22


def library() -> Any:
    """The module ``faiss``.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import faiss
    except ImportError:
        raise MissingExtraError("faiss-cpu", "search", "approximate search") from None
    return faiss


def chunks(index: Any) -> Iterator[bytes]:
    """The bytes of the file that would hold this index, without a second copy of it in memory.

    faiss calls a function for every piece; a thread turns that round, so that pieces can be asked
    for. Once they are not, the rest goes nowhere: faiss cannot be stopped without complaint.
    """
    faiss = library()
    pieces: queue.Queue[bytes | BaseException | None] = queue.Queue(WAITING)
    stopped = threading.Event()

    def put(piece: bytes | BaseException | None) -> None:
        while not stopped.is_set():
            with suppress(queue.Full):
                pieces.put(piece, timeout=0.1)
                return

    def write() -> None:
        try:
            writer = faiss.PyCallbackIOWriter(put, CHUNK_BYTES)
            faiss.write_index(index, faiss.BufferedIOWriter(writer, CHUNK_BYTES))
            put(None)
        except BaseException as error:
            put(error)

    thread = threading.Thread(target=write, name="faiss writer")
    thread.start()
    try:
        while (piece := pieces.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            yield piece
    finally:
        stopped.set()
        thread.join()


def read(path: Path, *, mapped: bool = True) -> Any:
    """The index in a file that was verified before.

    Args:
        mapped: leave in the file what faiss can read from there; False for one that will grow.

    Raises:
        CollectionError: it is no index, or one of another version of faiss.
        MissingExtraError: faiss is not installed.
    """
    faiss = library()
    try:
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError as error:
        raise CollectionError(
            f"{path}: faiss {faiss.__version__} cannot read this index ({_reason(error)}); build "
            f"the index again with this version, or install the version that built it"
        ) from None


def selector(allowed: Mask | None) -> tuple[Any, Any]:
    """A faiss selector of the allowed rows, and the bits that must live as long as it does."""
    if allowed is None:
        return None, None
    faiss = library()
    bits = np.packbits(allowed, bitorder="little")
    return faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits)), bits


def _reason(error: RuntimeError) -> str:
    """What faiss says, without the place in its source."""
    return str(error).strip().rpartition(": ")[2] or "no reason given"
