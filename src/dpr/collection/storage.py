"""The only module that changes anything inside a collection's folder.

Takes paths and bytes; gives durable files. Knows nothing of passages, vectors or manifests. Each
operation is a named step (see ``Step``) that passes through ``_step``: a failure of the operating
system becomes a ``CollectionError`` that says what was being done, and a test may set ``before``
to fail, kill or record at any step.

Durability, in order: a file's bytes are synced before it gets its final name, and the folder is
synced after, so that after a kill or a power cut a name either is absent or stands for the whole
content.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from dpr.errors import CollectionError

Step = Literal[
    "make folder", "open", "truncate", "write", "sync", "rename", "sync folder", "remove", "lock"
]

before: Callable[[Step, Path], None] | None = None
"""Called before each step; a test's way in. What it raises is treated as the step's failure."""

after: Callable[[Step, Path, Any], None] | None = None
"""Called after each step with what it did: the offset and bytes of a write, the length that a
truncated file has, the old name of what was renamed. For tests that replay what reached a disk."""

TEMPORARY = ".tmp"
"""What the name of a file ends with until it is whole."""


@contextmanager
def _step(step: Step, path: Path, detail: Any = None) -> Iterator[None]:
    try:
        if before is not None:
            before(step, path)
        yield
        if after is not None:
            after(step, path, detail)
    except OSError as error:
        remedy = {
            errno.ENOSPC: "free some disk space and run the same command again",
            errno.EDQUOT: "raise the quota or free some space and run the same command again",
            errno.EFBIG: "raise the file size limit (ulimit -f) and run the same command again",
            errno.EACCES: "check the permissions and run the same command again",
            errno.EROFS: "choose a folder on a disk that can be written",
        }.get(error.errno or 0, "check the disk and run the same command again")
        raise CollectionError(
            f"{path}: could not {step}: {error.strerror or error}. A collection that was complete "
            f"before is still readable, and an unfinished build can be continued: {remedy}."
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents; each is durable in its parent."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        with _step("make folder", folder):
            folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    with _step("sync folder", path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def atomic_write(path: Path, data: bytes) -> None:
    """Give a file this content, all or nothing: temporary file, sync, rename, sync folder."""
    write(path, [data])


def write(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """``atomic_write`` of content that comes in pieces. What fails leaves nothing behind."""
    temporary = path.with_name(path.name + TEMPORARY)
    try:
        with Appender(temporary, keep=0) as file:
            for chunk in chunks:
                file.append(chunk)
            file.sync()
        rename(temporary, path)
    except Exception:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def rename(old: Path, new: Path) -> None:
    """Give a file or folder its final name, durably; a file at ``new`` is replaced."""
    with _step("rename", new, old):
        old.replace(new)
    sync_folder(new.parent)
    if old.parent != new.parent:
        sync_folder(old.parent)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; a link is removed, not followed."""
    if path.is_dir() and not path.is_symlink():
        for child in sorted(path.iterdir()):
            remove(child)
        with _step("remove", path):
            path.rmdir()
    else:
        with _step("remove", path):
            path.unlink(missing_ok=True)


class Appender:
    """A file that grows at its end.

    Args:
        path: made where absent.
        keep: how many bytes of what is there to keep; the rest is cut off. The file must have
            at least so many.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self.path = path
        with _step("open", path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            with _step("truncate", path, keep):
                os.ftruncate(self._descriptor, keep)
                os.lseek(self._descriptor, keep, os.SEEK_SET)
        except BaseException:
            os.close(self._descriptor)
            raise
        self.size = keep

    def __enter__(self) -> Appender:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def append(self, data: bytes | memoryview) -> None:
        """Write all the bytes at the end; not durable before ``sync``."""
        view = memoryview(data).cast("B")
        if not len(view):
            return
        with _step("write", self.path, (self.size, view)):
            while len(view):
                written = os.write(self._descriptor, view)
                self.size += written
                view = view[written:]

    def overwrite(self, data: bytes) -> None:
        """Write bytes over the file's first ones."""
        with _step("write", self.path, (0, data)):
            done = 0
            while done < len(data):
                done += os.pwrite(self._descriptor, data[done:], done)

    def sync(self) -> None:
        """Make what was written durable."""
        with _step("sync", self.path):
            os.fsync(self._descriptor)

    def cut(self, keep: int) -> None:
        """Cut the file back to its first ``keep`` bytes."""
        with _step("truncate", self.path, keep):
            os.ftruncate(self._descriptor, keep)
            os.lseek(self._descriptor, keep, os.SEEK_SET)
        self.size = keep

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


@contextmanager
def writer_lock(folder: Path) -> Iterator[None]:
    """Hold ``folder/.lock`` while writing; the system frees it when the process ends.

    Raises:
        CollectionError: another process (or thread) is writing there.
    """
    path = folder / ".lock"
    new = not path.exists()
    with _step("lock", path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CollectionError(
                f"{folder}: another process is writing here (it holds {path.name}); "
                f"only one writer at a time is allowed: wait until it ends, or stop it"
            ) from None
        except OSError as error:
            raise CollectionError(
                f"{path}: could not lock: {error.strerror}; choose a folder on a file system that "
                f"supports locks"
            ) from error
        if new:  # by it a folder is known to be a collection's, whatever else is in it
            sync_folder(folder)
        yield
    finally:
        os.close(descriptor)


def open_file(path: Path) -> int:
    """A descriptor of a regular file, for reading.

    Raises:
        OSError: there is none; a pipe, a device or a link to somewhere else is none either, since
            opening or reading it might not end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return descriptor


def content_of(path: Path, most: int) -> bytes | None:
    """What is in a regular file; None where there is none, it is longer or cannot be read."""
    try:
        with open(open_file(path), "rb") as file:
            data = file.read(most + 1)
    except OSError:
        return None
    return data if len(data) <= most else None


def size_of(path: Path) -> int | None:
    """The size of a regular file in bytes, or None where there is none."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def names_in(folder: Path) -> Sequence[str]:
    """The names in a folder, sorted."""
    return sorted(child.name for child in folder.iterdir())
