"""Approximate indexes beside faiss's HNSW32 in one run: recall, speed, memory, the whole frontier.

Takes vectors and queries (.npy; ``spectrum.py`` makes some, queries are never rows) and a folder
for what takes long to make: the exact answers, the peer's graph and our indexes are kept there and
used again. Each system is measured in fresh processes, in turns; a process loads one index,
searches all queries in one call and some one by one, and says what its memory grew by, mapped pages
included. "CPU ms" is processor time a query of the call, which a busy machine changes least; set
OMP_WAIT_POLICY=PASSIVE there, so that waiting does not count.

    python benchmarks/approximate_search.py --vectors vectors.npy --queries queries.npy --work DIR

Recall is the share of the exact top 100 that is found. The peer is IndexHNSWFlat, M = 32, at the
least efSearch that reaches the target; ours is whatever reaches it fastest within an eighth of the
peer's memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from math import log2
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil
from folder_bench import FolderBench

from dpr.indexes import kinds
from dpr.indexes.hnsw import HNSWEffort, HNSWSettings
from dpr.indexes.ivf import IVFEffort, IVFSettings
from dpr.indexes.stored import StoredVectors

Array = np.ndarray[Any, Any]
PEER = "faiss HNSW32"
BREADTHS = (
    50,
    64,
    70,
    80,
    90,
    100,
    128,
    160,
    200,
    250,
    300,
    350,
    400,
    500,
    600,
    800,
    1000,
    1300,
    1600,
    2400,
    3200,
)
ROUNDS = 3
ALONE = 200  # queries that are searched one by one


def ours(dim: int, cells: list[int]) -> dict[str, kinds.IndexSettings]:
    """The systems to compare: cells x dims x codes x refinement."""
    found: dict[str, kinds.IndexSettings] = {}
    for count in cells:
        for bits, share in ((1, 0.6667), (1, 0.75), (2, 0.6667)):
            dims = int(dim * share) // 4 * 4
            name = f"IVF{count} {dims} dims PQ4/{4 // bits} + PQ8/2"
            found[name] = IVFSettings(count, dims, "pq", bits, "codes")
        for bits in (3, 4):
            found[f"IVF{count} RaBitQ {bits} bits"] = IVFSettings(count, 0, "rabitq", bits, "none")
        found[f"IVF{count} RaBitQ 1 bit + vectors"] = IVFSettings(count, 0, "rabitq", 1, "vectors")
    found["HNSW32 int8"] = HNSWSettings("int8", refine="none")
    return found


def efforts(settings: kinds.IndexSettings, k: int) -> Iterator[kinds.SearchEffort]:
    """What to try, in ascending cost."""
    if isinstance(settings, HNSWSettings):
        yield from (HNSWEffort(breadth) for breadth in BREADTHS)
        return
    assert isinstance(settings, IVFSettings)
    shares = (0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024, 0.04, 0.065, 0.1, 0.18, 0.3, 0.5)
    for share in shares:
        probes = max(1, round(settings.cells * share))
        several = (0,) if settings.refine == "none" else (3 * k // 2, 2 * k, 3 * k, 5 * k)
        yield from (IVFEffort(probes, count) for count in several)


def truth(vectors: Array, queries: Array, k: int, path: Path) -> Array:
    """Rows of the k largest inner products, in float32; kept in a file."""
    if path.exists():
        kept: Array = np.load(path)
        return kept
    scores = np.full((len(queries), k), -np.inf, np.float32)
    rows = np.zeros((len(queries), k), np.int64)
    for first in range(0, len(vectors), 20_000):
        near = queries @ vectors[first : first + 20_000].astype(np.float32).T
        numbers = np.broadcast_to(np.arange(first, first + near.shape[1]), near.shape)
        scores = np.concatenate([scores, near], axis=1)
        rows = np.concatenate([rows, numbers], axis=1)
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        scores = np.take_along_axis(scores, best, axis=1)
        rows = np.take_along_axis(rows, best, axis=1)
    np.save(path, rows)
    return rows


def build_peer(vectors: Array, path: Path, effort: int) -> None:
    """The peer's graph; what was added is kept now and then, as it takes long."""
    partial, times = path.with_suffix(".partial"), path.with_suffix(".seconds")
    if path.exists():
        return
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    spent = 0.0
    if partial.exists():
        index, spent = faiss.read_index(str(partial)), float(times.read_text())
    index.hnsw.efConstruction = effort
    for first in range(index.ntotal, len(vectors), 10_000):
        begin = time.perf_counter()
        index.add(vectors[first : first + 10_000].astype(np.float32))
        spent += time.perf_counter() - begin
        print(f"{PEER}: {index.ntotal:,} rows in {spent:,.0f} s", flush=True)
        if index.ntotal % 100_000 == 0:
            faiss.write_index(index, str(partial))
            times.write_text(f"{spent}")
    faiss.write_index(index, str(path))
    times.write_text(f"{spent}")
    partial.unlink(missing_ok=True)


