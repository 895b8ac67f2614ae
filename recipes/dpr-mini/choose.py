"""Chooses how an answer's score is made, and below what there is no answer: ``dpr calibrate``.

    python choose.py --data DIR --model DIR

DIR of --data holds what ``prepare.py`` wrote, DIR of --model what ``finish.py`` wrote; its
``reader/reading.json`` gets the choice. The passages of all samples are indexed and searched as a
user's are; the questions are the dev questions whose answer stands in their gold passage.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from dpr.pipeline import index
from dpr.pipeline.calibrating import calibrate, holds
from dpr.records import Document, Question, QuestionSet
from dpr.samples.files import TrainingSample, read_samples


def documents_of(samples: Sequence[TrainingSample]) -> dict[tuple[str, str], Document]:
    """Each gold passage once, as a document."""
    golds = {gold.key: gold for sample in samples for gold in sample.positives}
    return {
        key: Document(f"p{row}", gold.text, gold.title)
        for row, (key, gold) in enumerate(golds.items())
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    args = parser.parse_args()
    dev = list(read_samples(args.data / "retriever-dev.jsonl"))
    documents = documents_of([*dev, *read_samples(args.data / "retriever-train.jsonl")])
    asked = [s for s in dev if any(holds(gold.text, s.answers) for gold in s.positives)]
    print(f"{len(asked)} of {len(dev)} dev questions, {len(documents)} passages", flush=True)
    questions = QuestionSet(
        "dev",
        tuple(Question(str(n), s.question, s.answers) for n, s in enumerate(asked)),
        {str(n): {documents[gold.key].id: 1 for gold in s.positives} for n, s in enumerate(asked)},
    )
    with TemporaryDirectory() as work:
        folder = Path(work) / "dev.dpr"
        index(list(documents.values()), folder, model=args.model, split="none")
        done = calibrate(
            folder, questions, model=args.model, into_model=True,
            tell=lambda text: print(text, flush=True),
        )  # fmt: skip
    for name, figures in (("before", done.chosen.before), ("held out", done.chosen.after)):
        print(
            f"{name}: EM {100 * figures.exact.value:.1f}, F1 {100 * figures.f1.value:.1f}, "
            f"calibration error {figures.error:.3f}, surest half {figures.half:.3f} right"
        )
    print(asdict(done.chosen.silence))
    print(f"{done.kept}: {done.chosen.settings}")


if __name__ == "__main__":
    main()
