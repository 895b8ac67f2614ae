"""Exact search for a few queries at a time: peers and ours in one run, on vectors like real ones.

Takes the vectors of ``spectrum.py`` (made where they are not there yet); gives a table of
milliseconds (best of some rounds, each with other queries, the systems in turns) with the ratio
peer / ours for the certified index over float16 (above 1: ours is faster). Peers hold float32. All
must find the same: scores equal to 1e-6, and the same ids but where scores are that close.

    python benchmarks/exact_search.py --minilm DIR --rows 1000000

Needs about 7 GB and, besides the dev extra, nothing. Panorama's PCA is learnt on 65,536 rows; its
queries are rotated within the time that counts.
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
from folder_bench import FolderBench
from spectrum import DIM, add_options, load_base, load_vectors, queries_of
from usearch.index import MetricKind
from usearch.index import search as usearch_search

from dpr.indexes import FlatIndex
from dpr.indexes.certified import CertifiedIndex, CertifiedSettings, build_certified
from dpr.indexes.stored import StoredVectors

Found = tuple[Any, Any]
Search = Callable[[Any], Found]
PIECE = 1 << 16
OURS = "ours, certified, float16"


def add_in_pieces(index: Any, vectors: Any, axes: Any = None) -> Any:
    for first in range(0, len(vectors), PIECE):
        some = vectors[first : first + PIECE].astype(np.float32)
        index.add(some if axes is None else some @ axes.T)
    return index


def peers(vectors: Any, top: int, threads: int, levels: int) -> tuple[dict[str, Search], Any]:
    """The peers by name, and the float32 vectors that one of them holds."""
    flat = add_in_pieces(faiss.IndexFlatIP(DIM), vectors)
    held = faiss.rev_swig_ptr(flat.get_xb(), len(vectors) * DIM).reshape(-1, DIM)
    pca = faiss.PCAMatrix(DIM, DIM)
    pca.train(np.ascontiguousarray(held[:: max(1, len(held) // (1 << 16))]))
    axes = faiss.vector_to_array(pca.A).reshape(DIM, DIM)  # its offset would not keep products
    panorama = add_in_pieces(faiss.IndexFlatIPPanorama(DIM, levels), vectors, axes)

    def usearch(queries: Any) -> Found:
        found = usearch_search(held, queries, top, MetricKind.IP, exact=True, threads=threads)
        keys, distances = np.atleast_2d(found.keys), np.atleast_2d(found.distances)
        return 1 - distances, keys.astype(np.int64)

    return {
        "faiss IndexFlatIP": lambda queries: flat.search(queries, top),
        f"faiss IndexFlatIPPanorama, PCA, {levels} levels": lambda queries: panorama.search(
            queries @ axes.T, top
        ),
        "usearch, exact": usearch,
    }, held


def ours(
    folder: Path, vectors: Any, held: Any, top: int, settings: CertifiedSettings
) -> dict[str, Search]:
    systems: dict[str, Search] = {}
    for name, array in (("float16", vectors), ("float32", held)):
        stored = StoredVectors([array], longest=1.001)
        bench = FolderBench(folder / f"certified-{len(array)}-{settings.tail}-{name}")
        began = time.monotonic()
        names = build_certified(stored, bench, settings)
        index = CertifiedIndex.load({one: bench.folder / one for one in names}, stored)
        print(
            f"certified over {name}: built or found in {time.monotonic() - began:.0f} s, ", end=""
        )
        print(f"{index.bytes / len(index):.0f} bytes a row besides the vectors")
        systems[f"ours, certified, {name}"] = lambda queries, index=index: index.search(
            queries, top
        )
        flat = FlatIndex(stored)
        systems[f"ours, flat, {name}"] = lambda queries, flat=flat: flat.search(queries, top)
    return systems


def check(queries: Any, wanted: Found, found: Found, held: Any, name: str) -> float:
    """The share of places with the same id; where ids differ, their products may not."""
    same = wanted[1] == found[1]
    for query in range(len(queries)):
        products = held[found[1][query]].astype(np.float64) @ queries[query]
        off = np.abs(np.sort(products)[::-1] - wanted[0][query]).max()
        assert off < 1e-6, f"{name}: another result, scores off by {off}"
        assert len(set(found[1][query].tolist())) == found[1].shape[1]
    return float(same.mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--queries", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--top", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--levels", type=int, default=16, help="of Panorama")
    parser.add_argument("--tail", type=float, default=CertifiedSettings().tail)
    parser.add_argument("--processor", action="store_true", help="count processor time instead")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    faiss.omp_set_num_threads(args.threads)
    torch.set_num_threads(args.threads)
    base = load_base(args.folder, args.minilm, args.data)
    vectors = load_vectors(args.folder, base, args.rows)
    asked = queries_of(base, 2000)
    systems, held = peers(vectors, args.top, args.threads, args.levels)
    systems |= ours(args.folder, vectors, held, args.top, CertifiedSettings(tail=args.tail))
    clock = time.process_time if args.processor else time.perf_counter
    times: dict[int, dict[str, list[float]]] = {}
    agreed = dict.fromkeys(systems, 1.0)
    for count in args.queries:
        times[count] = {name: [] for name in systems}
        for number in range(args.rounds):
            queries = asked[number * count : (number + 1) * count]
            results: dict[str, Found] = {}
            for name, search in systems.items():
                began = clock()
                results[name] = search(queries)
                times[count][name].append((clock() - began) * 1e3)
            for name, found in results.items():
                share = check(queries, results[OURS], found, held, name)
                agreed[name] = min(agreed[name], share)
    show(times, agreed)
    if args.json:
        args.json.write_text(json.dumps({"times": times, "agreed": agreed}, indent=1) + "\n")


def show(times: dict[int, dict[str, list[float]]], agreed: dict[str, float]) -> None:
    print(
        "| queries at once | " + " | ".join(f"{n} ms | ratio" for n in times) + " | same places |"
    )
    print("|---" * (2 * len(times) + 2) + "|")
    for name in agreed:
        cells = []
        for one in times.values():
            # The first round warms up: it maps files and starts threads.
            best, own = min(one[name][1:]), min(one[OURS][1:])
            middle = statistics.median(one[name][1:]) / statistics.median(one[OURS][1:])
            cells += [f"{best:.0f}", f"{best / own:.2f} ({middle:.2f})"]
        print(f"| {name} | " + " | ".join(cells) + f" | {agreed[name]:.3f} |")


if __name__ == "__main__":
    main()
