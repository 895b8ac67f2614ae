"""Judgements: TREC's qrels (``question 0 passage grade``) and BEIR's table with a header.

Takes a path; gives grades by question and passage or document. Which of the two formats a file is,
its first line tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args

from dpr.corpus.lines import LineDecoder, open_bytes
from dpr.errors import InputError, SettingsError
from dpr.questions.fields import read_id
from dpr.questions.files import write_lines
from dpr.questions.rows import read_rows, write_row
from dpr.questions.trec import check_word

JudgementFormat = Literal["trec", "beir"]
Judgements = dict[str, dict[str, int]]
HEADER = ["query-id", "corpus-id", "score"]
_EXPECTED = (
    "expected TREC's four columns, question 0 passage grade, set apart by white space, or BEIR's "
    f"three, set apart by tabs, under the header {' '.join(HEADER)}"
)
_GRADE = re.compile(r"[+-]?[0-9]{1,9}")


def read_judgements(path: str | Path) -> Judgements:
    """Judgements: question id -> passage or document id -> grade, in the order of the file.

    Raises:
        InputError: the file cannot be read or is empty; a line has not the columns of its format,
            a grade that is no whole number, or a pair that came before with another grade; names
            the line.
    """
    path = Path(path)
    judgements: Judgements = {}
    for line, question, passage, text in _rows(path):
        if not _GRADE.fullmatch(text):
            raise InputError(
                f"the grade is {text!r}; expected a whole number", source=str(path), line=line
            )
        grade, grades = int(text), judgements.setdefault(question, {})
        if grades.setdefault(passage, grade) != grade:
            raise InputError(
                f"{passage!r} is graded {grade} for question {question!r}, and {grades[passage]} "
                "on an earlier line; keep one",
                source=str(path),
                line=line,
            )
    if not judgements:
        raise InputError(f"there is no judgement in it; {_EXPECTED}", source=str(path))
    return judgements


def _rows(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line, question, passage and grade of each row."""
    with open_bytes(path) as stream:
        first = next(filter(bytes.strip, LineDecoder(path).raw_lines(stream)), b"")
    return _beir_rows(path) if first.split() == [b.encode() for b in HEADER] else _trec_rows(path)


def _trec_rows(path: Path) -> Iterator[tuple[int, str, str, str]]:
    with open_bytes(path) as stream:
        decode = LineDecoder(path)
        for raw in decode.raw_lines(stream):
            decode(raw)  # for what it refuses: see read_run
            fields = [field.decode() for field in raw.split()]
            if len(fields) == 4:
                yield decode.number, fields[0], fields[2], fields[3]
            elif fields:
                raise InputError(
                    f"{len(fields)} columns, {' '.join(fields)[:60]!r}; {_EXPECTED}",
                    source=decode.source,
                    line=decode.number,
                )


def _beir_rows(path: Path) -> Iterator[tuple[int, str, str, str]]:
    rows = read_rows(path)
    line, header = next(rows)
    if header != HEADER:
        raise InputError(f"the header is {header}; {_EXPECTED}", source=str(path), line=line)
    for line, fields in rows:
        if len(fields) != 3:
            raise InputError(
                f"{len(fields)} columns, beginning {fields[0][:40]!r}; {_EXPECTED}",
                source=str(path),
                line=line,
            )
        question = read_id(fields[0], "the question id", str(path), line)
        yield line, question, read_id(fields[1], "the passage id", str(path), line), fields[2]


def write_judgements(
    path: str | Path,
    judgements: Mapping[str, Mapping[str, int]],
    format: JudgementFormat = "trec",
) -> None:
    """Write judgements, in their order. A question that has none has no line.

    Raises:
        InputError: ids that the format cannot hold (white space in TREC's; empty ones), or a
            grade that is no whole number of at most nine digits.
        SettingsError: an unknown format.
    """
    if format not in get_args(JudgementFormat):
        raise SettingsError(
            f"unknown format of judgements {format!r}; choose one of "
            f"{', '.join(get_args(JudgementFormat))}"
        )
    path = Path(path)
    write_lines(path, _lines(judgements, format, str(path)))


def _lines(
    judgements: Mapping[str, Mapping[str, int]], format: JudgementFormat, source: str
) -> Iterator[str]:
    if format == "beir":
        yield write_row(*HEADER)
    remedy = "write them with format='beir', whose ids may hold it"
    for question, grades in judgements.items():
        for passage, grade in grades.items():
            if not _GRADE.fullmatch(str(grade)):
                raise InputError(
                    f"the grade of {passage!r} for question {question!r} is {grade!r}; expected a "
                    "whole number of at most nine digits",
                    source=source,
                )
            if format == "beir":
                read_id(question, "the question id", source)
                read_id(passage, "the passage id", source)
                yield write_row(question, passage, str(grade))
            else:
                check_word(question, "the question id", remedy, source)
                check_word(passage, "the passage id", remedy, source)
                yield f"{question} 0 {passage} {grade}\n"
