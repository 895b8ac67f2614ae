"""Marking answers: by offset, whatever the text holds."""

from __future__ import annotations

import io
import random

import pytest
from rich.console import Console

from dpr.cli.show import NO_ANSWER, facts_of, heading, mark, scores, show_asked
from dpr.cli.terminal import clean
from dpr.records import Answer, Asked, Hit, Passage, Question


def answer(start: int, end: int, text: str = "") -> Answer:
    return Answer(text, 0.5, "p", start, end)


def shown(asked: Asked, **options: object) -> str:
    file = io.StringIO()
    show_asked(Console(file=file, width=80, **options), asked, answers=True, name=False)  # type: ignore[arg-type]
    return file.getvalue()


def test_the_second_of_two_equal_words_is_marked_when_its_offsets_say_so() -> None:
    marked = mark("None or None", [answer(8, 12)], True, 100, plain=True)
    assert marked.plain == "None or «None»"
    styled = mark("None or None", [answer(8, 12)], True, 100, plain=False)
    assert styled.plain == "None or None"
    assert [(span.start, span.end) for span in styled.spans] == [(8, 12)]


def test_of_two_answers_that_overlap_the_better_is_marked() -> None:
    marked = mark("abcdef", [answer(2, 4), answer(3, 6), answer(0, 1)], False, 100, plain=True)
    assert marked.plain == "«a»b«cd»ef"


def test_markup_in_documents_stays_text_and_escape_sequences_do_no_harm() -> None:
    text = "[bold]x[/bold] \x1b[2J\x9b31m [link=http://x]y[/link]"
    passage = Passage("p", text, title="\x1b]0;t\x07[red]T[/red]", source="s")
    asked = Asked(
        Question("1", "?"),
        (Hit(passage, 1.0),),
        (Answer(text[:7], 0.5, "p", 0, 7),),
    )
    for plain in (True, False):
        output = shown(asked, force_terminal=not plain, color_system=None if plain else "standard")
        assert "[link=http://x]y[/link]" in output
        assert "[red]T[/red]" in output
        assert "\x9b" not in output
        assert "\x1b[2J" not in output
        assert "\x1b]" not in output


def test_marking_neither_loses_nor_adds_anything_but_white_space() -> None:
    rng = random.Random(0)
    for _ in range(300):
        text = "".join(rng.choices("ab \n\t\x1b\u2028é[]", k=rng.randrange(20)))
        start, end = sorted(rng.choices(range(len(text) + 1), k=2))
        marked = mark(text, [answer(start, end)], True, 1000, plain=False)
        assert "".join(marked.plain.split()) == "".join(clean(text).split())


@pytest.mark.parametrize("at", [0, 700, 1990])
def test_of_a_long_passage_the_surroundings_of_the_answer_are_shown(at: int) -> None:
    text = "".join(chr(ord("a") + number % 26) for number in range(2000))
    marked = mark(text, [answer(at, at + 10)], True, 100, plain=True).plain
    assert f"«{text[at : at + 10]}»" in marked
    assert len(marked) <= 100 + len("… «» …")


def test_a_heading_names_title_and_section_once() -> None:
    assert heading(Passage("p", "", "Title", "Section")) == "Title › Section"
    assert heading(Passage("p", "", "Title", "Title")) == "Title"
    assert heading(Passage("p", "")) == "p"


def test_a_hit_tells_what_its_score_came_from() -> None:
    passage = Passage("d#1", "", title="T", source="s.md", document="d", metadata={"year": 1990})
    both = scores(Hit(passage, 0.5, 12.0, 3, 0.0, None))
    assert both == "0.50  dense 12.00 (#3)  bm25 0.00"
    assert scores(Hit(passage, 12.0, 12.0, 1)) == "12.00"
    assert scores(Hit(passage, 2.0, None, None, 2.0, 1)) == "2.00"
    assert facts_of(passage) == "document: d · year: 1990"
    assert facts_of(Passage("d", "", "T", source="folder/d")) == ""
    long = facts_of(Passage("p", "", metadata={"a": "x y " * 100, "b": "\x1b[2J"}))
    assert (len(long) <= 160, long[-1]) == (True, "…")


def test_nothing_found_is_said() -> None:
    assert NO_ANSWER in shown(Asked(Question("1", "?"), ()))
    assert "no passages" in shown(Asked(Question("1", "?"), ()))


def test_text_is_wrapped_on_terminals_only_and_no_line_ends_in_blanks() -> None:
    asked = Asked(Question("1", "?"), (Hit(Passage("p", "word " * 60), 1.0),))
    piped = shown(asked).splitlines()
    assert max(map(len, piped)) > 150
    wrapped = shown(asked, force_terminal=True, color_system=None).splitlines()
    assert max(map(len, wrapped)) <= 80
    assert all(line == line.rstrip() for line in piped + wrapped)
