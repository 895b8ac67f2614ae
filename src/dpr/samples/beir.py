"""Training samples out of a BEIR folder: its judged questions, each with its relevant documents.

Takes a folder; gives samples without negatives, and the names of the files that were read. Knows
nothing of how files of samples look.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dpr.corpus import SourceSettings, read_documents
from dpr.errors import InputError
from dpr.questions.beir import find_queries, read_beir
from dpr.records import Document
from dpr.samples.files import Context, SampleCounts, TrainingSample

SPLIT = "train"


def is_beir(place: Path) -> bool:
    """Whether this is a folder with questions."""
    return place.is_dir() and find_queries(place) is not None


def read_beir_samples(folder: Path, counts: SampleCounts | None = None) -> Iterator[TrainingSample]:
    """The samples of ``beir_questions`` that have a positive; those without are counted.

    Raises:
        InputError: see ``beir_questions``.
    """
    counts = counts if counts is not None else SampleCounts()
    for _, sample in beir_questions(folder):
        counts.read += bool(sample.positives)
        counts.without_positive += not sample.positives
        if sample.positives:
            yield sample


def beir_questions(folder: Path) -> Iterator[tuple[str, TrainingSample]]:
    """The questions that are judged in ``qrels/train.tsv``, or in the only file that there is, as
    ``dpr.questions.beir`` reads them, each with its id. A question's documents come in the order of
    their grades; those of grade 0 and below are none of its positives.

    Raises:
        InputError: a file is malformed or missing, or a relevant document is not in the corpus.
    """
    questions = read_beir(folder, SPLIT)
    grades = {
        one.id: {doc: grade for doc, grade in questions.judgements[one.id].items() if grade > 0}
        for one in questions.questions
    }
    relevant = {document for own in grades.values() for document in own}
    contexts = {
        one.id: _context(one)
        for one in read_documents(folder, replace(SourceSettings(), format="beir"))
        if one.id in relevant
    }
    if missing := sorted(relevant - contexts.keys()):
        raise InputError(
            f"{len(missing)} relevant documents are not in the corpus, the first {missing[0]!r}; "
            "do the files belong together?",
            source=str(folder),
        )
    for question in questions.questions:
        own = sorted(grades[question.id].items(), key=lambda pair: -pair[1])
        positives = tuple(contexts[document] for document, _ in own)
        yield question.id, TrainingSample(question.text, question.answers, positives)


def beir_files(folder: Path) -> list[Path]:
    """The files of a folder that samples may come from."""
    found = [*folder.glob("corpus.jsonl*"), *folder.glob("queries.jsonl*"), *folder.glob("qrels/*")]
    return sorted(path for path in found if path.is_file())


def _context(document: Document) -> Context:
    return Context(document.text, document.title, document.id)
