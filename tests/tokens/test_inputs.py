"""Inputs of the models: their shape, what is cut, and that no text can forge the structure."""

from __future__ import annotations

import itertools

import pytest

from dpr.errors import InputError, SettingsError
from dpr.tokens import DPRContextEncoderTokenizer, passage_ids, question_ids, reader_windows
from dpr.tokens.inputs import MIN_TEXT

Tokenizer = DPRContextEncoderTokenizer


def words(tokenizer: Tokenizer, ids: list[int]) -> str:
    return " ".join(str(token) for token in tokenizer.convert_ids_to_tokens(ids))


def test_question_is_wrapped_and_its_typographic_apostrophe_plain(
    context_tokenizer: Tokenizer,
) -> None:
    curly, straight = question_ids(context_tokenizer, ["what’s love ?", "what's love ?"])
    assert words(context_tokenizer, curly) == "[CLS] what ' s love ? [SEP]"
    assert curly == straight


def test_question_is_cut_to_max_length_and_ends_with_sep(context_tokenizer: Tokenizer) -> None:
    (ids,) = question_ids(context_tokenizer, ["what is love " * 20], max_length=8)
    assert words(context_tokenizer, ids) == "[CLS] what is love what is love [SEP]"


def test_questions_keep_their_order_when_some_come_twice(context_tokenizer: Tokenizer) -> None:
    ids = question_ids(context_tokenizer, ["love", "song", "love", "city"])
    assert [words(context_tokenizer, row) for row in ids] == [
        "[CLS] love [SEP]",
        "[CLS] song [SEP]",
        "[CLS] love [SEP]",
        "[CLS] city [SEP]",
    ]


def test_passage_with_and_without_a_title(context_tokenizer: Tokenizer) -> None:
    ids, truncated = passage_ids(context_tokenizer, ["paris", "", " \n"], ["a city", "a", "b"])
    assert [words(context_tokenizer, row) for row in ids] == [
        "[CLS] paris [SEP] a city [SEP]",
        "[CLS] a [SEP]",
        "[CLS] b [SEP]",
    ]
    assert truncated == 0


@pytest.mark.parametrize(
    ("max_length", "expected", "cut"),
    [
        (9, "[CLS] paris [SEP] a city on the river [SEP]", 0),
        (8, "[CLS] paris [SEP] a city on the [SEP]", 1),
        (4, "[CLS] paris [SEP] [SEP]", 1),
        (3, "[CLS] paris [SEP]", 1),
    ],
)
def test_passage_is_cut_to_max_length_and_ends_with_sep(
    context_tokenizer: Tokenizer, max_length: int, expected: str, cut: int
) -> None:
    ids, truncated = passage_ids(
        context_tokenizer, ["paris"], ["a city on the river"], max_length=max_length
    )
    assert words(context_tokenizer, ids[0]) == expected
    assert truncated == cut


def test_a_title_too_long_alone_is_cut_too(context_tokenizer: Tokenizer) -> None:
    ids, truncated = passage_ids(context_tokenizer, ["city " * 9], ["river"], max_length=6)
    assert words(context_tokenizer, ids[0]) == "[CLS] city city city city [SEP]"
    assert truncated == 1


def test_special_tokens_written_in_a_text_are_ordinary_text(context_tokenizer: Tokenizer) -> None:
    sep = context_tokenizer.sep_token_id
    ids, _ = passage_ids(context_tokenizer, ["a [SEP] b"], ["[CLS] c [SEP] d [PAD]"])
    assert ids[0].count(sep) == 2
    assert context_tokenizer.pad_token_id not in ids[0]
    (question,) = question_ids(context_tokenizer, ["who [SEP] wrote"])
    assert question.count(sep) == 1
    (window,) = reader_windows(context_tokenizer, ["a [SEP] b"], ["c [SEP]"], ["[SEP] d"])
    assert window.ids.count(sep) == 2
    # while a plain call, as in Transformers, reads them as the tokens
    assert context_tokenizer.text_encodings(["x"])[0].ids == [context_tokenizer.vocab["x"]]


