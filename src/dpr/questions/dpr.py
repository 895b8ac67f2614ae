"""The original DPR's files of questions: the QA table, and the training JSON.

The table has no header: ``question <TAB> list of answers as Python writes it``, with CSV's quotes.
The training JSON is a list of ``{question, answers, positive_ctxs: [{passage_id, ...}], ...}``, or
one such object a line. Neither has ids: a question's id is its place in the file, "0", "1" and so
on. Knows nothing of the texts of passages, which ``dpr.samples.files`` reads.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpr.errors import InputError
from dpr.questions.entries import Entry
from dpr.questions.fields import read_id, read_object, read_question
from dpr.questions.files import read_records
from dpr.questions.rows import read_rows, write_row
from dpr.records import Question

_ROW = "expected a question, a tab and a list of answers as Python writes it: ['Paris', \"d'Or\"]"
_LONGEST = 100_000
# A flat list or tuple of plain strings, and nothing else: Python's own parser, which takes any
# expression before it refuses it, never sees nesting or arithmetic. Strings without a comma
# between them are refused, since Python would join them.
_STRING = r"""[uU]?+(?:'(?:[^'\\\n\r]|\\.)*+'|"(?:[^"\\\n\r]|\\.)*+")"""
_LIST = re.compile(rf"\s*+[\[(]\s*+(?:{_STRING}(?:\s*+,\s*+{_STRING})*+\s*+,?+\s*+)?[\])]\s*+")


def read_dpr_qa(path: Path) -> Iterator[Entry]:
    """The questions of a QA table.

    Raises:
        InputError: the file cannot be read, or a row is malformed; names the line.
    """
    source = str(path)
    for place, (line, fields) in enumerate(read_rows(path)):
        if len(fields) != 2:
            raise InputError(
                f"{len(fields)} fields, beginning {fields[0][:40]!r}; {_ROW}",
                source=source,
                line=line,
            )
        answers = _answers(fields[1], source, line)
        yield Entry(read_question(place, fields[0], answers, source, line), source, line)


def _answers(text: str, source: str, line: int) -> list[str]:
    if len(text) > _LONGEST:
        raise InputError(
            f"the list of answers has {len(text)} characters; at most {_LONGEST} are read",
            source=source,
            line=line,
        )
    found: Any = None
    if _LIST.fullmatch(text):
        try:
            with warnings.catch_warnings():
                # Regular expressions among the answers may hold "\d", at which Python warns.
                warnings.simplefilter("ignore")
                found = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError):
            found = None
    if not isinstance(found, list | tuple):
        raise InputError(f"the answers are {text[:60]!r}; {_ROW}", source=source, line=line)
    return list(found)


def dpr_qa_row(question: Question, source: str) -> str:
    """The line of a QA table, which has no place for the id.

    Raises:
        InputError: the question is unanswerable, or its answers are more than is read back.
    """
    if question.unanswerable:
        raise InputError(
            f"question {question.id!r} is unanswerable, which DPR's table cannot say; leave it "
            "out, or write jsonl",
            source=source,
        )
    answers = repr(list(question.answers))
    if len(answers) > _LONGEST:
        raise InputError(
            f"the answers of question {question.id!r} have {len(answers)} characters as a list; at "
            f"most {_LONGEST} are read back: write jsonl",
            source=source,
        )
    return write_row(question.text, answers)


def read_dpr_train(path: Path) -> Iterator[Entry]:
    """The questions of a training JSON; relevant are the positive passages that have an id.

    Raises:
        InputError: the file is no such JSON, or a record is malformed; names the line on which it
            begins.
    """
    source = str(path)
    for place, (line, record) in enumerate(read_records(path)):
        if "question" not in record or "positive_ctxs" not in record:
            keys = ", ".join(record)[:80] or "(none)"
            raise InputError(
                f"no question, or no positive_ctxs, among the keys {keys}; DPR's training JSON has "
                '{"question": ..., "answers": [...], "positive_ctxs": [...]}',
                source=source,
                line=line,
            )
        question = read_question(
            record.get("id", place), record["question"], record.get("answers"), source, line
        )
        yield Entry(question, source, line, _positive_ids(record["positive_ctxs"], source, line))


def _positive_ids(given: object, source: str, line: int) -> tuple[str, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise InputError(
            f"positive_ctxs is {repr(given)[:60]}; expected a list", source=source, line=line
        )
    found = []
    for at, context in enumerate(given):
        what = f"positive_ctxs[{at}]"
        passage = read_object(context, f"a passage as {what}", source, line)
        for key in ("passage_id", "psg_id"):
            if passage.get(key) not in (None, ""):
                found.append(read_id(passage[key], f"the {key} of {what}", source, line))
                break
    return tuple(found)
