"""Training samples with their places: all that a file holds, what is malformed included.

Takes the files that ``read_samples`` takes, and BEIR folders; gives samples and errors in their
order, each with the line, record or question it stands in. Knows nothing of what is done with them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpr.corpus import Problems
from dpr.corpus.lines import LineDecoder, UnreadableError, open_bytes
from dpr.errors import InputError
from dpr.questions.files import read_records
from dpr.samples.beir import beir_questions, is_beir
from dpr.samples.files import TrainingSample, sample_from_json, squad_samples
from dpr.samples.formats import (
    check_file,
    has_lines,
    has_list,
    load_json,
    load_whole,
    squad_articles,
)


@dataclass(frozen=True, slots=True)
class Placed:
    """What stands at one place of a file: a sample, or the error that says why there is none.

    Attributes:
        place: ``line 3``, ``record 3, line 41``, ``data[0].paragraphs[2].qas[1]``; of a BEIR
            folder ``question q7``, by its id, or of an error ``queries.jsonl:3``.
        sample: also one without positive passages; None where there is an error.
        error: an ``UnreadableError`` where nothing after it could be read.
        record: the JSON object that the sample was read from; None in SQuAD JSON and BEIR.
        unanswerable: SQuAD 2.0 says that the question has no answer.
        of_passage: the error is of a document of a BEIR folder, and costs no sample.
    """

    place: str
    sample: TrainingSample | None
    error: InputError | None = None
    record: Mapping[str, Any] | None = None
    unanswerable: bool = False
    of_passage: bool = False


def read_placed(path: str | Path) -> Iterator[Placed]:
    """All that a file of samples or a BEIR folder holds, in its order, with the place of each.

    What is malformed is given as an error in its place, and reading goes on after it: in JSON lines
    and SQuAD JSON always, in a list as long as the file is JSON. Lists and lines are streamed.

    Raises:
        InputError: there is no such file, it is none of the formats of ``read_samples``, or there
            is nothing in it; or of a BEIR folder, see ``beir_questions``.
    """
    path = Path(path)
    empty = True
    for placed in _placed_any(path):
        empty = False
        yield placed
    if empty:
        raise InputError(
            "no sample in it; give a file of questions with their passages", source=str(path)
        )


def _placed_any(path: Path) -> Iterator[Placed]:
    if is_beir(path):
        problems = Problems(keep=sys.maxsize)
        for identity, sample in beir_questions(path, problems=problems):
            yield Placed(f"question {identity}", sample)
        yield from left_out(path, problems)
        return
    check_file(path)
    if has_lines(path):
        yield from _placed_lines(path)
        return
    if has_list(path):
        yield from _placed_list(path)
        return
    try:
        articles = squad_articles(path)
    except InputError:
        # Perhaps they are lines, and the first is malformed.
        if not any(one.sample and one.sample.positives for one in _placed_lines(path)):
            raise
        yield from _placed_lines(path)
        return
    for place, unanswerable, found in squad_samples(articles, path):
        if isinstance(found, InputError):
            yield Placed(place, None, found)
        else:
            yield Placed(place, found, unanswerable=unanswerable)


def left_out(folder: Path, problems: Problems) -> Iterator[Placed]:
    """What was left out of a BEIR folder, as errors in their places."""
    for one in problems.items:
        place = Path(one.source).relative_to(folder).as_posix()
        of_passage = place.startswith("corpus.")
        yield Placed(place, None, InputError(one.reason), of_passage=of_passage)


def _placed_lines(path: Path) -> Iterator[Placed]:
    decode = LineDecoder(path)
    with open_bytes(path) as stream:
        lines = decode.raw_lines(stream)
        while True:
            try:
                raw = next(lines, None)
            except UnreadableError as error:
                yield Placed(f"line {decode.number + 1}", None, error)
                return
            if raw is None:
                return
            try:
                text = decode(raw)
                record = load_json(text, path, decode.number) if text.strip() else None
            except InputError as error:
                yield Placed(f"line {decode.number}", None, error)
                continue
            if text.strip():
                yield _placed(record, path, f"line {decode.number}")


def _placed_list(path: Path) -> Iterator[Placed]:
    number = 0
    try:
        for line, record in read_records(path):
            number += 1
            yield _placed(record, path, f"record {number}, line {line}")
    except InputError as error:
        try:
            data = load_whole(path)
        except InputError:
            text = f"{error}; nothing after record {number} could be read"
            yield Placed(f"after record {number}", None, UnreadableError(text))
            return
        # It is JSON, and this record no object.
        for later, record in enumerate(data[number:], number + 1):
            yield _placed(record, path, f"record {later}")


def _placed(record: Any, path: Path, place: str) -> Placed:
    try:
        return Placed(place, sample_from_json(record, path, place), record=record)
    except InputError as error:
        return Placed(place, None, error)
