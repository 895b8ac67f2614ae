"""Judged measures of a large run beside a plain call of ir_measures, in one process and in turns.

Takes sizes; writes a run and judgements of that size as TREC files, then reads and judges both
ways: ours with ``dpr.questions`` and ``judge``, the peer with ``ir_measures.read_trec_run`` and
``ir_measures.iter_calc``. Stops unless every value is the same. Gives seconds (medians, and
processor seconds, which a busy machine does not stretch) with the ratio peer / ours (above 1: ours
is faster), and the same as JSON with --json.

    python benchmarks/judged_measures.py --questions 10000 --passages 100
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ir_measures

from dpr.evaluation.judged import judge
from dpr.questions import read_judgements, read_run

MEASURES = ["nDCG@10", "R@100", "RR@10", "AP", "P@5", "Success@5"]
Values = dict[str, dict[str, float]]


def write_files(folder: Path, questions: int, passages: int) -> tuple[Path, Path]:
    """A run with scores of three decimals, so that some tie, and 1 to 5 grades a question."""
    rng = random.Random(0)
    run, qrels = folder / "run.trec", folder / "qrels.trec"
    with run.open("w") as run_file, qrels.open("w") as qrels_file:
        for question in range(questions):
            found = rng.sample(range(100 * passages), passages)
            scores = sorted((round(rng.random(), 3) for _ in found), reverse=True)
            run_file.writelines(
                f"q{question} Q0 p{passage} {rank} {score} tag\n"
                for rank, (passage, score) in enumerate(zip(found, scores, strict=True), 1)
            )
            graded = rng.sample(found, min(passages, rng.randint(1, 5)))
            qrels_file.writelines(
                f"q{question} 0 p{passage} {rng.randint(0, 3)}\n" for passage in graded
            )
    return run, qrels


def by_ir_measures(run: Path, qrels: Path) -> Values:
    """The plain call, its result by measure and question."""
    values: Values = {name: {} for name in MEASURES}
    metrics = ir_measures.iter_calc(
        [ir_measures.parse_measure(name) for name in MEASURES],
        ir_measures.read_trec_qrels(str(qrels)),
        ir_measures.read_trec_run(str(run)),
    )
    for metric in metrics:
        values[str(metric.measure)][metric.query_id] = metric.value
    return values


def timed(work: Callable[[], Any], times: list[tuple[float, float]]) -> Any:
    """Calls; notes the wall clock's seconds and the processor's."""
    begin = time.perf_counter(), time.process_time()
    result = work()
    times.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--passages", type=int, default=100, help="found for each question")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {"reading": [], "judging": [], "peer": []}
    with tempfile.TemporaryDirectory() as folder:
        run, qrels = write_files(Path(folder), arguments.questions, arguments.passages)
        for _ in range(arguments.rounds):
            read = timed(lambda: (read_run(run), read_judgements(qrels)), times["reading"])
            ours = timed(lambda read=read: judge(*read, MEASURES), times["judging"])
            theirs = timed(lambda: by_ir_measures(run, qrels), times["peer"])
            if ours != theirs:
                raise SystemExit("the values differ from those of ir_measures")
    medians = {
        name: [statistics.median(one) for one in zip(*rounds, strict=True)]
        for name, rounds in times.items()
    }
    medians["ours"] = [a + b for a, b in zip(medians["reading"], medians["judging"], strict=True)]
    ratio = medians["peer"][1] / medians["ours"][1]
    lines = arguments.questions * arguments.passages
    print(f"{lines:,} lines of a run, {len(MEASURES)} measures: values equal")
    for name, label in {
        "reading": "ours: reading the files",
        "judging": "ours: judge",
        "ours": "ours together",
        "peer": "ir_measures, reading included",
    }.items():
        print(f"{label:30} {medians[name][0]:6.2f} s   processor {medians[name][1]:6.2f} s")
    print(f"ratio peer / ours, by processor {ratio:.2f}")
    if arguments.json:
        result = {"lines": lines, "seconds": medians, "ratio": ratio}
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