def measured(
    search: Callable[[Array, Any], Array], tries: Iterable[Any], given: Arguments, before: int
) -> list[dict[str, Any]]:
    """Recall, speed and memory of each try, up to one that is half as fast as one that finds
    enough."""
    queries, exact = given.queries, given.exact
    results, fastest = [], 0.0
    for effort in tries:
        rows = search(queries, effort)
        pairs = zip(rows, exact, strict=True)
        recalls = [len(np.intersect1d(*pair)) / exact.shape[1] for pair in pairs]
        recall, spent, alone, processor = statistics.fmean(recalls), [], [], []
        for _ in range(ROUNDS):
            begin, used = time.perf_counter(), time.process_time()
            search(queries, effort)
            spent.append(time.perf_counter() - begin)
            processor.append((time.process_time() - used) / len(queries) * 1e3)
        for number in range(min(ALONE, len(queries))):
            begin = time.perf_counter()
            search(queries[number : number + 1], effort)
            alone.append((time.perf_counter() - begin) * 1e3)
        grown = psutil.Process().memory_info().rss - before
        result = {"effort": str(effort), "recall": recall, "qps": len(queries) / min(spent)}
        result |= {
            "p50_ms": statistics.median(alone),
            "p90_ms": statistics.quantiles(alone, n=10)[8],
        }
        result["cpu_ms"] = min(processor)
        results.append(result | {"memory": grown})
        print(f"  {effort}: {recall:.4f} {result['qps']:.0f}", file=sys.stderr, flush=True)
        if recall >= given.target:
            fastest = max(fastest, result["qps"])
        if result["qps"] < fastest / 2:
            break
    return results


class Arguments:
    """What every process is given."""

    def __init__(self, parsed: argparse.Namespace) -> None:
        self.parsed = parsed
        self.target: float = parsed.target
        self.vectors: Array = np.load(parsed.vectors, mmap_mode="r")[: parsed.rows]
        self.queries: Array = np.load(parsed.queries)[: parsed.count].astype(np.float32)
        self.work: Path = parsed.work
        self.rows = len(self.vectors)
        self.exact = truth(
            self.vectors,
            self.queries,
            parsed.top,
            self.work / f"truth-{self.rows}-{len(self.queries)}.npy",
        )
        cells = parsed.cells or [2 ** round(log2(many * self.rows**0.5)) for many in (1, 8)]
        self.systems = ours(self.vectors.shape[1], cells)

    @property
    def peer(self) -> Path:
        return self.work / f"peer-{self.rows}.faiss"

    def bench(self, name: str) -> FolderBench:
        return FolderBench(self.work / f"{name.replace(' ', '_').replace('/', '-')}-{self.rows}")


def measure_one(given: Arguments, name: str) -> dict[str, Any]:
    """In a fresh process: loads one index and measures it."""
    top = given.exact.shape[1]
    process = psutil.Process()
    if name == PEER:
        before = process.memory_info().rss
        index = faiss.read_index(str(given.peer))

        def follow(queries: Array, breadth: int) -> Array:
            parameters = faiss.SearchParametersHNSW(efSearch=breadth)
            found: Array = index.search(queries, top, params=parameters)[1]
            return found

        points = measured(follow, BREADTHS, given, before)
        return {"name": name, "bytes": given.peer.stat().st_size, "touched": 0, "points": points}
    settings, bench = given.systems[name], given.bench(name)
    stored = StoredVectors([given.vectors], longest=1e6)
    files = {path.name: path for path in bench.folder.iterdir()}
    before = process.memory_info().rss
    mine: Any = kinds.load(settings, files, stored)

    def search(queries: Array, effort: Any) -> Array:
        mine.effort = effort
        found: Array = mine.search(queries, top)[1]
        return found

    points = measured(search, efforts(settings, top), given, before)
    return {"name": name, "bytes": mine.bytes, "touched": mine.touched, "points": points}


