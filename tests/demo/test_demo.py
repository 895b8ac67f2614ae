"""The demonstration's judgement: what counts as a right section and an accepted answer."""

from __future__ import annotations

import pytest

from dpr.demo import DemoQuestion, judge, passed, read_questions, tally
from dpr.records import Answer, Asked, Hit, Passage, Question

QUESTION = DemoQuestion("q", "What is it?", ("The thing",), ("a word", "words"))


def hit(title: str = "", section: str = "") -> Hit:
    return Hit(Passage("p", "text", title, section), 1.0)


def asked(*hits: Hit, answer: str | None = None) -> Asked:
    answers = () if answer is None else (Answer(answer, 0.5, "p", 0, 1),)
    return Asked(Question("q", QUESTION.question), hits, answers)


@pytest.mark.parametrize(
    ("hits", "found"),
    [
        ([hit(), hit(), hit(section="The thing ")], True),
        ([hit(title="The thing", section="Other")], True),
        ([hit(), hit(), hit(), hit(section="The thing")], False),
        ([hit(section="The thing and more")], False),
        ([], False),
    ],
)
def test_a_section_is_right_among_the_first_three_and_by_its_whole_name(
    hits: list[Hit], found: bool
) -> None:
    assert judge(QUESTION, asked(*hits)).section_found is found


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [("The word!", True), ("words", True), ("the words of it", False), (None, False)],
)
def test_an_answer_is_accepted_as_squad_compares_answers(
    answer: str | None, accepted: bool
) -> None:
    assert judge(QUESTION, asked(hit(), answer=answer)).answer_accepted is accepted


def test_the_bar_is_nine_sections_and_six_answers() -> None:
    right, section = hit(section="The thing"), asked(hit(section="The thing"))
    both, neither = asked(right, answer="words"), asked(hit())

    def many(both_right: int, section_right: int) -> list[object]:
        given = [both] * both_right + [section] * section_right
        return [judge(QUESTION, one) for one in given + [neither] * (10 - len(given))]

    assert tally(many(6, 3)) == (9, 6)  # type: ignore[arg-type]
    assert passed(many(6, 3))  # type: ignore[arg-type]
    assert not passed(many(5, 5))  # type: ignore[arg-type]
    assert not passed(many(8, 0))  # type: ignore[arg-type]


def test_the_questions_are_ten_with_sections_and_answers_that_this_python_has() -> None:
    from dpr.corpus import read_documents

    questions = read_questions()
    assert len({one.id for one in questions}) == len(questions) == 10
    names = set()
    texts = ""
    for document in read_documents("pydoc"):
        names |= {document.title.strip(), *(one.title.strip() for one in document.sections)}
        texts += " ".join(document.text.split()) + "\n"
    for one in questions:
        assert names & set(one.sections), one.id
        assert any(answer in texts for answer in one.answers), one.id
