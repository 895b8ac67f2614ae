"""Vectors of 768 numbers with the spectrum of real embeddings, in any number, the same each time.

    python benchmarks/spectrum.py --minilm DIR --rows 1000000 --folder /tmp/spectrum

Indexes that prune or compress live on how the length of vectors is spread over the axes and on how
far the best scores stand out, so random numbers would tell nothing about them. These vectors are
made from real ones: all-MiniLM-L6-v2 (the folder in --minilm; mean pooling, normalised) over the
7,124 passages and 2,766 questions of ``pool.py``.

A row has two halves of 384. A half is ``normalise(normalise(p0 + a p1 + b p2) + 0.6 noise)``: p0
the row's own passage, p1 and p2 passages drawn at random for each half, a below 0.8 and b below 0.6
uniform, noise normal with the passages' own covariance. So that the second half is no copy of the
first, its p0 is the partner of the first's: passages are paired off at random once and for all,
those that are the nearest to some question among themselves. A query is made in the same way from
questions, never from passages (a below 0.4, b below 0.2, noise 0.3); its second half starts from a
question whose nearest passage is the partner of the first one's, so that rows near to it in both
halves are there. With --check, beside the real vectors, at as many rows (standard deviations above
the mean score of a query, medians over 300 queries):

    energy in the first 1/12, 1/6, 1/3, 1/2 of the axes    best, 10th, 100th score
    real   .520 .672 .842 .932                             6.6 3.8 2.3
    made   .535 .687 .854 .939                             4.5 2.8 2.1

Best scores stand out less than real ones: what prunes here prunes there. Each shard of 65,536 rows
is seeded by its number, so that 21 million can be made one by one: 50 s of processor a million.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pool import load_pool, load_tests

Array = np.ndarray[Any, np.dtype[np.float32]]

HALF = 384
DIM = 2 * HALF
SHARD = 1 << 16
SEED = 2026


@dataclass(frozen=True)
class Base:
    """The real vectors, normalised: passages (7124, 384) and questions (2766, 384)."""

    passages: Array
    questions: Array

    @cached_property
    def nearest(self) -> Any:
        """The passage nearest to each question."""
        return (self.questions @ self.passages.T).argmax(1)

    @cached_property
    def passage_partners(self) -> Any:
        """The partner of each passage; passages near to questions have such ones."""
        rng = np.random.default_rng(SEED)
        partners = np.empty(len(self.passages), np.int64)
        asked = np.unique(self.nearest)
        for some in (asked, np.setdiff1d(np.arange(len(partners)), asked)):
            shuffled = rng.permutation(some)
            partners[shuffled] = np.roll(shuffled, 1)
        return partners

    @cached_property
    def question_partners(self) -> Any:
        """For each question one whose nearest passage is the partner of its own."""
        order = np.argsort(self.nearest, kind="stable")
        first = np.searchsorted(self.nearest[order], np.arange(len(self.passages)))
        return order[first[self.passage_partners[self.nearest]]]

    @cached_property
    def passage_noise(self) -> Array:
        return noise_of(self.passages)

    @cached_property
    def question_noise(self) -> Array:
        return noise_of(self.questions)


def noise_of(vectors: Array) -> Array:
    """(384, 384): normal numbers (n, 384) times this have the covariance of the vectors."""
    values, axes = np.linalg.eigh(np.cov(vectors.T))
    return ((axes * np.sqrt(np.maximum(values, 0))).T).astype(np.float32)


def normalised(vectors: Array) -> Array:
    vectors /= np.sqrt(np.einsum("ij,ij->i", vectors, vectors))[:, None]
    return vectors


def half(
    rng: np.random.Generator, own: Any, vectors: Array, noise: Array, shares: tuple[float, ...]
) -> Array:
    """(n, 384): one half of rows that start from the vectors ``own`` (n,)."""
    made = vectors[own]
    for share in shares[:-1]:
        weights = rng.random((len(own), 1), np.float32) * np.float32(share)
        made += weights * vectors[rng.integers(0, len(vectors), len(own))]
    normalised(made)
    normal = rng.standard_normal(made.shape, np.float32)
    normal *= np.float32(shares[-1])
    made += normal @ noise
    return normalised(made)


def passages_of(base: Base, number: int, rows: int = SHARD) -> Array:
    """A shard of at most so many rows (n, 768), of length 1."""
    rng = np.random.default_rng([SEED, 0, number])
    own = rng.integers(0, len(base.passages), min(rows, SHARD))
    halves = [
        half(rng, one, base.passages, base.passage_noise, (0.8, 0.6, 0.6))
        for one in (own, base.passage_partners[own])
    ]
    return np.concatenate(halves, axis=1) * np.float32(0.5**0.5)


def queries_of(base: Base, count: int) -> Array:
    """(count, 768), of length 1."""
    rng = np.random.default_rng([SEED, 1])
    own = rng.integers(0, len(base.questions), count)
    halves = [
        half(rng, one, base.questions, base.question_noise, (0.4, 0.2, 0.3))
        for one in (own, base.question_partners[own])
    ]
    return np.concatenate(halves, axis=1) * np.float32(0.5**0.5)


def shards(base: Base, rows: int, threads: int = 2) -> Iterator[tuple[int, Array]]:
    """First row and vectors of each shard in order; as many as there are threads at once."""
    _ = base.passage_partners, base.passage_noise  # not by each thread for itself
    with ThreadPoolExecutor(threads) as pool:
        firsts = range(0, rows, SHARD)
        for at in range(0, len(firsts), threads):
            some = firsts[at : at + threads]
            made = pool.map(lambda first: passages_of(base, first // SHARD, rows - first), some)
            yield from zip(some, made, strict=True)


def load_base(folder: Path, minilm: Path | None, data: Path) -> Base:
    """The real vectors, from the folder where they were left or by encoding the texts."""
    paths = [folder / "base-passages.npy", folder / "base-questions.npy"]
    if not all(path.exists() for path in paths):
        if minilm is None:
            raise SystemExit(f"{paths[0]} is not there; give --minilm to encode the real texts")
        from quality import mean_pooled

        pool = load_pool(data)
        tests = load_tests(data, pool)
        asked = [q.text for questions in tests.values() for q in questions]
        folder.mkdir(parents=True, exist_ok=True)
        np.save(paths[1], mean_pooled(minilm, asked))
        np.save(paths[0], mean_pooled(minilm, [f"{title}. {text}" for title, text in pool]))
    return Base(*(np.load(path) for path in paths))


def load_vectors(folder: Path, base: Base, rows: int, dtype: str = "float16") -> Any:
    """(rows, 768), mapped from a file in the folder, which is made where it is not there."""
    path = folder / f"vectors-{rows}-{dtype}.npy"
    if not path.exists():
        partial = path.with_suffix(".partial")
        file = np.lib.format.open_memmap(partial, "w+", dtype, (rows, DIM))
        for first, vectors in shards(base, rows):
            file[first : first + len(vectors)] = vectors
        file.flush()
        partial.rename(path)
    return np.load(path, mmap_mode="r")


def add_options(parser: argparse.ArgumentParser) -> None:
    default = os.environ.get("DPR_SPECTRUM", str(Path(tempfile.gettempdir()) / "spectrum"))
    parser.add_argument("--minilm", type=Path, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--folder", type=Path, default=Path(default), help="where vectors are kept")
    parser.add_argument("--rows", type=int, default=1_000_000)


def show_check(base: Base) -> None:
    """The figures of the docstring."""
    rng = np.random.default_rng(0)
    asked = base.questions[rng.choice(len(base.questions), 300, replace=False)]
    made = passages_of(base, 0, len(base.passages))
    for name, vectors, queries in (
        ("real", base.passages, asked),
        ("made", made, queries_of(base, 300)),
    ):
        energies = np.linalg.eigvalsh(vectors.T @ vectors)[::-1]
        shares = np.cumsum(energies) / energies.sum()
        dim = vectors.shape[1]
        scores = queries @ vectors.T
        deviations = (scores - scores.mean(1, keepdims=True)) / scores.std(1, keepdims=True)
        top = np.median(-np.sort(-deviations, axis=1)[:, [0, 9, 99]], axis=0)
        print(name, [round(float(shares[dim // n - 1]), 3) for n in (12, 6, 3, 2)], top.round(2))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--dtype", choices=["float16", "float32"], default="float16")
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--check", action="store_true", help="compare with the real vectors")
    args = parser.parse_args()
    base = load_base(args.folder, args.minilm, args.data)
    if args.check:
        show_check(base)
    began = time.monotonic()
    load_vectors(args.folder, base, args.rows, args.dtype)
    np.save(args.folder / "queries.npy", queries_of(base, args.queries))
    print(f"{args.rows} vectors in {args.folder}: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
