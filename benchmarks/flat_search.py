"""Exact search beside faiss.IndexFlatIP in one run, on the same vectors and queries.

Takes sizes; gives a table of medians in milliseconds with the ratio faiss / ours (above 1: ours is
faster), and the same as JSON with --json. faiss always holds float32; ours holds what --dtypes
says. The two take turns, so that a noisy machine troubles both alike.

    python benchmarks/flat_search.py --rows 200000 --dims 384 768 --queries 1 8 256
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import torch

from dpr.indexes import FlatIndex


def took(search: Callable[[], Any]) -> float:
    """Milliseconds of one call."""
    begin = time.perf_counter()
    search()
    return (time.perf_counter() - begin) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dims", type=int, nargs="+", default=[384, 768])
    parser.add_argument("--dtypes", nargs="+", default=["float16", "float32"])
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 8, 256])
    parser.add_argument("--top", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=0, help="0: each library's own choice")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.threads:
        faiss.omp_set_num_threads(arguments.threads)
        torch.set_num_threads(arguments.threads)
    results = []
    print(f"{'dim':>5} {'stored':>8} {'queries':>8} {'faiss ms':>9} {'ours ms':>9} {'ratio':>6}")
    for dim in arguments.dims:
        rng = np.random.default_rng(0)
        vectors = rng.standard_normal((arguments.rows, dim), dtype=np.float32)
        peer = faiss.IndexFlatIP(dim)
        peer.add(vectors)
        for dtype in arguments.dtypes:
            ours = FlatIndex([vectors.astype(dtype)])
            for count in arguments.queries:
                queries = rng.standard_normal((count, dim), dtype=np.float32)
                result = compare(peer, ours, queries, arguments.top, arguments.rounds)
                result = {"dim": dim, "stored": dtype, "queries": count, **result}
                results.append({"rows": arguments.rows, "top": arguments.top, **result})
                print(
                    f"{dim:5d} {dtype:>8} {count:8d} {result['faiss_ms']:9.1f} "
                    f"{result['ours_ms']:9.1f} {result['ratio']:6.2f}",
                    flush=True,
                )
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def compare(
    peer: faiss.IndexFlatIP, ours: FlatIndex, queries: Any, top: int, rounds: int
) -> dict[str, float]:
    """Medians of both, taking turns, after one call each that does not count."""
    peer_times, our_times = [], []
    for round_number in range(rounds + 1):
        times = took(lambda: peer.search(queries, top)), took(lambda: ours.search(queries, top))
        if round_number:
            peer_times.append(times[0])
            our_times.append(times[1])
    medians = statistics.median(peer_times), statistics.median(our_times)
    return {"faiss_ms": medians[0], "ours_ms": medians[1], "ratio": medians[0] / medians[1]}


if __name__ == "__main__":
    main()
