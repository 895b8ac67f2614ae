"""The reader's tokenizer: what is cut, what is said of it, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from dpr.errors import InputError, SettingsError
from dpr.tokens import (
    DPRReaderTokenizer,
    DPRReaderTokenizerFast,
    SequenceLengthWarning,
    TruncationWarning,
)

Tokenizer = DPRReaderTokenizer


def words(tokenizer: Tokenizer, ids: list[int]) -> str:
    return " ".join(str(token) for token in tokenizer.convert_ids_to_tokens(ids))


def test_question_title_and_text_without_a_final_sep(reader_tokenizer: Tokenizer) -> None:
    batch = reader_tokenizer("what is love ?", "song", "a song by the artist")
    expected = "[CLS] what is love ? [SEP] song [SEP] a song by the artist"
    assert words(reader_tokenizer, batch["input_ids"][0]) == expected
    assert list(batch) == ["input_ids", "attention_mask"]
    assert batch.text_spans == [(8, 13)]
    assert batch.truncated == [0]


def test_one_question_for_many_passages(reader_tokenizer: Tokenizer) -> None:
    one = reader_tokenizer("who", ["a", "b"], ["love", "song"])
    each = reader_tokenizer(["who", "who"], ["a", "b"], ["love", "song"])
    assert one == each
    pairs = reader_tokenizer("who", texts=["love", "song"])
    assert words(reader_tokenizer, pairs["input_ids"][1]) == "[CLS] who [SEP] song [SEP]"


@pytest.mark.parametrize(
    ("questions", "titles", "texts"),
    [
        (["who"], ["a", "b"], ["c", "d"]),
        (["who", "what"], ["a"], ["c"]),
        ("who", ["a", "b"], ["c"]),
        ("who", ["a"], ["c", "d"]),
    ],
)
def test_uneven_inputs_are_refused(
    reader_tokenizer: Tokenizer, questions: object, titles: list[str], texts: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"questions, .* titles and .* texts; give one of each"):
        reader_tokenizer(questions, titles, texts)


@pytest.mark.parametrize("strategy", [True, "longest_first", "only_second", "only_first"])
def test_only_the_text_is_cut(reader_tokenizer: Tokenizer, strategy: bool | str) -> None:
    batch = reader_tokenizer(
        "what is love ?", ["song", "song"], ["a song by the artist", "a"], False, strategy, 10
    )
    assert words(reader_tokenizer, batch["input_ids"][0]).endswith("[SEP] song [SEP] a song")
    assert words(reader_tokenizer, batch["input_ids"][1]).endswith("[SEP] song [SEP] a")
    assert batch.truncated == [3, 0]
    assert batch.text_spans == [(8, 10), (8, 9)]


@pytest.mark.parametrize("strategy", [False, "do_not_truncate"])
def test_nothing_is_cut_where_that_is_asked(
    reader_tokenizer: Tokenizer, strategy: bool | str
) -> None:
    batch = reader_tokenizer("who", "a", "song " * 20, truncation=strategy, max_length=8)
    assert len(batch["input_ids"][0]) == 25


def test_truncation_without_a_length_takes_the_model_s(vocab: dict[str, int]) -> None:
    tokenizer = DPRReaderTokenizer(vocab, model_max_length=12)
    assert len(tokenizer("who", "a", "song " * 20, truncation=True)["input_ids"][0]) == 12
    unstated = DPRReaderTokenizer(vocab)
    assert len(unstated("who", "a", "song " * 900, truncation=True)["input_ids"][0]) == 512


def test_a_text_lost_whole_is_warned_of(reader_tokenizer: Tokenizer) -> None:
    with pytest.warns(TruncationWarning, match=r"1 of 2 passages \(the first is number 1"):
        batch = reader_tokenizer(
            "who wrote it", ["a", "the old song"], ["love", "love"], truncation=True, max_length=10
        )
    assert batch.truncated == [0, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reader_tokenizer("who", ["the old song"], [""], truncation=True, max_length=7)


def test_a_question_that_leaves_no_room_is_refused_unless_cutting_it_is_asked(
    reader_tokenizer: Tokenizer,
) -> None:
    arguments = ("who wrote the song", "paris", "love")
    with pytest.raises(InputError, match=r"passage 0 .* take 8 tokens, more than max_length=5"):
        reader_tokenizer(*arguments, truncation=True, max_length=5)
    with pytest.warns(TruncationWarning):
        cut = reader_tokenizer(*arguments, truncation=True, max_length=5, legacy_truncation=True)
    assert words(reader_tokenizer, cut["input_ids"][0]) == "[CLS] who wrote the song"


def test_too_long_a_sequence_is_warned_of(reader_tokenizer: Tokenizer) -> None:
    with pytest.warns(SequenceLengthWarning, match="605 tokens is longer than the 512"):
        reader_tokenizer("who", "a", "song " * 600)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reader_tokenizer("who", "a", "song " * 600, verbose=False)


def test_keywords_act_with_three_texts(reader_tokenizer: Tokenizer) -> None:
    batch = reader_tokenizer(
        *("who", ["a", "song"], ["love", "old song"]),
        padding=True,
        return_attention_mask=False,
        pad_to_multiple_of=8,
        padding_side="left",
        return_token_type_ids=True,
        return_special_tokens_mask=True,
        return_offsets_mapping=True,
        return_length=True,
        return_tensors="np",
    )
    assert "attention_mask" not in batch
    assert batch["input_ids"].shape == (2, 8)
    assert batch["input_ids"][0, :2].tolist() == [reader_tokenizer.pad_token_id] * 2
    assert not batch["token_type_ids"].any()
    assert batch["special_tokens_mask"][0].tolist() == [1, 1, 1, 0, 1, 0, 1, 0]
    assert batch["offset_mapping"][1, -2:].tolist() == [[0, 3], [4, 8]]
    assert batch["length"].tolist() == [8, 8]


def test_keywords_without_meaning_or_misspelt_are_refused(reader_tokenizer: Tokenizer) -> None:
    with pytest.raises(TypeError, match="stride"):
        reader_tokenizer("who", "a", "love", stride=3)
    with pytest.raises(TypeError, match="did you mean 'padding_side'"):
        reader_tokenizer("who", "a", "love", paddingside="left")
    with pytest.raises(TypeError, match="did you mean 'return_offsets_mapping'"):
        reader_tokenizer("who", return_offset_mapping=True)


def test_the_fast_name_is_the_same(vocab: dict[str, int]) -> None:
    assert issubclass(DPRReaderTokenizerFast, DPRReaderTokenizer)
    assert DPRReaderTokenizerFast(vocab)("who", "a", "b") == DPRReaderTokenizer(vocab)(
        "who", "a", "b"
    )


# Decoding


def logits(
    ids: np.ndarray, answers: dict[int, tuple[int, int]], relevance: list[float] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Output of a reader sure of one span in each row named."""
    start, end = np.full((2, *np.shape(ids)), -5.0, dtype=np.float32)
    for row, (s, e) in answers.items():
        start[row, s] = end[row, e] = 5.0
    scores = [-float(row) for row in range(len(ids))] if relevance is None else relevance
    return start, end, np.array(scores, dtype=np.float32)


