from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.corpus import SplitSettings, read_documents, split_document
from dpr.corpus.headings import markdown_headings, to_sections
from dpr.records import Document, Passage, Section

WORDS = ("a", "Bee", "c.", "D!", "Mr.", "3.14", "中文。", "字字字", "x" * 40, "—")
SPACES = (" ", " ", "  ", "\n", "\n\n", "\r\n\r\n", "\u2028", "\x85", "\xa0", "\t")
PIECES = st.sampled_from([*WORDS, *SPACES])
TEXTS = st.lists(PIECES, max_size=80).map("".join)
SETTINGS = st.builds(
    SplitSettings,
    unit=st.sampled_from(["words", "sentences", "paragraphs", "none"]),
    size=st.integers(1, 25),
)


def split(document: Document, text: str) -> list[Passage]:
    return list(split_document(document, SplitSettings.parse(text)))


def words(count: int, word: str = "W") -> str:
    return " ".join(f"{word}{n}" for n in range(count))


@given(TEXTS, SETTINGS, st.data())
def test_what_holds_for_every_text(text: str, settings: SplitSettings, data: st.DataObject) -> None:
    starts = data.draw(st.lists(st.integers(0, len(text)), max_size=5, unique=True).map(sorted))
    sections = tuple(Section(start, f"s{start}") for start in starts)
    document = Document("d", text, "T", "file", sections)
    passages = list(split_document(document, settings))
    at = 0
    for number, passage in enumerate(passages):
        assert passage.text == text[passage.start : passage.end] == passage.text.strip() != ""
        assert not text[at : passage.start].strip()  # nothing is lost, nothing comes twice
        at = passage.end
        assert passage.id == ("d" if len(passages) == 1 else f"d#{number}")
        assert (passage.title, passage.source) == ("T", "file")
        assert not sections or passage.section in {"", *(section.title for section in sections)}
        if settings.unit != "none":
            assert len(passage.text.split()) <= settings.size
    assert not text[at:].strip()
    assert settings.unit != "none" or len(passages) <= 1


@given(TEXTS, st.integers(1, 25))
def test_words_are_the_paper_s_split(text: str, size: int) -> None:
    """Against the plain way: take the words, and every ``size`` of them are a passage."""
    passages = split_document(Document("d", text), SplitSettings(size=size))
    plain = text.split()
    assert [passage.text.split() for passage in passages] == [
        plain[at : at + size] for at in range(0, len(plain), size)
    ]


def test_sentences_stay_whole_where_they_can() -> None:
    text = f"One two three. Four five. Six seven eight nine. {words(12)}. Last one."
    passages = split(Document("d", text), "sentences:5")
    assert [passage.text for passage in passages] == [
        "One two three. Four five.",
        "Six seven eight nine.",
        words(5),
        "W5 W6 W7 W8 W9",
        "W10 W11. Last one.",
    ]


def test_paragraphs_stay_apart_and_long_ones_are_cut_on_sentences() -> None:
    text = f"{words(20)}\n\nOne two.\n\nThree.\n\n{words(15)}. {words(15)}."
    passages = split(Document("d", text), "paragraphs:20")
    assert [passage.text for passage in passages] == [
        words(20),
        "One two.",
        "Three.",
        words(15) + ".",
        words(15) + ".",
    ]


def test_a_script_without_spaces_is_counted_by_characters() -> None:
    text = "一二三四。五六七八。九十" * 3
    passages = split(Document("d", text), "sentences:10")
    assert [len(passage.text) for passage in passages] == [10, 7, 5, 7, 7]
    assert len(split(Document("d", text), "words:10")) == 1


def markdown(text: str) -> Document:
    return Document("d", text, sections=to_sections(markdown_headings(text)))


@pytest.mark.parametrize("unit", ["words", "sentences", "paragraphs"])
def test_no_passage_runs_into_the_next_section(unit: str) -> None:
    text = f"{words(30)}\n\n# A\n\n{words(30)}\n\n# B\n\n{words(30)}\n"
    passages = split(markdown(text), f"{unit}:100")
    assert [(passage.section, passage.text) for passage in passages] == [
        ("", words(30)),
        ("A", f"# A\n\n{words(30)}"),
        ("B", f"# B\n\n{words(30)}"),
    ]


@pytest.mark.parametrize("unit", ["words", "sentences"])
def test_short_sections_join_the_next(unit: str) -> None:
    text = f"# Top\n\n## A\n\n{words(30)}\n\n## B\n\n{words(5)}\n\n## C\n\n{words(30)}\n\n## D"
    passages = split(markdown(text), f"{unit}:100")
    assert [(passage.section, passage.text) for passage in passages] == [
        ("A", f"# Top\n\n## A\n\n{words(30)}"),
        ("C", f"## B\n\n{words(5)}\n\n## C\n\n{words(30)}"),
        ("D", "## D"),  # nothing follows that it could join
    ]


def test_a_short_first_paragraph_joins_the_next() -> None:
    text = f"# A\n\n## B\n\n{words(20)}\n\nShort one.\n\n{words(20)}\n"
    passages = split(markdown(text), "paragraphs:100")
    assert [(passage.section, passage.text) for passage in passages] == [
        ("B", f"# A\n\n## B\n\n{words(20)}"),
        ("B", "Short one."),
        ("B", words(20)),
    ]


def test_the_section_is_that_of_most_of_the_passage() -> None:
    text = f"# A\n\n{words(10)}\n\n# B\n\n{words(95)}"
    passages = split(markdown(text), "words:50")
    assert [passage.section for passage in passages] == ["B", "B", "B"]
    assert passages[0].text.startswith("# A")


def test_of_equals_the_earlier_section_counts() -> None:
    sections = (Section(0, "A"), Section(6, "B"), Section(12, "C"))
    [passage] = split(Document("d", "aa aa bb bb cc cc", sections=sections), "words")
    assert passage.section == "A"


def test_none_goes_by_the_heading_that_it_begins_with() -> None:
    [passage] = split(markdown(f"# A\n\nx\n\n# B\n\n{words(50)}\n"), "none")
    assert (passage.id, passage.section) == ("d", "A")


def test_a_text_of_white_space_gives_nothing() -> None:
    for unit in ("words", "sentences", "paragraphs", "none"):
        assert split(Document("d", " \n\u3000"), unit) == []


def test_a_word_of_a_million_characters() -> None:
    text = "x" * 1_000_000 + " " + "y" * 1_000_000 + " "
    assert [passage.end for passage in split(Document("d", text), "words:1")] == [
        1_000_000,
        2_000_001,
    ]


def test_real_articles(shared_data: Path) -> None:
    documents = list(read_documents(shared_data / "covidqa" / "covidqa.json"))
    for document in documents[:20]:
        for text in ("words:100", "sentences:100", "paragraphs:100"):
            passages = split(document, text)
            whole = "".join("".join(passage.text.split()) for passage in passages)
            assert whole == "".join(document.text.split())
            assert all(len(passage.text.split()) <= 100 for passage in passages)
