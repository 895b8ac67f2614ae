"""Corruption: whatever is altered, every answer is right or a clear error. None is wrong, and there
is no other exception, no crash and no hanging.

The cases run in processes of their own, so that a signal is seen; each has its seed, and
``python test_corruption.py FOLDER OTHER FIRST LAST OF`` runs some of them.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attacks import (
    BLOCK,
    BLOCKWISE,
    DIM,
    LARGE,
    REPLACED,
    WHOLE,
    files_of,
    make_large,
    restore,
)
from builds import vector_of
from scenarios import FULL, Content, document, report, truth, vectors_of

from dpr.collection import Collection, repair, verify
from dpr.collection.segment import SegmentReader
from dpr.errors import DPRError

CASES = 5000 if FULL else 200  # of each of two collections
PROCESSES = 2
SECONDS = 120
"""That a case may take on a busy machine before it is said to hang."""


class Wrong(Exception):
    """An answer that is not what was stored."""


def cases(folder: Path, other: Path, count: int) -> Iterator[tuple[str, str, Callable[[], None]]]:
    """So many cases: a name, the file altered, and what alters it.

    Eight of ten: each block of each file in each of three ways, in any order, and once all were
    had, again with other bits; one of ten: altered ends and contents; one: files that are none.
    """
    files = {name: (folder / name).read_bytes() for name in files_of(folder)}
    others = {name: (other / name).read_bytes() for name in files}
    blocks = [(name, at) for name, data in files.items() for at in range(0, len(data), BLOCK)]
    each = [(alter, name, at) for name, at in blocks for alter in BLOCKWISE]
    rng = random.Random(5)
    rng.shuffle(each)
    for number in range(count):
        rng = random.Random(number)
        kind = number % 10
        if kind == 8:
            whole: Any = WHOLE[number // 10 % len(WHOLE)]
            name = rng.choice(sorted(files))
            data = whole(files[name], rng, others[name])
            yield whole.__name__, name, lambda name=name, data=data: write(folder / name, data)
        elif kind == 9:
            replaced = REPLACED[number // 10 % len(REPLACED)]
            name = sorted(files)[number // 60 % len(files)]
            yield replaced.__name__, name, lambda name=name, how=replaced: how(folder / name)
        else:
            alter, name, at = each[(number - number // 10 * 2) % len(each)]
            data = alter(files[name], rng, b"", at)
            yield (
                f"{alter.__name__} at {at}",
                name,
                (lambda name=name, data=data: write(folder / name, data)),
            )


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def same(wanted: Any, found: Any, what: str) -> None:
    if wanted != found:
        raise Wrong(what)


def attempts(folder: Path, collection: Collection, wanted: Content) -> Iterator[Callable[[], None]]:
    """Every way to ask, each for itself: an error in one does not hide what another answers."""
    names = sorted(wanted[0])
    rows = collection.live_rows().tolist()
    same(len(names), len(rows), "the number of rows")

    def passages() -> None:
        found = collection.passages(rows)
        same([wanted[0][one.id][0] for one in found], found, "passages")
        same(names, sorted(one.id for one in found), "ids of passages")

    def some_passages() -> None:
        for row in rows[::40]:
            try:
                one = collection.passage(row)
            except DPRError:
                continue
            same(wanted[0][one.id][0], one, f"passage {row}")

    def ids() -> None:
        same(names, sorted(collection.ids(rows)), "ids")

    def lookups() -> None:
        for name in names[::60]:
            row = collection.row_of(name)
            same(wanted[0][name][0], collection.passage(row), f"row of {name}")

    def vectors() -> None:
        for first in range(0, len(rows), 300):
            some = rows[first : first + 300]
            try:
                found = vectors_of(collection, some)
            except DPRError:
                continue
            ids = collection.ids(some)
            same([wanted[0][name][1] for name in ids], found, "vectors")

    def documents() -> None:
        found = {one.id: (one.source, one.digest, one.origin, one.rows)
                 for one in collection.documents()}  # fmt: skip
        same(wanted[1], found, "documents")

    def parts() -> None:
        for segment in collection.segments:
            part = segment.part("lengths")
            if part is None:
                raise Wrong("a part is not listed")
            same(b"%d!" % segment.rows, part[1]["first"].read_bytes(), "a part")

    def current() -> None:
        same(collection.version, collection.current().version, "the version")

    yield from (passages, some_passages, ids, lookups, vectors, documents, parts, current)
    yield lambda: search(collection, wanted)
    yield lambda: same([], verify_fully(folder), "opening in full")


def verify_fully(folder: Path) -> list[Any]:
    Collection.open(folder, check="full")
    return []


def search(collection: Collection, wanted: Content) -> None:
    """Exact search through the guard, against what numpy says of the true vectors."""
    from dpr.indexes.flat import FlatIndex
    from dpr.indexes.int8 import Int8Vectors
    from dpr.indexes.stored import StoredVectors

    parts = [
        segment.vectors
        if segment.scales is None
        else Int8Vectors(np.asarray(segment.vectors), np.asarray(segment.scales))
        for segment in collection.segments
    ]
    longest = max(segment.segment.longest for segment in collection.segments)
    index = FlatIndex(StoredVectors(parts, longest=longest, guard=collection.guard))
    queries = np.stack([vector_of(one, DIM) for one in document("query", 3)])
    scores, rows = index.search(queries, 10, collection.live)
    exact = exact_scores(wanted, queries, collection.manifest.dtype)
    for query in range(len(queries)):
        best = sorted(exact[query].items(), key=lambda one: -one[1])[:10]
        np.testing.assert_array_equal(scores[query], [np.float32(one[1]) for one in best])
        found = collection.ids(rows[query].tolist())
        same([np.float32(exact[query][name]) for name in found], list(scores[query]), "scores")


def exact_scores(wanted: Content, queries: Any, dtype: str) -> list[dict[str, float]]:
    key = id(wanted)
    if key not in _SCORES:
        table = np.stack([decoded(vector, dtype) for _, vector in wanted[0].values()])
        products = (table[None, :, :].astype(np.float64) * queries[:, None, :]).sum(axis=2)
        _SCORES[key] = [dict(zip(wanted[0], line.tolist(), strict=True)) for line in products]
    return _SCORES[key]


_SCORES: dict[int, list[dict[str, float]]] = {}


def decoded(vector: bytes, dtype: str) -> Any:
    if dtype == "int8":
        scale = np.frombuffer(vector[-4:], "<f4")
        return np.frombuffer(vector[:-4], np.int8).astype(np.float32) * scale
    return np.frombuffer(vector, "<f2").astype(np.float32)


def run_case(folder: Path, wanted: Content, altered: bool) -> str:
    """What came of it: ``error``, ``unharmed``, or what is wrong."""
    errors, found = 0, 1
    try:
        for attempt in attempts(folder, Collection.open(folder), wanted):
            try:
                attempt()
            except DPRError:
                errors += 1
    except DPRError:  # it does not open
        errors += 1
    with suppress(DPRError):
        found = len(verify(folder))
    if altered != bool(found):
        raise Wrong("verify finds nothing" if altered else "verify finds what is not there")
    return "error" if errors else "unharmed"


def run_repair(folder: Path, wanted: Content) -> None:
    """Everything that a repair leaves is as it was."""
    try:
        done = repair(folder)
    except DPRError:
        return
    same([], verify(folder), "findings after a repair")
    with Collection.open(folder) as collection:
        rows = collection.live_rows().tolist()
        found = collection.passages(rows)
        same([wanted[0][one.id][0] for one in found], found, "passages after a repair")
        vectors = [wanted[0][one.id][1] for one in found]
        same(vectors, vectors_of(collection, rows), "vectors after a repair")
        same(done.lost, len(wanted[0]) - len(rows), "the number of passages lost")


def put_back(folder: Path, altered: str, files: dict[str, bytes]) -> None:
    """The collection as it was, whatever was altered or repaired."""
    restore(folder, altered, files[altered])
    for path in [*folder.glob("segments/*"), *folder.glob("parts/*")]:
        if not any(name.startswith(f"{path.relative_to(folder)}/") for name in files):
            shutil.rmtree(path)
    for name, data in files.items():
        if not (folder / name).is_file() or (folder / name).read_bytes() != data:
            restore(folder, name, data)


def main(folder: Path, other: Path, first: int, last: int, of: int) -> None:
    """Runs the cases from ``first`` to before ``last``; a line for each."""
    import dpr.indexes.flat  # noqa: F401  # takes longer than a case

    with Collection.open(folder) as collection:
        rows = collection.live_rows().tolist()
        passages = collection.passages(rows)
        vectors = vectors_of(collection, rows)
        wanted: Content = (
            {one.id: (one, vector) for one, vector in zip(passages, vectors, strict=True)},
            truth(LARGE, DIM)[1],
        )
    files = {name: (folder / name).read_bytes() for name in files_of(folder)}
    for number, (how, name, damage) in enumerate(cases(folder, other, of)):
        if not first <= number < last:
            continue
        signal.alarm(SECONDS)
        damage()
        path = folder / name
        altered = path.is_symlink() or not path.is_file() or path.read_bytes() != files[name]
        try:
            outcome = run_case(folder, wanted, altered)
            if number % 5 == 0 and "manifest" not in name:
                run_repair(folder, wanted)
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        signal.alarm(0)
        put_back(folder, name, files)
        sys.stdout.write(json.dumps([number, how, name, altered, outcome]) + "\n")
        sys.stdout.flush()


def test_a_check_that_is_left_out_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "c"
    make_large(folder)
    wanted = truth(LARGE, DIM)
    run_case(folder, wanted, False)
    path = folder / "segments" / "0001" / "passages.arrow"
    path.write_bytes(path.read_bytes().replace(b"of edition 0000", b"of edition 0009"))
    assert run_case(folder, wanted, True) == "error"
    monkeypatch.setattr(SegmentReader, "block_holds", lambda reader, number: True)
    with pytest.raises(Wrong):
        run_case(folder, wanted, True)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_every_answer_is_right_or_an_error(dtype: str, tmp_path: Path) -> None:
    edges = np.linspace(0, CASES, PROCESSES + 1).astype(int).tolist()
    processes = []
    make_large(tmp_path / "other", dtype, edition=7)
    for first, last in pairwise(edges):
        folder = tmp_path / str(first)
        make_large(folder, dtype)
        given = [str(one) for one in (folder, tmp_path / "other", first, last, CASES)]
        processes.append(
            subprocess.Popen(
                [sys.executable, __file__, *given], stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        )
    lines = []
    for process in processes:
        output, errors = process.communicate()
        lines += [json.loads(line) for line in output.splitlines()]
        after = lines[-1] if lines else "nothing"
        assert process.returncode == 0, f"{process.returncode} after {after}: {errors[-2000:]!r}"
    assert len(lines) == CASES
    wrong = [line for line in lines if line[4] not in ("error", "unharmed")]
    assert wrong == []
    altered = [line for line in lines if line[3]]
    errors_shown = sum(line[4] == "error" for line in altered)
    assert len(altered) > 0.9 * CASES and errors_shown > 0.6 * CASES
    report(
        f"corruption, {dtype}: {CASES} cases, {len(altered)} of them alter something: "
        f"{errors_shown} clear errors, {len(altered) - errors_shown} unharmed answers, 0 wrong, "
        f"0 signals; verify finds all of them"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
