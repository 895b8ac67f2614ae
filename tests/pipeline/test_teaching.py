"""Questions into parts that share no document, and into samples with BM25's negatives."""

from __future__ import annotations

import pytest

from dpr.errors import InputError
from dpr.evaluation.levels import document_of
from dpr.pipeline.systems import Shelf
from dpr.pipeline.teaching import by_answers, divide, samples
from dpr.records import Passage, Question, QuestionSet


def asked(documents: int, each: int = 2) -> QuestionSet:
    questions = [
        Question(f"q{d}-{n}", f"question {n} of {d}") for d in range(documents) for n in range(each)
    ]
    judgements = {q.id: {f"d{q.id[1:].partition('-')[0]}#0": 1} for q in questions}
    return QuestionSet("all", tuple(questions), judgements)


def test_no_document_is_in_two_parts() -> None:
    parts = divide(asked(20), seed=1)
    sizes = [len(part.questions) for part in (parts.train, parts.dev, parts.test)]
    assert sizes == [24, 4, 12]
    documents = [
        {name for grades in part.judgements.values() for name in grades}
        for part in (parts.train, parts.dev, parts.test)
    ]
    assert not documents[0] & documents[1]
    assert not documents[0] & documents[2]
    assert not documents[1] & documents[2]
    assert divide(asked(20), seed=1) == parts
    assert divide(asked(20), seed=2) != parts
    with pytest.raises(
        InputError, match="at least 10 documents that share none, all has them about 9"
    ):
        divide(asked(9), seed=0)


def test_documents_that_share_a_question_stay_together() -> None:
    questions = tuple(Question(f"q{n}", "who?") for n in range(40))
    judgements = {f"q{n}": {f"d{n // 2}": 1, f"d{n // 2 + 20 * (n % 2)}#1": 1} for n in range(40)}
    parts = divide(QuestionSet("all", questions, judgements), seed=0)
    documents = [
        {document_of(name) for grades in part.judgements.values() for name in grades}
        for part in (parts.train, parts.dev, parts.test)
    ]
    assert sum(map(len, documents)) == len(set().union(*documents)) == 40
    assert sum(len(p.questions) for p in (parts.train, parts.dev, parts.test)) == 40


def test_answers_judge_where_nobody_did() -> None:
    shelf = Shelf([Passage("a", "The king lives in Bonn."), Passage("b", "A king lives in Rome.")])
    questions = (
        Question("q", "Where does the king live?", ("rome",)),
        Question("r", "Where does the king live?", ("paris",)),
        Question("s", "Where does the king live?"),
    )
    found = by_answers(QuestionSet("x", questions), shelf)
    assert found.judgements == {"q": {"b": 1}}
    assert [question.id for question in found.questions] == ["q"]


def test_samples() -> None:
    shelf = Shelf(
        [
            Passage("a#0", "The tale of the king begins."),
            Passage("a#1", "The king lives in Berlin."),
            Passage("b", "A king lives in Paris, and never in Rome."),
            Passage("c", "Another king lives in Berlin too."),
            Passage("d", "A whale."),
        ]
    )
    questions = (
        Question("q", "Where does the king live?", ("berlin",)),
        Question("r", "Where does the king live?"),
        Question("s", "Who is not there?"),
    )
    judgements = {"q": {"a": 1}, "r": {"a": 1, "b": 0}, "s": {"zzz": 1}}
    first, second = samples(QuestionSet("x", questions, judgements), shelf)
    assert [one.id for one in first.positives] == ["a#1"]  # the piece that holds the answer
    assert [one.id for one in first.hard_negatives] == ["b"]  # c holds the answer, d no word of it
    assert [one.id for one in second.positives] == ["a#1"]  # the piece that BM25 ranks best
    assert {one.id for one in second.hard_negatives} == {"b", "c"}