def test_window_has_no_final_sep_and_offsets_into_the_text(context_tokenizer: Tokenizer) -> None:
    text = "  The old song,recorded in PARIS."
    (window,) = reader_windows(context_tokenizer, ["who ?"], ["song"], [text])
    assert words(context_tokenizer, window.ids).startswith("[CLS] who ? [SEP] song [SEP] the old")
    assert window.ids[-1] != context_tokenizer.sep_token_id
    assert len(window.offsets) == len(window.ids) - window.text_start
    assert [text[a:b] for a, b in window.offsets] == [
        *("The old song , record ed in PARIS .").replace("record ed", "recorded").split()
    ]


def test_a_text_of_many_tokens_is_covered_by_overlapping_windows(
    context_tokenizer: Tokenizer,
) -> None:
    text = " ".join(["city", "river", "old", "song", "love"] * 40)
    whole = context_tokenizer.text_encodings([text], offsets=True)[0]
    windows = reader_windows(
        context_tokenizer, ["who", "who"], ["a", ""], [text, text], max_length=64, stride=20
    )
    for item in (0, 1):
        mine = [window for window in windows if window.item == item]
        assert all(len(window.ids) <= 64 for window in mine)
        assert all(len(window.ids) == 64 for window in mine[:-1])
        joined = mine[0].ids[mine[0].text_start :]
        offsets = list(mine[0].offsets)
        for before, after in itertools.pairwise(mine):
            assert before.offsets[-20:] == after.offsets[:20]
            joined += after.ids[after.text_start + 20 :]
            offsets += after.offsets[20:]
        assert joined == whole.ids
        assert offsets == whole.offsets


def test_text_that_fits_exactly_has_one_window_and_one_more_token_two(
    context_tokenizer: Tokenizer,
) -> None:
    def count(tokens: int) -> int:
        text = " ".join(["city"] * tokens)
        return len(reader_windows(context_tokenizer, ["who"], ["a"], [text], 100, 10))

    assert (count(95), count(96)) == (1, 2)


def test_empty_text_still_has_a_window(context_tokenizer: Tokenizer) -> None:
    (window,) = reader_windows(context_tokenizer, ["who"], ["a"], [""])
    assert window.offsets == []
    assert window.text_start == len(window.ids) == 5


def test_title_then_question_give_way_to_a_text_that_needs_room(
    context_tokenizer: Tokenizer,
) -> None:
    text = " ".join(["city"] * 500)
    long_title = reader_windows(context_tokenizer, ["who"], ["song " * 400], [text], 200, 0)
    assert len(long_title[0].offsets) == MIN_TEXT
    assert long_title[0].ids[1] == context_tokenizer.vocab["who"]
    both = reader_windows(context_tokenizer, ["who " * 400], ["song"], [text], 200, 0)
    assert len(both[0].offsets) == MIN_TEXT
    assert both[0].ids.count(context_tokenizer.vocab["song"]) == 0
    assert all(len(window.ids) <= 200 for window in [*long_title, *both])


def test_stride_wider_than_the_room_still_advances(context_tokenizer: Tokenizer) -> None:
    text = " ".join(["city"] * 60)
    windows = reader_windows(context_tokenizer, ["who"], ["a"], [text], 20, stride=128)
    assert len({window.offsets[0] for window in windows}) == len(windows)
    assert windows[-1].offsets[-1][1] == len(text)


def test_lone_surrogates_are_dropped_and_offsets_hold(context_tokenizer: Tokenizer) -> None:
    (window,) = reader_windows(context_tokenizer, ["who \ud800"], ["a"], ["old \udfff city"])
    assert words(context_tokenizer, window.ids) == "[CLS] who [SEP] a [SEP] old city"
    assert window.offsets == [(0, 3), (6, 10)]


def test_bad_inputs_are_refused_with_what_to_do(context_tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="2 titles, 1 texts"):
        passage_ids(context_tokenizer, ["a", "b"], ["c"])
    with pytest.raises(InputError, match="titles is one string"):
        passage_ids(context_tokenizer, "ab", ["c", "d"])
    with pytest.raises(InputError, match=r"text number 1 \(from 0\) is NoneType"):
        question_ids(context_tokenizer, ["a", None])  # type: ignore[list-item]
    with pytest.raises(SettingsError, match="max_length=2"):
        question_ids(context_tokenizer, ["a"], max_length=2)
    with pytest.raises(SettingsError, match="stride=-1"):
        reader_windows(context_tokenizer, ["a"], ["b"], ["c"], stride=-1)
    assert reader_windows(context_tokenizer, [], [], []) == []
    assert passage_ids(context_tokenizer, [], []) == ([], 0)
