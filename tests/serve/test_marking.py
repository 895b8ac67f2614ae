"""Texts cut at offsets: the pieces are the text, and what is marked is the span."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dpr.serve.marking import Piece, Span, pieces


def test_what_is_marked_is_the_span_wherever_the_same_words_stand() -> None:
    text = "👑 no. 👑 no."
    assert pieces(text, [Span(8, 10, best=True), Span(2, 4)]) == [
        Piece("👑 "),
        Piece("no", "other"),
        Piece(". 👑 "),
        Piece("no", "best"),
        Piece("."),
    ]


def test_of_spans_that_overlap_the_earlier_stays() -> None:
    spans = [Span(2, 5, best=True), Span(4, 6), Span(0, 9), Span(5, 7)]
    assert [(one.text, one.kind) for one in pieces("abcdefghi", spans)] == [
        ("ab", ""),
        ("cde", "best"),
        ("fg", "other"),
        ("hi", ""),
    ]


def test_spans_outside_are_left_out() -> None:
    for span in (Span(3, 4), Span(0, 4), Span(2, 2), Span(2, 1), Span(-1, 2)):
        assert pieces("abc", [span]) == [Piece("abc")]
    assert pieces("", [Span(0, 0)]) == []


@given(st.text(), st.lists(st.tuples(st.integers(-2, 30), st.integers(-2, 30)), max_size=5))
def test_the_pieces_are_the_text(text: str, ends: list[tuple[int, int]]) -> None:
    found = pieces(text, [Span(*one) for one in ends])
    assert "".join(one.text for one in found) == text
    allowed = {text[start:end] for start, end in ends if start >= 0}
    assert all(one.text in allowed for one in found if one.kind)
