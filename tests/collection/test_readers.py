"""Readers while a writer is at work: every answer is right at the version that it reports.

A writer adds, replaces, removes, compacts and makes parts without end; before each change it writes
down what the next version is to hold. Readers in other processes follow the versions and hold every
answer against that. ``python test_readers.py write|read FOLDER SEED SECONDS`` is one of them.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from builds import HashEncoder
from scenarios import (
    FULL,
    Editions,
    Lengths,
    entries,
    leftovers,
    report,
    truth,
)

from dpr.collection import (
    BuildSettings,
    Collection,
    add_documents,
    build_collection,
    compact,
    named,
    read_manifest,
    remove_documents,
    small_segments,
    verify,
    write_parts,
)

READERS = 4 if FULL else 2
SECONDS = float(os.environ.get("RELIABILITY_SECONDS", "600" if FULL else "4"))
DIM, QUERIES, BEST = 32, 8, 10
NAMES = [f"d{number:02}" for number in range(40)]
START: Editions = dict.fromkeys(NAMES[:30], (7, 0))


def model_file(folder: Path, version: int) -> Path:
    return folder.with_name("models") / f"{version}.json"


def promise(folder: Path, editions: Editions) -> None:
    """Write down what the next version is to hold, whole or not at all."""
    path = model_file(folder, read_manifest(folder).version + 1)
    path.with_suffix(".new").write_text(json.dumps(editions))
    path.with_suffix(".new").replace(path)


def write(folder: Path, seed: int, seconds: float) -> dict[str, int]:
    """Changes until the readers have had enough; how many of each kind."""
    rng = random.Random(seed)
    editions: Editions = json.loads(model_file(folder, 1).read_text())
    encoder, edition, done = HashEncoder(DIM), 0, dict.fromkeys(("add", "remove", "compact"), 0)
    done["parts"] = 0
    while not folder.with_name("enough").exists():
        edition = edition % 9999 + 1
        step = rng.choice(["add"] * 5 + ["remove"] * 3 + ["compact", "parts"])
        if step == "add":
            new = {name: (rng.randrange(1, 12), edition) for name in rng.sample(NAMES, 3)}
            gone = [name for name in rng.sample(NAMES, 2) if name not in new]
            kept = {name: one for name, one in editions.items() if name not in gone}
            editions = {**kept, **new}
            promise(folder, editions)
            add_documents(folder, entries(new), encoder, gone=gone, shard_size=16)
        elif step == "remove":
            gone = rng.sample(NAMES, 3)
            left = {name: one for name, one in editions.items() if name not in gone}
            if not left:
                continue
            editions = left
            promise(folder, editions)
            remove_documents(folder, named(gone))
        elif step == "compact":
            promise(folder, editions)
            compact(folder, which=small_segments(read_manifest(folder)) or None)
        else:
            promise(folder, editions)
            makers = [Lengths()] if rng.random() < 0.7 else []
            write_parts(folder, lambda *_, makers=makers: makers, drop=["lengths"])
        done[step] += 1
    return done


class Version:
    """A version as it should be, and an index of the one that was opened."""

    def __init__(self, folder: Path, collection: Collection) -> None:
        from dpr.indexes.flat import FlatIndex
        from dpr.indexes.stored import StoredVectors

        editions = json.loads(model_file(folder, collection.version).read_text())
        self.passages, self.documents = truth(editions, DIM)
        self.names = list(self.passages)
        self.table = np.stack(
            [np.frombuffer(vector, "<f2") for _, vector in self.passages.values()]
        ).astype(np.float64)
        longest = max(segment.segment.longest for segment in collection.segments)
        stored = StoredVectors(collection.vectors, longest=longest, guard=collection.guard)
        self.index = FlatIndex(stored, collection.ids)
        self.collection = collection

    def check_search(self, rng: np.random.Generator) -> int:
        """Scores, rows and passages of some queries; gives how many answers were right."""
        queries = rng.standard_normal((QUERIES, DIM)).astype(np.float32)
        scores, rows = self.index.search(queries, BEST, self.collection.live)
        for query, found, values in zip(queries, rows, scores, strict=True):
            exact = (self.table * query).sum(axis=1).astype(np.float32)
            order = sorted(range(len(exact)), key=lambda at: (-exact[at], self.names[at]))[:BEST]
            np.testing.assert_array_equal(values, exact[order])
            passages = self.collection.passages(found.tolist())
            assert passages == [self.passages[self.names[at]][0] for at in order]
        return QUERIES

    def check_all(self) -> int:
        """Every passage and document, and the parts."""
        collection = self.collection
        assert len(collection) == len(self.passages)
        assert {one.id: one for one in collection} == {
            name: passage for name, (passage, _) in self.passages.items()
        }
        found: dict[str, Any] = {}
        for one in collection.documents():
            assert one.id not in found
            found[one.id] = (one.source, one.digest, one.origin, one.rows)
        assert found == self.documents
        for segment in collection.segments:
            if part := segment.part("lengths"):
                assert part[1]["first"].read_bytes() == b"%d!" % segment.rows
        return 1


def read(folder: Path, seed: int, seconds: float) -> dict[str, int]:
    """Asks until the time is over, and some versions were seen."""
    rng, end = np.random.default_rng(seed), time.monotonic() + seconds
    collection = Collection.open(folder)
    version, answers, versions = Version(folder, collection), 0, 1
    while time.monotonic() < end or versions < 4:
        newer = collection.current()
        if newer is not collection:
            assert newer.version > collection.version
            collection, versions = newer, versions + 1
            version = Version(folder, collection)
            answers += version.check_all()
        answers += version.check_search(rng)
    return {"answers": answers, "versions": versions}


def test_every_answer_is_right_at_the_version_that_it_reports(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    (tmp_path / "models").mkdir()
    build_collection(entries(START), HashEncoder(DIM), folder, BuildSettings(shard_size=64))
    model_file(folder, 1).write_text(json.dumps(START))
    given = [("write", 0), *(("read", 1 + number) for number in range(READERS))]
    processes = [
        subprocess.Popen(
            [sys.executable, __file__, what, str(folder), str(seed), str(SECONDS)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for what, seed in given
    ]  # fmt: skip
    found = []
    try:
        for process in processes[::-1]:
            if process is processes[0]:
                (tmp_path / "enough").touch()
            output, errors = process.communicate()
            assert process.returncode == 0, errors.decode()[-3000:]
            found.append(json.loads(output))
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    *readers, changes = found
    assert sum(changes.values()) >= 3 and all(one["answers"] > 3 * QUERIES for one in readers)
    assert verify(folder) == [] and leftovers(folder) == []
    report(
        f"readers: {SECONDS:.0f} s, {changes} changes, {READERS} readers saw "
        f"{[one['versions'] for one in readers]} versions and got "
        f"{sum(one['answers'] for one in readers)} answers, all right"
    )


def test_a_name_that_comes_again_is_not_taken_for_what_it_stood_for(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    build_collection(entries({"a": (3, 0)}), HashEncoder(), folder)
    add_documents(folder, entries({"b": (4, 0)}), HashEncoder(), makers=[Lengths()])
    old = Collection.open(folder)
    list(old)
    remove_documents(folder, named(["b"]))
    add_documents(folder, entries({"c": (4, 0)}), HashEncoder(), makers=[Lengths()])
    names = [one.name for one in old.manifest.segments]
    assert [one.name for one in read_manifest(folder).segments] == names
    assert {one.document for one in old.current()} == {"a", "c"}
    write_parts(folder, lambda *_: [], drop=["lengths"])
    held = old.current()

    class Other(Lengths):
        settings = {"of": "others"}  # noqa: RUF012

        def make(self, segment: Any, bench: Any) -> list[str]:
            bench.keep("first", [b"other"])
            return ["first"]

    write_parts(folder, lambda *_: [Lengths()])
    first = held.current()
    write_parts(folder, lambda *_: [], drop=["lengths"])
    write_parts(folder, lambda *_: [Other()])
    assert newest_part_name(folder) == first.manifest.segments[0].parts[0].name
    newest = first.current()
    part = newest.segments[0].part("lengths")
    assert part is not None and part[1]["first"].read_bytes() == b"other"


def newest_part_name(folder: Path) -> str:
    return read_manifest(folder).segments[0].parts[0].name


if __name__ == "__main__":
    role = {"write": write, "read": read}[sys.argv[1]]
    sys.stdout.write(json.dumps(role(Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))))
