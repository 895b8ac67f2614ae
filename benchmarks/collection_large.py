"""The paper's 21 million passages as one collection on one machine: build, index, open, search.

    python benchmarks/collection_large.py --rows 21000000 --collection DIR

The vectors are those of ``spectrum.py``, made shard by shard while the collection is built; the
passages are short, since only their number matters here. Every step is a process of its own, whose
peak memory is shown, and can be run again after a stop: it goes on where it stood. With --json the
figures are kept. ``--steps`` picks steps: build, index, exact, search, check. Peaks count mapped
pages, which the system can take back.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from spectrum import DIM, SHARD, add_options, load_base, passages_of, queries_of

from dpr.collection import BuildSettings, Collection, build_collection, verify, write_parts
from dpr.collection.vectors import Stored
from dpr.records import Passage

QUESTIONS = 1000
K = 20
Figures = dict[str, Any]


class Spectrum:
    """Gives the vectors of a shard, by the number of its first passage."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.base = load_base(args.folder, args.minilm, args.data)
        self.dim, self.fingerprint, self.truncated = DIM, "spectrum", 0
        self.settings: dict[str, Any] = {"kind": "spectrum"}

    def encode(self, passages: Sequence[Passage]) -> Any:
        """(len(passages), 768) float16."""
        number = int(passages[0].id) // SHARD
        return Stored(passages_of(self.base, number, len(passages)).astype(np.float16))


def passages(rows: int) -> Iterator[Passage]:
    for row in range(rows):
        name = str(row)
        yield Passage(name, f"The text of passage {name}.", "", "", "made up", 0, 10, name)


def seconds(began: float) -> float:
    return time.perf_counter() - began


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def build(args: argparse.Namespace) -> Figures:
    """Passages and vectors, a shard of 65,536 at a time."""
    began = time.perf_counter()
    build_collection(
        passages(args.rows),
        Spectrum(args),
        args.collection,
        BuildSettings("float16", SHARD),
        progress=lambda done: tell(f"built {done:,} ({seconds(began):,.0f} s)"),
    )
    return {"build_s": seconds(began), "collection_gb": size(args.collection) / 1e9}


def index(args: argparse.Namespace) -> Figures:
    """The index of all vectors."""
    from dpr.indexes.kinds import settings_from
    from dpr.search.dense import stored_vectors
    from dpr.search.parts import IndexMaker

    began = time.perf_counter()
    shown = 0.0

    def progress(stage: str, done: int, total: int) -> None:
        nonlocal shown
        if seconds(began) - shown > 30:
            shown = seconds(began)
            tell(f"{stage}: {done:,} of {total:,} ({shown:,.0f} s)")

    settings = settings_from(json.loads(args.index))
    maker = IndexMaker(settings, lambda one: stored_vectors([one]), progress)
    write_parts(args.collection, lambda segment, trying: [maker])
    parts = size(args.collection / "parts")
    return {"index_s": seconds(began), "index_gb": parts / 1e9}


def exact(args: argparse.Namespace) -> Figures:
    """The exact best rows of 1,000 questions, kept beside the vectors."""
    from dpr.indexes.flat import FlatIndex
    from dpr.search.dense import stored_vectors

    queries = queries_of(load_base(args.folder, args.minilm, args.data), QUESTIONS)
    began = time.perf_counter()
    with Collection.open(args.collection) as collection:
        flat = FlatIndex(stored_vectors(collection.segments), collection.ids)
        found = [flat.search(queries[n : n + 250], K)[1] for n in range(0, len(queries), 250)]
    np.save(exact_path(args), np.concatenate(found))
    return {"exact_s": seconds(began)}


def exact_path(args: argparse.Namespace) -> Path:
    return Path(args.folder / f"exact-{args.rows}-{K}.npy")


def search(args: argparse.Namespace) -> Figures:
    """Opening, recall of the exact best 20 over 1,000 questions, and the time a question takes."""
    from dpr.indexes.kinds import effort_from
    from dpr.search.choosing import recall_interval, recalls
    from dpr.search.dense import DenseIndex

    queries = queries_of(load_base(args.folder, args.minilm, args.data), QUESTIONS)
    began = time.perf_counter()
    collection = Collection.open(args.collection)
    figures: Figures = {"open_ms": 1e3 * seconds(began)}
    wanted = np.load(exact_path(args))
    efforts = json.loads(args.efforts)
    dense = DenseIndex(collection, efforts[0])
    dense.search(queries[:1], K)
    figures["first_search_s"] = seconds(began)
    figures["index_gb"] = dense.bytes / 1e9
    index: Any = dense.groups[0].index
    for effort in efforts:
        index.effort = effort_from(effort)
        name = " ".join(str(value) for key, value in effort.items() if key != "kind")
        spent, found = [], []
        for query in queries:
            began = time.perf_counter()
            _, rows = dense.search(query[None], K)
            collection.passages(rows[0].tolist())
            spent.append(seconds(began))
            found.append(rows[0])
        mean, low, high = recall_interval(recalls(np.stack(found), wanted), K)
        figures[f"{name}: recall@{K}"] = [round(mean, 4), round(low, 4), round(high, 4)]
        figures[f"{name}: p50_ms, p95_ms"] = [
            round(1e3 * float(np.quantile(spent, share)), 2) for share in (0.5, 0.95)
        ]
        tell(json.dumps(figures))
    return figures


def check(args: argparse.Namespace) -> Figures:
    """Every byte."""
    began = time.perf_counter()
    assert verify(args.collection) == []
    return {"verify_s": seconds(began)}


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


STEPS: dict[str, Callable[[argparse.Namespace], Figures]] = {
    "build": build,
    "index": index,
    "exact": exact,
    "search": search,
    "check": check,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--index", default='{"kind": "ivf", "cells": 16384, "bits": 4}')
    parser.add_argument("--efforts", default='[{"kind": "ivf", "probes": 64}]')
    parser.add_argument("--steps", default="build,index,exact,search")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.step:
        figures = STEPS[args.step](args)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(json.dumps({**figures, f"{args.step}_peak_gb": peak}))
        return
    result: Figures = {
        "rows": args.rows,
        "cores": os.cpu_count(),
        "disk_free_gb": shutil.disk_usage(args.folder).free / 1e9,
    }
    for step in args.steps.split(","):
        command = [sys.executable, *sys.argv, "--step", step]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        result.update(json.loads(output.splitlines()[-1]))
        if args.json:
            args.json.write_text(json.dumps(result, indent=1) + "\n")
    for name, value in result.items():
        print(f"{name:40} {format(value, '.3f') if isinstance(value, float) else value}")


if __name__ == "__main__":
    main()
