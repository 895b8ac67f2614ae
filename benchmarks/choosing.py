"""Whether the index that is chosen keeps what was promised, and is as fast as any that does.

    python benchmarks/choosing.py --data ../shared/data --model dpr-mini --rows 200000

Two collections: the 7,124 real passages of ``pool.py`` with the vectors of a model, asked the real
questions of the test sets; and vectors of ``spectrum.py``, asked its questions. For each, twelve
combinations of recall, memory and latency (fractions of what exact search takes, so that they bite
at any size). The choice is made as ``dpr tune`` makes it, on a quarter of the questions. The others
then measure the chosen index afresh, and 500 of them every candidate at every effort up to one that
finds enough for all targets. Shown of each combination: the choice, whether its recall lies within
the interval that was promised, and how many times as slow it is as the fastest that keeps the
targets on those fresh questions, the two measured in turns.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from folder_bench import FolderBench
from pool import load_pool, load_tests
from spectrum import add_options, load_base, load_vectors, queries_of

from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.indexes import kinds
from dpr.indexes.flat import FlatIndex
from dpr.indexes.stored import StoredVectors
from dpr.records import Passage
from dpr.search.choosing import Choice, Targets, Trial, choose, meets
from dpr.search.trying import Test, measure, try_efforts
from dpr.shipped import find_models

K = 100
RECALLS = (0.90, 0.95, 0.99)
RANKED_BY = 500  # fresh questions by which all candidates are ranked
RIVALS, TURNS = 3, 3  # the fastest others, measured again beside the choice, by all


def real(args: argparse.Namespace) -> tuple[Any, Any]:
    """Vectors of the real passages and questions, kept in the folder."""
    paths = [args.folder / f"choosing-{name}.npy" for name in ("passages", "questions")]
    if not all(path.exists() for path in paths):
        pool = load_pool(args.data)
        names = find_models(args.model)
        context = ContextEncoder.from_pretrained(names.context)
        passages = [Passage(str(n), text, title) for n, (title, text) in enumerate(pool)]
        np.save(paths[0], context.encode(passages).astype(np.float16))
        tests = load_tests(args.data, pool)
        asked = [question.text for questions in tests.values() for question in questions]
        question = QuestionEncoder.from_pretrained(names.question)
        np.save(paths[1], question.encode(asked))
    return np.load(paths[0]), np.load(paths[1])


def made(args: argparse.Namespace) -> tuple[Any, Any]:
    base = load_base(args.folder, args.minilm, args.data)
    return load_vectors(args.folder, base, args.rows), queries_of(base, 2000)


def combinations(flat: Trial) -> list[Targets]:
    """Twelve: recall alone, with memory, with latency, with both."""
    limits = itertools.product((None, 0.6), (None, 0.5))
    return [
        Targets(
            recall,
            None if memory is None else int(memory * flat.bytes),
            None if latency is None else latency * flat.p95,
            K,
        )
        for recall, (memory, latency) in itertools.product(RECALLS, limits)
    ]


def run(name: str, vectors: Any, queries: Any, folder: Path) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    order = rng.permutation(len(queries))
    stored = StoredVectors([vectors])
    flat = FlatIndex(stored)
    halves = []
    for some in np.split(order, [len(order) // 4]):
        exact = [flat.search(queries[part], K)[1] for part in np.array_split(some, 8)]
        halves.append(Test(queries[some], np.concatenate(exact)))
    asked, fresh = halves
    candidates = kinds.candidates(*vectors.shape)
    files: dict[int, dict[str, Path]] = {}
    for number, candidate in enumerate(candidates):
        bench = FolderBench(folder / f"{name}-{number}")
        print(f"{name}: building {kinds.kind_of(candidate.settings)}", flush=True)
        names = kinds.build(candidate.settings, stored, bench)
        files[number] = {one: bench.folder / one for one in names}
    pairs = list(zip(candidates, files.values(), strict=True))
    some = Test(fresh.queries[:RANKED_BY], fresh.exact[:RANKED_BY])
    everything = [
        trial
        for one, paths in pairs
        for series in one.series
        for trial in throughout(one, paths, series, stored, some)
    ]
    print(f"{name}: {len(everything)} measured", flush=True)
    results = []
    for targets in combinations(everything[0]):
        choice = chosen(targets, pairs, stored, asked)
        results.append(judged(name, targets, choice, everything, pairs, stored, fresh))
        print(json.dumps(results[-1]), flush=True)
    return results


def throughout(
    candidate: kinds.Candidate, paths: Any, series: Any, stored: StoredVectors, fresh: Test
) -> Iterator[Trial]:
    """All efforts of a series, up to one that finds enough for every target: more take longer."""
    settings = kinds.to_json(candidate.settings)
    for effort in series:
        index = kinds.load(candidate.settings, paths, stored, effort)
        trial = measure(index, settings, kinds.to_json(effort), fresh, recall=min(RECALLS))
        yield trial
        if trial.low >= max(RECALLS):
            return


def chosen(targets: Targets, pairs: Any, stored: StoredVectors, test: Test) -> Choice:
    trials: list[Trial] = []
    for candidate, paths in pairs:
        estimate = kinds.estimated_bytes(candidate.settings, len(stored), stored.dim)
        if targets.memory is None or estimate <= targets.memory:
            for trial in try_efforts(candidate, paths, stored, test, targets, tuple(trials)):
                trials.append(trial)  # noqa: PERF402
    return choose(trials, targets)


def judged(
    name: str,
    targets: Targets,
    choice: Choice,
    everything: list[Trial],
    pairs: Any,
    stored: StoredVectors,
    fresh: Test,
) -> dict[str, Any]:
    """What the fresh questions say of a choice."""
    wanted = [targets.recall, targets.memory, targets.latency]
    best = sorted((one for one in everything if not meets(one, targets)), key=lambda one: one.p50)
    result: dict[str, Any] = {"collection": name, "targets": wanted, "choice": None}
    if choice.trial is None:
        return {**result, "others that do": len(best), "why": choice.why}
    trial = choice.trial
    again, *others = side_by_side([trial, *best[:RIVALS]], pairs, stored, fresh)
    fastest = min((one.p50 for one in others), default=None)
    return {
        **result,
        "choice": trial.name,
        "promised": [round(value, 4) for value in (trial.recall, trial.low, trial.high)],
        "fresh recall": round(again.recall, 4),
        "within": trial.low <= again.recall <= trial.high,
        "recall kept": again.recall >= targets.recall,
        "memory kept": targets.memory is None or again.bytes <= targets.memory,
        "p50, p95 ms": [round(1e3 * again.p50, 3), round(1e3 * again.p95, 3)],
        "latency kept": targets.latency is None or again.p95 <= targets.latency,
        "times the fastest": None if fastest is None else round(again.p50 / fastest, 2),
    }


def side_by_side(
    trials: list[Trial], pairs: Any, stored: StoredVectors, fresh: Test
) -> list[Trial]:
    """Trials measured again in turns, the quickest turn of each: figures of different minutes
    differ by half on a machine that others use."""
    measured = []
    for trial in trials:
        settings, paths = next(
            (one.settings, paths)
            for one, paths in pairs
            if kinds.to_json(one.settings) == trial.index
        )
        index = kinds.load(settings, paths, stored, kinds.effort_from(trial.effort))
        measured.append(
            lambda index=index, trial=trial: measure(index, trial.index, trial.effort, fresh)
        )
    turns = [[again() for again in measured] for _ in range(TURNS)]
    return [min(of_one, key=lambda one: one.p50) for of_one in zip(*turns, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.set_defaults(rows=200_000)
    parser.add_argument("--model", default="dpr-mini")
    parser.add_argument(
        "--collections", nargs="+", choices=["real", "made"], default=["real", "made"]
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        for name in args.collections:
            make = {"real": real, "made": made}[name]
            results += run(name, *make(args), Path(scratch))
    held = [one for one in results if one["choice"]]
    print(f"{len(held)} chosen; recall within the interval: {sum(one['within'] for one in held)}")
    print(f"slowest against the fastest: {max(one['times the fastest'] or 1 for one in held)}")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
