"""SQuAD JSON 1.1 and 2.0: the questions, and for each the paragraph that it is asked of.

Takes a path; a paragraph's id is the one that ``dpr.corpus`` gives it, ``{title}/{n}``. Writes
questions with the passages they are judged by. The file is read whole, as JSON must be.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dpr.corpus.characters import check_characters
from dpr.corpus.lines import decode_text, open_bytes
from dpr.corpus.problems import Problems
from dpr.corpus.squad import read_squad
from dpr.errors import InputError
from dpr.questions.entries import Entry
from dpr.questions.fields import check_question, read_object, read_question, read_text
from dpr.records import Question, QuestionSet

Passages = Mapping[str, tuple[str, str]]
"""Id -> title and text."""

_QUESTION = 'a question such as {"id": ..., "question": ..., "answers": [{"text": ...}]}'


def read_squad_questions(path: Path) -> Iterator[Entry]:
    """The questions of a SQuAD file, in its order; a paragraph is relevant for those it answers.

    Answers that come more than once are kept once. Questions that are impossible to answer have
    no relevant paragraph.

    Raises:
        InputError: it is not SQuAD JSON, or a paragraph or question is malformed; names the
            article, paragraph and question.
    """
    # Reading the paragraphs checks all above the questions, and numbers them in the one way.
    documents = read_squad(path, "raise", Problems())
    ids = {(one.id.rpartition("/")[0], one.text): one.id for one in documents}
    with open_bytes(path) as stream:
        articles = json.loads(decode_text(stream.read(), str(path)))["data"]
    for at, article in enumerate(articles):
        name = article.get("title", "").replace("_", " ") or str(at)
        for number, paragraph in enumerate(article["paragraphs"]):
            place = f"{path}:data[{at}].paragraphs[{number}]"
            asked = paragraph.get("qas", [])
            if not isinstance(asked, list):
                raise InputError("qas is not a list of questions", source=place)
            for which, one in enumerate(asked):
                question = _question(one, f"{place}.qas[{which}]")
                relevant = () if question.unanswerable else (ids[name, paragraph["context"]],)
                yield Entry(question, f"{place}.qas[{which}]", None, relevant)


def _question(value: Any, place: str) -> Question:
    asked = read_object(value, _QUESTION, place)
    given = asked.get("answers", [])
    if not isinstance(given, list) or not all(
        isinstance(answer, dict) and isinstance(answer.get("text"), str) for answer in given
    ):
        raise InputError(
            f"answers are {repr(given)[:60]}; expected a list of objects with a text", source=place
        )
    answers = list(dict.fromkeys(answer["text"] for answer in given))
    return read_question(
        asked.get("id"),
        asked.get("question"),
        answers,
        place,
        None,
        asked.get("is_impossible", False),
    )


def squad_object(questions: QuestionSet, passages: Passages, source: str) -> dict[str, Any]:
    """SQuAD JSON of questions and of all ``passages``, which are ``{id: (title, text)}``.

    A question stands in every passage that is judged above 0 for it; an unanswerable one without
    a judgement where the question before it stands. Passages of one title are an article; those
    without a title, of what their ids have before the last slash.

    Raises:
        InputError: a question has no passage to stand in, or an answer is not in its passage.
    """
    articles: dict[tuple[str, str], list[dict[str, Any]]] = {}
    asked: dict[str, list[dict[str, Any]]] = {}
    for identifier, (title, text) in passages.items():
        read_text(text, f"the text of passage {identifier!r}", source)
        check_characters(f"title of passage {identifier!r}", title, source)
        key = title, "" if title else identifier.rpartition("/")[0]
        asked[identifier] = []
        paragraph = {"context": text, "qas": asked[identifier]}
        articles.setdefault(key, []).append(paragraph)
    places = list(passages)[:1]
    for question in questions.questions:
        check_question(question, source)
        places = _places(question, questions, passages, source) or places
        if not places:
            raise InputError("there is no passage to put questions in", source=source)
        for place in places:
            asked[place].append(_shape(question, place, passages[place][1], source))
    data = [{"title": title, "paragraphs": one} for (title, _), one in articles.items()]
    return {"version": "v2.0", "data": data}


def _places(
    question: Question, questions: QuestionSet, passages: Passages, source: str
) -> list[str]:
    judged = questions.judgements.get(question.id, {})
    wanted = [place for place, grade in judged.items() if grade > 0 or question.unanswerable]
    missing = [place for place in wanted if place not in passages]
    if missing or not (wanted or question.unanswerable):
        what = f"passage {missing[0]!r}, which is not given" if missing else "no passage at all"
        raise InputError(
            f"question {question.id!r} is judged to be answered by {what}; SQuAD sets each "
            "question beside its passage: give passages={id: (title, text)} with all that are "
            "judged, or write jsonl, which needs none",
            source=source,
        )
    return wanted


def _shape(question: Question, place: str, text: str, source: str) -> dict[str, Any]:
    starts = [text.find(answer) for answer in question.answers]
    if -1 in starts:
        answer = question.answers[starts.index(-1)]
        raise InputError(
            f"question {question.id!r}: the answer {answer[:60]!r} does not stand in passage "
            f"{place!r}; SQuAD's answers are spans: write beir or jsonl, whose answers are free",
            source=source,
        )
    answers = [
        {"text": answer, "answer_start": start}
        for answer, start in zip(question.answers, starts, strict=True)
    ]
    shape = {"id": question.id, "question": question.text, "answers": answers}
    return {**shape, "is_impossible": question.unanswerable}
