"""A collection of a million passages: build, open, read and search; time and peak memory.

Takes sizes; gives figures as a table, and as JSON with --json. Passages are about 100 words drawn
from a seeded list with a skew like that of real text, vectors are random, so that the figures are
those of storing and searching alone. Each step runs in a process of its own, whose peak memory is
measured (mapped file pages that the system can take back at any time count too). The scratch
folder lies in TMPDIR and is removed at the end.

    python benchmarks/collection_million.py --rows 1000000 --dim 768
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dpr.collection import BuildSettings, Collection, build_collection, verify
from dpr.records import Passage

LETTERS = np.array(list("etaoinshrdlucmfwygpbvkxqjz"))


class RandomEncoder:
    """Vectors drawn from a seed and the shard's first row: an encoder that costs nothing."""

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.fingerprint = f"random-{dim}"
        self.truncated = 0
        self.settings: dict[str, Any] = {"kind": "random", "dim": dim}

    def encode(self, passages: Sequence[Passage]) -> npt.NDArray[np.float32]:
        """(len(passages), dim) float32 of the standard normal distribution."""
        rng = np.random.default_rng(int(passages[0].id))
        return rng.standard_normal((len(passages), self.dim), dtype=np.float32)


def passages(rows: int) -> Iterator[Passage]:
    """Passages of 80 to 120 words from 20,000 words whose frequency falls as in real text."""
    rng = np.random.default_rng(7)
    lengths = rng.integers(2, 10, 20_000)
    words = np.array(["".join(rng.choice(LETTERS, size)) for size in lengths], dtype=object)
    weights = 1 / np.arange(1, len(words) + 1)
    borders = np.cumsum(weights / weights.sum())
    for row in range(rows):
        drawn = np.searchsorted(borders, rng.random(int(rng.integers(80, 121))))
        chosen = words[np.minimum(drawn, len(words) - 1)]
        text = " ".join(chosen)
        title = f"{chosen[0].title()} {chosen[1]}"
        yield Passage(str(row), text, title, "", f"file{row // 1000}.txt", 0, len(text))


def seconds(begin: float) -> float:
    return time.perf_counter() - begin


def build(folder: str, rows: int, dim: int, dtype: str) -> dict[str, Any]:
    """Build the collection; ``generating_s`` is what making the passages costs alone."""
    sample = passages(rows // 20 + 1)
    next(sample)
    begin = time.perf_counter()
    for _ in sample:
        pass
    generating = seconds(begin) * 20
    begin = time.perf_counter()
    settings = BuildSettings(dtype=dtype)  # type: ignore[arg-type]
    build_collection(passages(rows), RandomEncoder(dim), folder, settings)
    size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    return {"build_s": seconds(begin), "generating_s": generating, "disk_mb": size / 1e6}


def read(folder: str, rows: int, dim: int, dtype: str) -> dict[str, Any]:
    """Open, read passages here and there, find rows by id."""
    begin = time.perf_counter()
    collection = Collection.open(folder)
    result: dict[str, Any] = {"open_s": seconds(begin)}
    rng = np.random.default_rng(1)
    times = []
    for _ in range(50):
        wanted = rng.integers(0, rows, 100).tolist()
        begin = time.perf_counter()
        assert len(collection.passages(wanted)) == 100
        times.append(seconds(begin) * 1e3)
    result["read_100_passages_first_ms"], result["read_100_passages_p50_ms"] = (
        times[0],
        statistics.median(times),
    )
    begin = time.perf_counter()
    assert collection.row_of(str(rows - 1)) == rows - 1
    result["first_row_of_s"] = seconds(begin)
    return result


def search(folder: str, rows: int, dim: int, dtype: str) -> dict[str, Any]:
    """Search top 100 for 1, 8 and 256 queries, each hit's passage read for single ones."""
    from dpr.indexes import FlatIndex  # only this step may pay for torch

    collection = Collection.open(folder)
    index = FlatIndex(collection.vectors, collection.ids)
    rng = np.random.default_rng(2)
    result: dict[str, Any] = {}
    for count, rounds in ((1, 15), (8, 5), (256, 3)):
        times = []
        for _ in range(rounds + 1):
            queries = rng.standard_normal((count, dim), dtype=np.float32)
            begin = time.perf_counter()
            _, found = index.search(queries, 100)
            if count == 1:
                collection.passages(found[0].tolist())
            times.append(seconds(begin) * 1e3)
        if count == 1:
            result["search_first_ms"] = times[0]
        result[f"search_{count}_p50_ms"] = statistics.median(times[1:])
    return result


def check(folder: str, rows: int, dim: int, dtype: str) -> dict[str, Any]:
    """Verify in full."""
    begin = time.perf_counter()
    assert verify(folder) == []
    return {"verify_s": seconds(begin)}


STEPS = {"build": build, "read": read, "search": search, "check": check}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--dtype", choices=["float16", "float32"], default="float16")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--step", choices=list(STEPS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step:
        run = STEPS[arguments.step]
        figures = run(arguments.folder, arguments.rows, arguments.dim, arguments.dtype)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(json.dumps({**figures, f"{arguments.step}_peak_mb": peak}))
        return
    result: dict[str, Any] = {
        "rows": arguments.rows,
        "dim": arguments.dim,
        "dtype": arguments.dtype,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }
    with tempfile.TemporaryDirectory() as scratch:
        for step in STEPS:
            command = [sys.executable, *sys.argv, "--step", step]
            command += ["--folder", f"{scratch}/collection"]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            result.update(json.loads(output.splitlines()[-1]))
            print(f"{step} done", file=sys.stderr, flush=True)
    result["load_after"] = os.getloadavg()[0]
    for name, value in result.items():
        print(f"{name:28} {value if isinstance(value, str | int) else format(value, '.3f')}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
