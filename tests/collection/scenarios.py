"""What the tests of reliability share: documents whose truth can be computed again, commands that
change a collection, and what a collection holds, read in every way there is.

A document is a function of its name and edition, and its vectors of its texts, so that a reader in
another process can tell right from wrong. ``RELIABILITY=full`` asks for the sizes of the figures in
docs/reliability.md (``make reliability``).

Run as a program it runs commands in processes of their own, to be killed (see ``main``).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from builds import HashEncoder, vector_of

from dpr.collection import (
    BuildSettings,
    Collection,
    Entry,
    add_documents,
    build_collection,
    compact,
    named,
    read_manifest,
    remove_documents,
    repair,
    storage,
    write_parts,
)
from dpr.collection.parts import Bench
from dpr.collection.segment import SegmentReader
from dpr.records import Passage

FULL = os.environ.get("RELIABILITY") == "full"
SHARD = 4

Editions = dict[str, tuple[int, int]]
"""Of each document its number of passages and its edition."""

Content = tuple[dict[str, tuple[Passage, bytes]], dict[str, tuple[str, str, str, int]]]
"""Passages by id, each with its vector; documents: source, digest, origin, rows."""


def document(name: str, count: int, edition: int = 0) -> list[Passage]:
    """Passages of about 60 bytes of text, all of the same length, some of them odd."""
    return [
        Passage(
            f"{name}#{number}", f"{name} {number:03} of edition {edition:04} \u2028 é \0 🦜",
            name.title(), "s" * (number % 2), f"{name}.md", number, number + 9, name,
            {"edition": edition},
        )
        for number in range(count)
    ]  # fmt: skip


def entries(editions: Editions) -> Iterator[Entry]:
    """The documents, ready to be stored."""
    for name, (count, edition) in editions.items():
        for passage in document(name, count, edition):
            yield Entry(passage, f"digest of {name} {edition}", "0")


def truth(editions: Editions, dim: int = 8) -> Content:
    """What a float16 collection of these documents holds."""
    found = {}
    for name, (count, edition) in editions.items():
        for passage in document(name, count, edition):
            found[passage.id] = (passage, vector_of(passage, dim).astype("<f2").tobytes())
    documents = {
        name: (f"{name}.md", f"digest of {name} {edition}", "0", count)
        for name, (count, edition) in editions.items()
    }
    return found, documents


def vectors_of(collection: Collection, rows: Sequence[int]) -> list[bytes]:
    """The stored bytes of vectors, asked for through the guard."""
    collection.guard.rows(np.asarray(rows, np.int64))
    found = []
    for row in rows:
        number = int(np.searchsorted(collection.starts, row, side="right")) - 1
        segment, inside = collection.segments[number], row - collection.starts[number]
        scale = b"" if segment.scales is None else segment.scales[inside].tobytes()
        found.append(segment.vectors[inside].tobytes() + scale)
    return found


def content(collection: Collection) -> Content:
    """All that it holds; every lookup must agree with every other."""
    rows = collection.live_rows().tolist()
    passages = collection.passages(rows)
    assert len(rows) == len(collection) == len({one.id for one in passages})
    assert [one.id for one in passages] == collection.ids(rows)
    assert [collection.row_of(one.id) for one in passages] == rows
    vectors = vectors_of(collection, rows)
    found = {one.id: (one, vector) for one, vector in zip(passages, vectors, strict=True)}
    documents: dict[str, tuple[str, str, str, int]] = {}
    for one in collection.documents():
        before = documents.get(one.id, ("", "", "", 0))
        documents[one.id] = (one.source, one.digest, one.origin, one.rows + before[3])
    for segment in collection.segments:
        for part in segment.segment.parts:
            kept = segment.part(part.kind)
            assert kept is not None
            if part.kind == Lengths.kind:
                assert kept[1]["first"].read_bytes() == b"%d!" % segment.rows
    return found, documents


def content_of(folder: Path) -> Content:
    with Collection.open(folder) as collection:
        return content(collection)


class Lengths:
    """A part of two files, the first of which holds the number of rows."""

    kind = "lengths"
    settings: dict[str, Any] = {"of": "tests"}  # noqa: RUF012

    def make(self, segment: SegmentReader, bench: Bench) -> list[str]:
        for name in ("first", "second"):
            if bench.kept(name) is None:
                bench.keep(name, [b"%d" % segment.rows, b"!"])
        return ["first", "second"]


def _lengths(*_: Any) -> list[Lengths]:
    return [Lengths()]


BASE: Editions = {"a": (7, 0), "b": (6, 0), "c": (3, 0), "d": (9, 1), "e": (5, 1)}
"""After ``make_base``: two segments, the first of them with rows deleted, each with a part."""


def make_base(folder: Path) -> None:
    first: Editions = {"a": (7, 0), "b": (6, 0), "d": (4, 0), "c": (3, 0)}
    build_collection(
        entries(first), HashEncoder(), folder, BuildSettings(shard_size=SHARD), "question"
    )
    more: Editions = {"d": (9, 1), "e": (5, 1)}
    add_documents(folder, entries(more), HashEncoder(), shard_size=SHARD)
    write_parts(folder, _lengths)


@dataclass(frozen=True)
class Command:
    """A command and what it makes of a collection.

    Attributes:
        prepare: makes the folder that it starts from, or nothing.
        run: the command; repeated after a stop, it must succeed.
        before: what is there before; None: no collection that opens.
        after: what is there when it is done.
        calls: how often it asks the encoder.
    """

    name: str
    prepare: Callable[[Path], None]
    run: Callable[[Path, HashEncoder], Any]
    before: Content | None
    after: Content
    calls: int = 0


def _index(folder: Path, encoder: HashEncoder) -> Any:
    return build_collection(entries(BASE), encoder, folder, BuildSettings(shard_size=SHARD))


def _overwrite(folder: Path, encoder: HashEncoder) -> Any:
    return build_collection(
        entries(ADDED), encoder, folder, BuildSettings(shard_size=SHARD, overwrite=True)
    )


ADDED: Editions = {"a": (5, 2), "f": (6, 2), "g": (1, 2)}


def _add(folder: Path, encoder: HashEncoder) -> Any:
    return add_documents(
        folder, entries(ADDED), encoder, gone=["e"], shard_size=SHARD, makers=[Lengths()]
    )


def _spoil(folder: Path, at: int = 20) -> None:
    """The head of the vectors of the second segment, the ids and a part of the first, the copy."""
    make_base(folder)
    first, second = read_manifest(folder).segments
    flip(folder / "segments" / second.name / "vectors.npy", at)
    flip(folder / "segments" / first.name / "ids.npy", 200)
    flip(folder / "parts" / first.parts[0].name / "first", 0)
    flip(folder / "manifest.copy.json", 50)


def _spoil_manifest(folder: Path) -> None:
    make_base(folder)
    flip(folder / "manifest.json", 50)
    second = read_copy_of(folder).segments[1].name
    flip(folder / "segments" / second / "documents.arrow", 300)


def read_copy_of(folder: Path) -> Any:
    from dpr.collection.manifest import read_copy

    return read_copy(folder)


def flip(path: Path, at: int) -> None:
    """Alter a byte."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def without(editions: Editions, *names: str) -> Editions:
    return {name: one for name, one in editions.items() if name not in names}


