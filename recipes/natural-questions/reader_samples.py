"""Samples to train the reader on: what a collection's retriever finds for questions with answers.

    python reader_samples.py --collection DIR [--gold biencoder-nq-train.json.gz] \\
        --questions nq-train.qa.csv --to reader-train.jsonl [--questions ... --to ...]

Of the passages found for a question, positives hold an accepted answer: those with the title of a
gold passage where --gold knows one and there are such, else all, the best 20. Negatives are the
best that hold none, 50 at most; the training draws 23 of them anew in every epoch. Questions
without a positive are left out, and counted. The file grows block by block in ``NAME.unfinished``:
the same command goes on after a kill, and does nothing where it is done.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from dpr.errors import DPRError
from dpr.evaluation.matching import Matcher
from dpr.pipeline.asking import Pipeline
from dpr.pipeline.growing import Growing, finished, growing
from dpr.questions import read_question_set
from dpr.questions.files import read_records
from dpr.records import Hit, Question
from dpr.samples.files import Context, TrainingSample, sample_to_json
from dpr.search.settings import Mode

AT_ONCE = 256


@dataclass(frozen=True)
class Selection:
    """Which passages are taken of those found."""

    mode: Mode
    depth: int
    positives: int
    negatives: int


def sample_of(
    question: Question, hits: Sequence[Hit], titles: Iterable[str], selection: Selection
) -> TrainingSample | None:
    """The sample of a question; None where no passage holds an answer."""
    matcher, gold = Matcher(question.answers), set(titles)
    right = [matcher.matches(hit.passage.text) for hit in hits]
    positives = [hit for hit, yes in zip(hits, right, strict=True) if yes]
    negatives = [hit for hit, yes in zip(hits, right, strict=True) if not yes]
    positives = [hit for hit in positives if hit.passage.title in gold] or positives
    if not positives:
        return None
    return TrainingSample(
        question.text,
        question.answers,
        _contexts(positives[: selection.positives]),
        hard_negatives=_contexts(negatives[: selection.negatives]),
    )


def _contexts(hits: Iterable[Hit]) -> tuple[Context, ...]:
    return tuple(
        Context(hit.passage.text, hit.passage.title, hit.passage.id, score=hit.score)
        for hit in hits
    )


def gold_titles(path: Path | None) -> dict[str, set[str]]:
    """The titles of each question's gold passages, from a training file of the retriever."""
    found: dict[str, set[str]] = {}
    for _, record in read_records(path) if path else ():
        titles = {one.get("title") or "" for one in record.get("positive_ctxs") or ()}
        found.setdefault(_key(str(record.get("question"))), set()).update(titles)
    return found


def _key(question: str) -> str:
    return " ".join(unicodedata.normalize("NFC", question).lower().split())


def write(
    pipeline: Pipeline,
    questions: Sequence[Question],
    gold: Mapping[str, set[str]],
    selection: Selection,
    to: Path,
    overwrite: bool,
) -> str:
    """Writes the samples, or goes on; says how many there are."""
    titles = [sorted(gold.get(_key(one.text), ())) for one in questions]
    manifest = pipeline.collection.manifest
    asked = [[one.text, one.answers, some] for one, some in zip(questions, titles, strict=True)]
    made_from = {
        "selection": asdict(selection),
        "questions": hashlib.sha256(json.dumps(asked).encode()).hexdigest(),
        "encoder": manifest.encoder_fingerprint,
        # What is found depends on the index as well, which is a part of a segment.
        "segments": [[one.name, *(part.name for part in one.parts)] for one in manifest.segments],
    }
    record = finished(to, made_from)
    if record is None:
        with growing(to, made_from, overwrite=overwrite) as file:
            _write(file, pipeline, questions, titles, selection)
        record = file.state
    without = int(record["without"])
    return (
        f"{to}: {len(questions) - without:,} questions; left out {without:,} of whose first "
        f"{selection.depth} passages none holds an answer"
    )


def _write(
    file: Growing,
    pipeline: Pipeline,
    questions: Sequence[Question],
    titles: Sequence[Sequence[str]],
    selection: Selection,
) -> None:
    without = int(file.state.get("without", 0))
    while file.done < len(questions):
        part = slice(file.done, file.done + AT_ONCE)
        found = pipeline.search_many(questions[part], selection.depth, mode=selection.mode)
        samples = [
            sample_of(*one, selection)
            for one in zip(questions[part], found, titles[part], strict=True)
        ]
        lines = [sample_to_json(sample) for sample in samples if sample]
        without += len(samples) - len(lines)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        file.append(text.encode(), len(samples), {"without": without})
        print(f"{file.path.name}: {file.done:,} of {len(questions):,}", flush=True)
    file.finish()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--collection", type=Path, required=True)
    parser.add_argument("--questions", type=Path, action="append", required=True)
    parser.add_argument("--to", type=Path, action="append", required=True)
    parser.add_argument("--gold", type=Path)
    parser.add_argument("--mode", default="dense", choices=("dense", "bm25", "hybrid"))
    for name, value in (("depth", 100), ("positives", 20), ("negatives", 50)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--overwrite", action="store_true")
    args = parser.parse_args()
    if len(args.questions) != len(args.to):
        parser.error("give as many --to as --questions")
    selection = Selection(args.mode, args.depth, args.positives, args.negatives)
    try:
        gold = gold_titles(args.gold)
        with Pipeline.open(args.collection, read=False) as pipeline:
            for path, to in zip(args.questions, args.to, strict=True):
                asked = [one for one in read_question_set(path).questions if one.answers]
                print(write(pipeline, asked, gold, selection, to, args.overwrite), flush=True)
    except DPRError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
