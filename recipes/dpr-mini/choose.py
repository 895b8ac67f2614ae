"""Chooses how much relevance and retrieval weigh in an answer, and below what there is none.

    python choose.py --data DIR --model DIR

DIR of --data holds what ``prepare.py`` wrote, DIR of --model what ``finish.py`` wrote; its
``reader/reading.json`` gets the choice. Every dev question whose answer stands in its gold passage
is read twice, over the best passages of the whole pool as they are, and over the best that hold no
accepted answer, where "no answer" is right. The weights are those with the best F1 of the first
kind. The threshold is the highest that keeps 95% of that F1: a reader that is right about half the
time would by SQuAD 2.0's rule (half of the questions without an answer, silence worth 1 there) keep
silent on three questions of four, and a person who asks would rather see an answer with its score.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.evaluation.answers import exact_match, f1, normalize_answer
from dpr.indexes import FlatIndex
from dpr.reading import SETTINGS_NAME, Reader, Reading, ReadingSettings, combine
from dpr.records import Hit, Passage
from dpr.settings import save_settings
from dpr.training.samples import Context, TrainingSample, read_samples

RELEVANCE = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
RETRIEVAL = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5)
THRESHOLDS = np.arange(101) / 100
KEPT = 0.95
DEPTH = 30  # hits among which passages without the answer are looked for

Readings = list[tuple[Hit, Reading]]


@dataclass(slots=True)
class Case:
    """A dev question with the readings of its best passages, and of the best without an answer."""

    sample: TrainingSample
    found: Readings
    without: Readings


def holds(text: str, answers: Sequence[str]) -> bool:
    """Whether a text holds one of the answers, compared as SQuAD compares them."""
    words = f" {normalize_answer(text)} "
    return any(f" {normalize_answer(answer)} " in words for answer in answers)


def read_cases(data: Path, model: Path, settings: ReadingSettings) -> list[Case]:
    """Retrieves and reads for every dev question whose answer stands in its gold passage."""
    dev = list(read_samples(data / "retriever-dev.jsonl"))
    train = read_samples(data / "retriever-train.jsonl")
    pool: dict[tuple[str, str], Context] = {}
    for sample in (*dev, *train):
        pool |= {context.key: context for context in sample.positives}
    passages = [
        Passage(str(row), context.text, context.title) for row, context in enumerate(pool.values())
    ]
    asked = [s for s in dev if any(holds(gold.text, s.answers) for gold in s.positives)]
    print(f"{len(asked)} of {len(dev)} dev questions, {len(passages)} passages", flush=True)

    encoder = model / "encoder"
    index = FlatIndex([ContextEncoder.from_pretrained(encoder).encode(passages)])
    vectors = QuestionEncoder.from_pretrained(encoder).encode([s.question for s in asked])
    scores, rows = index.search(vectors, DEPTH)
    reader = Reader.from_pretrained(model / "reader", settings)
    cases = []
    for first in range(0, len(asked), 64):
        part = slice(first, first + 64)
        cases += _read(reader, asked[part], passages, scores[part], rows[part])
        print(f"{len(cases)} questions read", flush=True)
    return cases


def _read(
    reader: Reader,
    samples: Sequence[TrainingSample],
    passages: Sequence[Passage],
    scores: np.ndarray,
    rows: np.ndarray,
) -> list[Case]:
    count = reader.settings.passages
    cases, to_read = [], []
    for number, sample in enumerate(samples):
        hits = [
            Hit(passages[row], float(score))
            for score, row in zip(scores[number], rows[number], strict=True)
        ]
        golds = {gold.key for gold in sample.positives}
        empty = [
            hit
            for hit in hits
            if (hit.passage.title, hit.passage.text) not in golds
            and not holds(hit.passage.text, sample.answers)
        ]
        cases.append(Case(sample, [], []))
        for hit in hits:
            kinds = hit in hits[:count], hit in empty[:count]
            if any(kinds):
                to_read.append((number, hit, kinds))
    readings = reader.read(
        [samples[number].question for number, _, _ in to_read],
        [hit.passage.title for _, hit, _ in to_read],
        [hit.passage.text for _, hit, _ in to_read],
    )
    for reading in readings:
        number, hit, (found, without) = to_read[reading.item]
        if found:
            cases[number].found.append((hit, reading))
        if without:
            cases[number].without.append((hit, reading))
    return cases


def best_answers(
    readings: Sequence[Readings], settings: ReadingSettings
) -> tuple[list[str], np.ndarray]:
    """The first answer to each question and its score, however low."""
    answers = [combine(one, replace(settings, no_answer_below=0.0)) for one in readings]
    texts = [given[0].text if given else "" for given in answers]
    return texts, np.array([given[0].score if given else 0.0 for given in answers])


def choose(cases: Sequence[Case], settings: ReadingSettings) -> ReadingSettings:
    """The settings with the weights and the threshold that do best; says what it compared."""
    accepted = [case.sample.answers for case in cases]
    found, without = [case.found for case in cases], [case.without for case in cases]

    best = (-1.0, settings)
    for relevance, retrieval in product(RELEVANCE, RETRIEVAL):
        tried = replace(settings, relevance_weight=relevance, retrieval_weight=retrieval)
        texts, _ = best_answers(found, tried)
        figures = [
            np.mean([m(*pair) for pair in zip(texts, accepted, strict=True)]) * 100
            for m in (f1, exact_match)
        ]
        print(
            f"relevance {relevance:5} retrieval {retrieval:5}: F1 {figures[0]:.1f} "
            f"EM {figures[1]:.1f}",
            flush=True,
        )
        if figures[0] > best[0]:
            best = figures[0], tried
    chosen = best[1]

    texts, sure = best_answers(found, chosen)
    _, unsure = best_answers(without, chosen)
    gains = np.array([f1(*pair) for pair in zip(texts, accepted, strict=True)])
    kept = np.array([np.where(sure >= limit, gains, 0).mean() for limit in THRESHOLDS])
    for limit, gained in zip(THRESHOLDS, kept, strict=True):
        if limit <= 0.12 or round(limit * 100) % 10 == 0:
            print(
                f"no answer below {limit:.2f}: answered {np.mean(sure >= limit):.1%}, "
                f"F1 {gained * 100:.1f}; rightly silent {np.mean(unsure < limit):.1%}"
            )
    return replace(chosen, no_answer_below=float(THRESHOLDS[kept >= KEPT * kept[0]].max()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    args = parser.parse_args()
    settings = ReadingSettings()
    chosen = choose(read_cases(args.data, args.model, settings), settings)
    save_settings(chosen, args.model / "reader" / SETTINGS_NAME)
    print(chosen)


if __name__ == "__main__":
    main()
