"""Answer match over the hits of many questions: how long it takes, and the memory it needs.

Every question of a DPR question file gets its own passages, all of them different, made as they are
needed: real words in an order drawn at random, and in some of the passages one of the question's
answers, as it stands, in capitals or taken apart by NFD. Nothing is kept from one question to the
next. The time to make the passages is measured apart. On a sample, the rule as it is written is
timed too, and must give the same verdicts.

    python benchmarks/answer_match.py --data DIR
"""

from __future__ import annotations

import argparse
import ast
import random
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unicodedata import normalize

from common import machine, report
from pool import load_pool

from dpr.evaluation.matching import has_answer, matches

CHANGES: tuple[Callable[[str], str], ...] = (str, str.upper, lambda text: normalize("NFD", text))


def answers_of(path: Path, count: int | None) -> list[list[str]]:
    lines = path.read_text("utf-8").splitlines()[:count]
    return [ast.literal_eval(line.split("\t")[1]) for line in lines]


def make_passages(
    rng: random.Random, stream: list[str], answers: list[str], count: int, words: int, held: float
) -> list[str]:
    """``count`` passages of so many words each; a share ``held`` of them with an answer."""
    passages = []
    for _ in range(count):
        some = rng.choices(stream, k=words)
        if rng.random() < held:
            some[rng.randrange(words)] = rng.choice(CHANGES)(rng.choice(answers))
        passages.append(" ".join(some))
    return passages


class Clock:
    """Wall and processor seconds of what runs in it, summed."""

    def __init__(self) -> None:
        self.wall = self.processor = 0.0

    def __enter__(self) -> None:
        self.begin = time.perf_counter(), time.process_time()

    def __exit__(self, *error: object) -> None:
        self.wall += time.perf_counter() - self.begin[0]
        self.processor += time.process_time() - self.begin[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--questions", type=int, help="default: all of dpr/nq.dev.tsv")
    parser.add_argument("--passages", type=int, default=100, help="of each question")
    parser.add_argument("--words", type=int, default=100, help="of each passage")
    parser.add_argument("--held", type=float, default=0.2, help="share of passages with an answer")
    parser.add_argument("--sample", type=int, default=50, help="questions for the rule as written")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()

    answers = answers_of(options.data / "dpr" / "nq.dev.tsv", options.questions)
    # As often as they stand in real passages, so that common words are common.
    stream = " ".join(text for _, text in load_pool(options.data)).split()
    rng = random.Random(0)
    making, fast, slow = Clock(), Clock(), Clock()
    lengths = verdicts = holding = 0

    def passages() -> Iterator[list[str]]:
        nonlocal lengths
        for accepted in answers:
            with making:
                some = make_passages(
                    rng, stream, accepted, options.passages, options.words, options.held
                )
            lengths += sum(map(len, some))
            yield some

    sample = range(0, len(answers), max(1, len(answers) // max(1, options.sample)))
    for at, some in enumerate(passages()):
        with fast:
            (found,) = matches([some], [answers[at]])
        verdicts, holding = verdicts + len(found), holding + sum(found)
        if at in sample:
            with slow:
                expected = [has_answer(text, answers[at]) for text in some]
            if found != expected:
                raise SystemExit(f"the verdicts of question {at + 1} are not those of the rule")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    compared = len(sample) * options.passages
    result = {
        "machine": machine(),
        "questions": len(answers),
        "passages": verdicts,
        "holding an answer": holding,
        "characters a passage": lengths / verdicts,
        "seconds": fast.wall,
        "processor seconds": fast.processor,
        "passages a second": verdicts / fast.processor,
        "seconds to make the passages": making.wall,
        "peak memory, MB": peak,
        "rule as written: passages": compared,
        "rule as written: passages a second": compared / slow.processor,
        "times as fast as the rule as written": (
            verdicts / fast.processor / (compared / slow.processor)
        ),
    }
    for name, value in result.items():
        print(f"{name:38} {value:,.1f}" if isinstance(value, float) else f"{name:38} {value}")
    report(result, options.json)


if __name__ == "__main__":
    main()