def test_the_answer_s_text_score_and_place(reader_tokenizer: Tokenizer) -> None:
    inputs = reader_tokenizer("who", ["a", "b"], ["love song", "the artist"], return_tensors="pt")
    import torch

    output = tuple(torch.tensor(x) for x in logits(inputs["input_ids"], {1: (5, 6)}, [1.0, 2.0]))
    best, *rest = reader_tokenizer.decode_best_spans(inputs, output, num_spans_per_passage=1)
    assert best == (10.0, 2.0, 1, 5, 6, "the artist")
    assert best.span_score.item() == 10.0  # type: ignore[attr-defined]
    assert [span.doc_id for span in rest] == [0]


def test_a_title_is_no_answer_unless_the_old_offset_is_asked(reader_tokenizer: Tokenizer) -> None:
    inputs = reader_tokenizer("who", ["old song"], ["love city"], return_tensors="np")
    output = logits(inputs["input_ids"], {0: (3, 4)})
    mended = reader_tokenizer.decode_best_spans(inputs, output)
    assert min(span.start_index for span in mended) >= 6
    plain = reader_tokenizer.decode_best_spans(dict(inputs), output)
    assert plain == mended
    legacy = reader_tokenizer.decode_best_spans(inputs, output, legacy_passage_offset=True)
    assert legacy[0].text == "old song"


def test_written_out_sep_in_a_question_does_not_move_the_text(reader_tokenizer: Tokenizer) -> None:
    inputs = reader_tokenizer("who [SEP] wrote", ["a"], ["love city"], return_tensors="np")
    first = inputs["input_ids"].shape[1] - 2
    output = logits(inputs["input_ids"], {0: (4, 6)})
    spans = reader_tokenizer.decode_best_spans(inputs, output)
    assert {span.start_index for span in spans} <= {first, first + 1}


def test_a_question_that_fills_the_length(reader_tokenizer: Tokenizer) -> None:
    with pytest.warns(TruncationWarning):
        inputs = reader_tokenizer(
            *("who wrote the song", ["a"], ["love"]),
            truncation=True,
            max_length=5,
            legacy_truncation=True,
        )
    output = logits(np.zeros((1, 5)), {})
    assert reader_tokenizer.decode_best_spans(inputs, output) == []
    with pytest.raises(InputError, match=r"no \[SEP\] after its question"):
        reader_tokenizer.decode_best_spans(inputs, output, legacy_passage_offset=True)
    with pytest.raises(InputError, match="no second"):
        reader_tokenizer.decode_best_spans(dict(inputs), output)


