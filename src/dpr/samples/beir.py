"""Training samples out of a BEIR folder: its judged questions, each with its relevant documents.

Takes a folder; gives samples without negatives, and the names of the files that were read. Knows
nothing of how files of samples look.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dpr.corpus import Problems, SourceSettings, read_documents
from dpr.errors import IdError, InputError
from dpr.questions.beir import find_queries, read_beir
from dpr.records import Document
from dpr.samples.files import Context, SampleCounts, TrainingSample, skippable


def is_beir(place: Path) -> bool:
    """Whether this is a folder with questions."""
    return place.is_dir() and find_queries(place) is not None


def read_beir_samples(
    folder: Path,
    counts: SampleCounts | None = None,
    on_error: str = "raise",
    split: str = "train",
) -> Iterator[TrainingSample]:
    """The samples of ``beir_questions`` that have a positive; those without are counted, and what
    ``on_error="skip"`` leaves out is told in ``counts.problems``.

    Raises:
        InputError: see ``beir_questions``.
    """
    counts = counts if counts is not None else SampleCounts()
    problems = counts.problems if on_error == "skip" else None
    try:
        for _, sample in beir_questions(folder, split, problems):
            counts.read += bool(sample.positives)
            counts.without_positive += not sample.positives
            if sample.positives:
                yield sample
    except IdError as error:
        raise skippable(error) from None


def beir_questions(
    folder: Path, split: str = "train", problems: Problems | None = None
) -> Iterator[tuple[str, TrainingSample]]:
    """The questions that are judged in a split, or in the only file of judgements that there is, as
    ``dpr.questions.beir`` reads them, each with its id. A question's documents come in the order of
    their grades; those of grade 0 and below are none of its positives.

    Args:
        problems: told of what is left out instead of refused: questions of a doubled id, all of
            them, and malformed documents; of documents of one id the first is kept.

    Raises:
        InputError: a file is malformed or missing, or a relevant document is not in the corpus.
    """
    questions = read_beir(folder, split, problems)
    found = Problems() if problems is None else problems
    reading = SourceSettings("beir", on_error="raise" if problems is None else "skip")
    grades = {
        one.id: {doc: grade for doc, grade in questions.judgements[one.id].items() if grade > 0}
        for one in questions.questions
    }
    relevant = {document for own in grades.values() for document in own}
    contexts = {
        one.id: _context(one)
        for one in read_documents(folder, reading, found)
        if one.id in relevant
    }
    missing = sorted(relevant - contexts.keys())
    if missing and not found.hidden:  # else they are those that were malformed, or may be
        raise InputError(
            f"{len(missing)} relevant documents are not in the corpus, the first {missing[0]!r}; "
            "do the files belong together?",
            source=str(folder),
        )
    for question in questions.questions:
        own = sorted(grades[question.id].items(), key=lambda pair: -pair[1])
        positives = tuple(contexts[document] for document, _ in own if document in contexts)
        yield question.id, TrainingSample(question.text, question.answers, positives)


def beir_files(folder: Path) -> list[Path]:
    """The files of a folder that samples may come from."""
    found = [*folder.glob("corpus.jsonl*"), *folder.glob("queries.jsonl*"), *folder.glob("qrels/*")]
    return sorted(path for path in found if path.is_file())


def _context(document: Document) -> Context:
    return Context(document.text, document.title, document.id)