def _spoil_more(folder: Path) -> None:
    """A vector of the second segment, too: all of them share one block."""
    _spoil(folder, 128 + 2 * 16)


def _lost_second() -> Content:
    return truth(without(BASE, "d", "e"))


def commands() -> list[Command]:
    base = truth(BASE)
    added = truth({**without(BASE, "e"), **ADDED})
    return [
        Command("index", lambda folder: None, _index, None, base, 8),
        Command("overwrite", make_base, _overwrite, base, truth(ADDED), 3),
        Command("add", make_base, _add, base, added, 3),
        Command(
            "remove", make_base, lambda folder, _: remove_documents(folder, named(["b", "d"])),
            base, truth(without(BASE, "b", "d")),
        ),
        Command(
            "compact", make_base, lambda folder, _: compact(folder, shard_size=SHARD), base, base
        ),
        Command(
            "parts", _bare, lambda folder, _: write_parts(folder, _lengths), base, base,
        ),
        Command("repair", _spoil, lambda folder, _: repair(folder), None, base),
        Command("lose", _spoil_more, lambda folder, _: repair(folder), None, _lost_second()),
        Command("restore", _spoil_manifest, lambda folder, _: repair(folder), None, base),
    ]  # fmt: skip


def _bare(folder: Path) -> None:
    make_base(folder)
    write_parts(folder, lambda segment, trying: [], drop=["lengths"])


def leftovers(folder: Path) -> list[str]:
    """What lies in a collection's folder that no version needs."""
    manifest = read_manifest(folder)
    known = {".lock", "manifest.json", "manifest.copy.json", "segments", "parts"}
    for segment in manifest.segments:
        known |= {f"segments/{segment.name}"}
        known |= {f"segments/{segment.name}/{one.name}" for one in segment.files}
        for part in segment.parts:
            known |= {f"parts/{part.name}"}
            known |= {f"parts/{part.name}/{one.name}" for one in part.files}
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return sorted(names - known)


def temporary(folder: Path) -> list[str]:
    """Files that are not whole yet."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.tmp"))


def copied(prepared: Path, to: Path) -> Path:
    """A copy of a folder that may not exist."""
    if prepared.exists():
        shutil.copytree(prepared, to)
    return to


def report(line: str) -> None:
    """A figure, where figures are asked for."""
    if FULL:
        sys.stdout.write(f"\nreliability: {line}\n")
        sys.stdout.flush()


def some(items: Iterable[Any], stride: int) -> list[Any]:
    """All where figures are asked for, else every so many."""
    return list(items)[:: 1 if FULL else stride]


class LoggingEncoder(HashEncoder):
    """Writes a byte to a file before each shard, so that a kill does not hide how many there were;
    and takes a while over each."""

    def __init__(self, log: Path, pause: float) -> None:
        super().__init__(pause=pause)
        self._log = log

    def encode(self, passages: Sequence[Passage]) -> Any:
        with self._log.open("ab") as file:
            file.write(b".")
        return super().encode(passages)


def run_and_be_killed(name: str, folder: str, log: str, step: int, pause: float) -> int:
    """Runs a command; dies before a step (0: at none), or takes a while over each step. Gives how
    many steps there were."""
    done = 0

    def before(what: str, path: Path) -> None:
        nonlocal done
        done += 1
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(pause)

    storage.before = before
    command = next(one for one in commands() if one.name == name)
    command.run(Path(folder), LoggingEncoder(Path(log), pause * 3))
    return done


def main() -> None:
    """Forks a process for each line, so that a kill need not wait until Python has started. Tells
    its id; once a second line has come, waits for its end and tells of it."""
    for line in sys.stdin:
        ending, result = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.write(result, str(run_and_be_killed(*json.loads(line))).encode())
            finally:
                os._exit(0 if sys.exc_info()[0] is None else 1)
        os.close(result)
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        sys.stdin.readline()  # until then its id is no other process's
        with os.fdopen(ending) as file:
            steps = int(file.read() or 0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{status} {steps}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
