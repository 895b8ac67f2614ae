"""The original DPR's results JSON: each question with its answers and the passages found for it.

A list of ``{question, answers, ctxs: [{id, title, text, score, has_answer}]}``, or one such object
a line; ``score`` is a text. Takes a path, gives ``Asked`` records, and writes them. Knows nothing
of how passages are found or answers matched.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from dpr.corpus.characters import check_characters
from dpr.errors import InputError
from dpr.questions.fields import check_question, read_id, read_object, read_question
from dpr.questions.files import read_records, write_lines
from dpr.records import Asked, Hit, Passage

_SHAPE = 'results have the shape {"question": ..., "answers": [...], "ctxs": [{"id": ..., ...}]}'


def read_results(path: str | Path) -> list[Asked]:
    """All of a file of results; see ``iterate_results``."""
    return list(iterate_results(path))


def iterate_results(path: str | Path) -> Iterator[Asked]:
    """The questions of a file of results with the passages found, in the order of the file.

    A question's id is what stands under "id", and otherwise its place in the file, "0", "1" and so
    on, as in a DPR file of questions. ``has_answer`` is passed over: it is for whoever evaluates to
    find out. Streamed: memory holds a question at a time, and all ids.

    Raises:
        InputError: the file is not such a file; an id that comes twice, an empty answer, a score
            that is no finite number; names the line on which the question begins.
    """
    source = str(path)
    seen: dict[str, int] = {}
    for place, (line, record) in enumerate(read_records(Path(path))):
        asked = _asked(record, place, source, line)
        first = seen.setdefault(asked.question.id, line)
        if len(seen) == place:
            raise InputError(
                f"the question id {asked.question.id!r} is also that of line {first}",
                source=source,
                line=line,
            )
        yield asked
    if not seen:
        raise InputError(f"there is no question in it; {_SHAPE}", source=source)


def _asked(record: dict[str, Any], place: int, source: str, line: int) -> Asked:
    found = record.get("ctxs")
    if "question" not in record or not isinstance(found, list):
        keys = ", ".join(record)[:80] or "(none)"
        raise InputError(
            f"no question, or no list of ctxs, among the keys {keys}; {_SHAPE}",
            source=source,
            line=line,
        )
    question = read_question(
        record.get("id", place),
        record["question"],
        record.get("answers"),
        source,
        line,
        record.get("unanswerable", False),
    )
    hits = tuple(_hit(given, at, source, line) for at, given in enumerate(found))
    if len({hit.passage.id for hit in hits}) < len(hits):
        raise InputError(
            f"a passage comes twice among the ctxs of question {question.id!r}",
            source=source,
            line=line,
        )
    return Asked(question, hits)


def _hit(given: Any, at: int, source: str, line: int) -> Hit:
    what = f"ctxs[{at}]"
    passage = read_object(given, f"a passage as {what}; {_SHAPE}", source, line)
    identifier = read_id(passage.get("id"), f"the id of {what}", source, line)
    title = passage.get("title")
    title = "" if title is None else _text(title, f"title of {what}", source, line)
    text = _text(passage.get("text"), f"text of {what}", source, line)
    score = _score(passage.get("score"))
    if score is None:
        raise InputError(
            f"the score of {what} is {repr(passage.get('score'))[:60]}; expected a finite number, "
            "or a text that is one",
            source=source,
            line=line,
        )
    return Hit(Passage(identifier, text, title), score)


def _text(value: object, what: str, source: str, line: int) -> str:
    if not isinstance(value, str):
        raise InputError(
            f"the {what} is {repr(value)[:60]}; expected a text", source=source, line=line
        )
    check_characters(what, value, source, line)
    return value


def _score(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or "_" in str(value):
        return None
    try:
        score = float(value)
    except (ValueError, OverflowError):
        return None
    return score if math.isfinite(score) else None


def write_results(
    path: str | Path,
    asked: Iterable[Asked],
    *,
    matches: Iterable[Sequence[bool]] | None = None,
) -> None:
    """Write results, one question a line within the list.

    The format holds the passages' ids, titles and texts; sections, sources, offsets and the
    reader's answers are not in it. Beside the original's keys stand "id" and, where it is so,
    "unanswerable".

    Args:
        matches: for each question, whether each of its passages holds an answer; without it
            ``has_answer`` is left out.

    Raises:
        InputError: a question or score that could not be read back, or ``matches`` that do not
            go with the questions or passages one by one.
    """
    path = Path(path)
    write_lines(path, _lines(asked, matches, str(path)))


def _lines(
    asked: Iterable[Asked], matches: Iterable[Sequence[bool]] | None, source: str
) -> Iterator[str]:
    matched = None if matches is None else iter(matches)
    before = "[\n"
    for one in asked:
        check_question(one.question, source)
        has_answer = next(matched, None) if matched is not None else None
        if matched is not None and (has_answer is None or len(has_answer) != len(one.hits)):
            raise InputError(
                f"question {one.question.id!r} has {len(one.hits)} passages, and matches for "
                f"{0 if has_answer is None else len(has_answer)}; give one for each",
                source=source,
            )
        yield before + json.dumps(_shape(one, has_answer, source), ensure_ascii=False)
        before = ",\n"
    if matched is not None and next(matched, None) is not None:
        raise InputError("there are more matches than questions", source=source)
    yield "\n]\n" if before == ",\n" else "[]\n"


def _shape(asked: Asked, has_answer: Sequence[bool] | None, source: str) -> dict[str, Any]:
    question = asked.question
    shape: dict[str, Any] = {"id": question.id, "question": question.text}
    shape["answers"] = list(question.answers)
    if question.unanswerable:
        shape["unanswerable"] = True
    shape["ctxs"] = contexts = []
    for at, hit in enumerate(asked.hits):
        if not math.isfinite(hit.score):
            raise InputError(
                f"the score of passage {hit.passage.id!r} for question {question.id!r} is "
                f"{hit.score}; expected a finite number",
                source=source,
            )
        passage = {"id": hit.passage.id, "title": hit.passage.title, "text": hit.passage.text}
        context: dict[str, Any] = {**passage, "score": repr(float(hit.score))}
        if has_answer is not None:
            context["has_answer"] = bool(has_answer[at])
        contexts.append(context)
    return shape