def test_written_out_pad_is_neither_masked_nor_the_end(reader_tokenizer: Tokenizer) -> None:
    inputs = reader_tokenizer("who", ["a"], ["[PAD] love [PAD]"], return_tensors="np")
    assert inputs["attention_mask"].all()
    output = logits(inputs["input_ids"], {0: (6, 7)})
    assert reader_tokenizer.decode_best_spans(inputs, output)[0].text == "love [PAD]"


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mask", [True, False])
def test_padding_is_no_answer(reader_tokenizer: Tokenizer, side: str, mask: bool) -> None:
    inputs = reader_tokenizer(
        *("who", ["a", "b"], ["love", "the old song in paris"]),
        padding=True,
        return_tensors="np",
        padding_side=side,
        return_attention_mask=mask,
    )
    start, end, relevance = logits(inputs["input_ids"], {})
    spans = reader_tokenizer.decode_best_spans(inputs, (start, end, relevance))
    assert [span.text for span in spans if span.doc_id == 0] == ["love"]
    without_note = reader_tokenizer.decode_best_spans(dict(inputs), (start, end, relevance))
    assert without_note == spans


def test_a_pair_is_decoded_without_its_final_sep(reader_tokenizer: Tokenizer) -> None:
    inputs = reader_tokenizer(["who"], texts=["love city"], return_tensors="np")
    spans = reader_tokenizer.decode_best_spans(inputs, logits(inputs["input_ids"], {0: (4, 5)}))
    assert {span.end_index for span in spans} <= {3, 4}
    with pytest.raises(InputError, match=r"the second .* is the last token"):
        reader_tokenizer.decode_best_spans(dict(inputs), logits(inputs["input_ids"], {}))


def test_offsets_may_be_given_for_foreign_inputs(reader_tokenizer: Tokenizer) -> None:
    ids = np.array([[2, 30, 31, 32, 33]])
    output = logits(ids, {0: (1, 2)})
    (best, *_) = reader_tokenizer.decode_best_spans(
        {"input_ids": ids}, output, passage_offsets=[3], num_spans=1
    )
    assert best.start_index >= 3
    with pytest.raises(InputError, match="2 passage_offsets for 1"):
        reader_tokenizer.decode_best_spans({"input_ids": ids}, output, passage_offsets=[3, 3])


def test_exchanged_rows_are_not_read_by_the_old_note(reader_tokenizer: Tokenizer) -> None:
    inputs = reader_tokenizer("who", ["a", "old song"], ["love", "city"], padding=True)
    inputs["input_ids"] = inputs["input_ids"][::-1]
    inputs["attention_mask"] = inputs["attention_mask"][::-1]
    output = logits(np.zeros((2, 7)), {})
    spans = reader_tokenizer.decode_best_spans(inputs, output)
    assert [span.text for span in spans] == ["city", "love"]


def test_passages_come_by_relevance_and_equals_in_their_order(reader_tokenizer: Tokenizer) -> None:
    inputs = reader_tokenizer("who", ["a"] * 4, ["love"] * 4, return_tensors="np")
    output = logits(inputs["input_ids"], {}, [1.0, 3.0, 1.0, 3.0])
    spans = reader_tokenizer.decode_best_spans(inputs, output)
    assert [span.doc_id for span in spans] == [1, 3, 0, 2]
    assert len(reader_tokenizer.decode_best_spans(inputs, output, num_spans=3)) == 3


def test_several_questions_in_one_decode(reader_tokenizer: Tokenizer) -> None:
    inputs = reader_tokenizer(
        ["who", "what", "who", "what"], ["a"] * 4, ["love", "city", "song", "river"]
    )
    output = logits(np.zeros((4, 6)), {}, [1.0, 4.0, 2.0, 3.0])
    groups = reader_tokenizer.decode_best_spans(
        inputs, output, num_spans=2, questions_of_passages=[0, 2, 0, 2]
    )
    assert [[span.text for span in group] for group in groups] == [
        ["song", "love"],
        [],
        ["city", "river"],
    ]
    assert [span.doc_id for span in groups[0]] == [2, 0]
    with pytest.raises(InputError, match="2 numbers for 4 passages"):
        reader_tokenizer.decode_best_spans(inputs, output, questions_of_passages=[0, 1])


def test_bad_outputs_are_refused(reader_tokenizer: Tokenizer) -> None:
    inputs = reader_tokenizer("who", ["a", "b"], ["love", "song"], return_tensors="np")
    start, end, relevance = logits(inputs["input_ids"], {})
    with pytest.raises(InputError, match="output is of 1 passages, the input of 2"):
        reader_tokenizer.decode_best_spans(inputs, (start[:1], end[:1], relevance[:1]))
    with pytest.raises(InputError, match="have shapes"):
        reader_tokenizer.decode_best_spans(inputs, (start, end[:, :2], relevance))
    with pytest.raises(InputError, match="NaN"):
        reader_tokenizer.decode_best_spans(inputs, (start, end, relevance * np.nan))
    with pytest.raises(SettingsError, match="num_spans_per_passage=0"):
        reader_tokenizer.decode_best_spans(inputs, (start, end, relevance), num_spans_per_passage=0)
