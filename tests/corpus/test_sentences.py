from __future__ import annotations

import pytest

from dpr.corpus.sentences import paragraph_spans, sentence_spans


@pytest.mark.parametrize(
    "sentences",
    [
        ["One two.", "Three!", "Four?!", "Five… and so on.", "Six"],
        ['He said "Go."', "She went (alone.)", "“Why?”", "*Because.*", "The end"],
        ["Dr. Smith met Mr. J. R. Jones of the U.S. Army, e.g. in Fig. 2 et al. there.", "Next."],
        ["It is No. 5 on p. 7, Jan. 3.", "He said no.", "Then yes."],
        ["It costs 3.14 or 1.000.000 dollars.", "See a.b.c and www.example.org."],
        ['"Stop!" he said.', "He stopped."],
        ["1. First item.", "2. Second item, of 1984.", "It ends."],
        ["Wait... what?", "No."],
        ["一句。", "两句！", "「三句？」", "四句"],
        ["यह एक है।", "यह दो है।"],
        ["A heading\n*********", "Text under it.", "More"],
    ],
)
def test_where_sentences_end(sentences: list[str]) -> None:
    blank = any("\n" in sentence for sentence in sentences)
    for apart in ("\n\n",) if blank else ("\n", "\n\n", "\r\n \t\r\n"):
        text = f" {apart.join(sentences)} "
        found = [text[start:end] for start, end in sentence_spans(text, 0, len(text))]
        assert found == sentences


def test_no_line_end_alone_ends_a_sentence() -> None:
    text = "one\ntwo\r\nthree\rfour"
    assert list(sentence_spans(text, 0, len(text))) == [(0, len(text))]
    assert list(paragraph_spans(text, 0, len(text))) == [(0, len(text))]


def test_paragraphs() -> None:
    text = "\n\n one\ntwo \n\t\nthree\r\n\r\nfour\u2029\n"
    found = [text[start:end] for start, end in paragraph_spans(text, 0, len(text))]
    assert found == ["one\ntwo", "three", "four"]


def test_a_range_is_not_left() -> None:
    text = "One. Two. Three. Four."
    assert list(sentence_spans(text, 5, 15)) == [(5, 9), (10, 15)]


def test_a_very_long_word_takes_no_longer_than_its_length() -> None:
    text = "x." * 200_000 + " " + "y" * 200_000 + ". End"
    assert len(list(sentence_spans(text, 0, len(text)))) == 2