def best_of(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """The same system measured several times: for each effort the best speed, the most memory."""
    merged = dict(turns[0])
    merged["points"] = [
        {
            **same[0],
            "qps": max(point["qps"] for point in same),
            "p50_ms": min(point["p50_ms"] for point in same),
            "p90_ms": min(point["p90_ms"] for point in same),
            "cpu_ms": min(point["cpu_ms"] for point in same),
            "memory": max(point["memory"] for point in same),
        }
        for same in zip(*(turn["points"] for turn in turns), strict=False)
    ]
    return merged


def report(results: list[dict[str, Any]], target: float) -> dict[str, Any]:
    """Prints every system's frontier, and what reaches the target beside the peer."""
    chosen: dict[str, dict[str, Any]] = {}
    print(f"{'recall':>7} {'QPS':>7} {'p50 ms':>7} {'p90 ms':>7} {'CPU ms':>7} {'MB':>7}  effort")
    for result in results:
        print(f"{result['name']}: files {result['bytes'] / 1e6:.0f} MB")
        points = sorted(result["points"], key=lambda point: -point["qps"])
        best = 0.0
        for point in points:
            if point["recall"] > best:
                best = point["recall"]
                print(
                    f"{point['recall']:7.4f} {point['qps']:7.0f} {point['p50_ms']:7.2f} "
                    f"{point['p90_ms']:7.2f} {point['cpu_ms']:7.3f} "
                    f"{point['memory'] / 1e6:7.0f}  {point['effort']}"
                )
        reaching = [point for point in points if point["recall"] >= target]
        if reaching:
            chosen[result["name"]] = reaching[0]
    if PEER not in chosen:
        print(f"{PEER} does not reach {target}")
        return chosen
    peer = chosen[PEER]
    print(f"\nat recall {target} or more, beside {PEER} ({peer['qps']:.0f} QPS):")
    for name, point in chosen.items():
        print(
            f"{name}: {point['qps'] / peer['qps']:.2f} times the QPS "
            f"({peer['cpu_ms'] / point['cpu_ms']:.2f} by processor time), "
            f"{point['memory'] / peer['memory']:.3f} of the memory, p50 {point['p50_ms']:.2f} ms "
            f"({peer['p50_ms'] / point['p50_ms']:.2f} times as quick), {point['effort']}"
        )
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for what is kept")
    parser.add_argument("--rows", type=int, help="only the first so many")
    parser.add_argument("--count", type=int, default=1000, help="queries")
    parser.add_argument("--top", type=int, default=100)
    parser.add_argument("--target", type=float, default=0.95)
    parser.add_argument("--cells", type=int, nargs="+")
    parser.add_argument("--only", nargs="+", default=[""], help="systems whose names hold these")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=2, help="0: only build")
    parser.add_argument("--construction", type=int, default=200, help="the peer's efConstruction")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    faiss.omp_set_num_threads(parsed.threads)
    parsed.work.mkdir(parents=True, exist_ok=True)
    given = Arguments(parsed)
    if parsed.measure:
        print(json.dumps(measure_one(given, parsed.measure)))
        return
    build_peer(given.vectors, given.peer, parsed.construction)
    names = [name for name in given.systems if any(part in name for part in parsed.only)]
    for name in names:
        begin = time.perf_counter()
        stored = StoredVectors([given.vectors], longest=1e6)
        kinds.build(given.systems[name], stored, given.bench(name))
        print(f"{name}: built in {time.perf_counter() - begin:.0f} s", flush=True)
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in [PEER, *names]}
    if not parsed.turns:
        return
    for _ in range(parsed.turns):
        for name, own in turns.items():
            command = [sys.executable, *sys.argv, "--measure", name]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            own.append(json.loads(done.stdout.splitlines()[-1]))
    results = [best_of(own) for own in turns.values()]
    chosen = report(results, parsed.target)
    if parsed.json:
        parsed.json.write_text(json.dumps({"systems": results, "chosen": chosen}, indent=1) + "\n")


if __name__ == "__main__":
    main()
