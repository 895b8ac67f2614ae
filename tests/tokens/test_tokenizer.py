"""Calls of a tokenizer: its settings, what it refuses and what it says; parity is tested apart."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr.errors import CheckpointError, InputError, SettingsError
from dpr.tokens import (
    DPRContextEncoderTokenizer,
    DPRContextEncoderTokenizerFast,
    DPRQuestionEncoderTokenizer,
    DPRQuestionEncoderTokenizerFast,
    DPRReaderTokenizer,
    SequenceLengthWarning,
)

Tokenizer = DPRQuestionEncoderTokenizer


@pytest.mark.parametrize(
    "kind", [DPRQuestionEncoderTokenizer, DPRContextEncoderTokenizerFast, DPRReaderTokenizer]
)
def test_lower_casing_is_honoured(kind: Any, vocab: dict[str, int]) -> None:
    assert kind(vocab).tokenize("Paris") == ["paris"]
    cased = kind(vocab, do_lower_case=False)
    assert cased.tokenize("Paris") == ["Paris"]
    assert (kind(vocab).do_lower_case, cased.do_lower_case) == (True, False)


def test_the_vocabulary_may_be_given_in_every_way(vocab: dict[str, int], vocab_file: Path) -> None:
    expected = Tokenizer(vocab)("what is love").input_ids
    assert Tokenizer(vocab_file=vocab_file)("what is love").input_ids == expected
    assert Tokenizer(str(vocab_file))("what is love").input_ids == expected
    backend = Tokenizer(vocab).backend_tokenizer
    made = Tokenizer(tokenizer_object=backend)
    assert made("what is love").input_ids == expected
    assert made.backend_tokenizer is not backend
    assert len(Tokenizer(vocab_file=vocab_file)) == len(vocab)


def test_no_vocabulary_or_two_are_refused(vocab: dict[str, int], vocab_file: Path) -> None:
    with pytest.raises(SettingsError, match="needs a vocabulary and none was given"):
        Tokenizer()
    with pytest.raises(SettingsError, match="pass one of them"):
        Tokenizer(vocab, vocab_file=vocab_file)
    with pytest.raises(CheckpointError, match=r"no vocabulary file at nowhere\.txt"):
        Tokenizer(vocab_file="nowhere.txt")


def test_misspelt_keywords_are_refused_with_the_closest_name(vocab: dict[str, int]) -> None:
    with pytest.raises(TypeError, match="'lower_case'; did you mean 'do_lower_case'"):
        Tokenizer(vocab, lower_case=False)
    tokenizer = Tokenizer(vocab)
    with pytest.raises(TypeError, match="'truncate'; did you mean 'truncation'"):
        tokenizer("a", truncate=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'maxlength'; did you mean 'max_length'"):
        tokenizer.encode("a", maxlength=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'zzz' "):
        tokenizer.tokenize("a", zzz=3)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"padding": "longer"}, "padding='longer' is not known; allowed are longest"),
        ({"truncation": "second"}, "truncation='second' is not known"),
        ({"padding_side": "up"}, "padding_side='up'"),
        ({"return_tensors": "tf"}, "return_tensors='tf' is not known; allowed are pt, np"),
        ({"max_length": -1}, "max_length=-1 is negative"),
        ({"max_length": 1}, "max_length=1 is below the 2 special tokens"),
        ({"max_length": 6, "stride": 4}, "stride=4 leaves no advance"),
        ({"stride": -1}, "stride=-1 is negative"),
        ({"pad_to_multiple_of": 0, "padding": True}, "pad_to_multiple_of=0"),
        (
            {"pad_to_multiple_of": 8, "padding": True, "truncation": True, "max_length": 20},
            "use max_length=16",
        ),
    ],
)
def test_settings_out_of_range_are_refused(
    question_tokenizer: Tokenizer, keywords: dict[str, Any], said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        question_tokenizer(["love", "a song"], **keywords)
    assert said in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_the_backend_s_state_is_left_clean_after_an_error(question_tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"check max_length=5 and truncation='only_second'"):
        question_tokenizer("love " * 9, "a", truncation="only_second", max_length=5)
    assert len(question_tokenizer("love " * 9).input_ids) == 11
    assert question_tokenizer.backend_tokenizer.truncation is None


@pytest.mark.parametrize(
    ("text", "pair", "said"),
    [
        (None, None, "no text to tokenize"),
        (5, None, "is int, not a string"),
        (["a", 3], None, "text number 1 (from 0) is int"),
        (["a", "b"], ["c"], "2 texts and 1 second texts"),
        (["a", "b"], "c", "2 texts and one string"),
    ],
)
def test_texts_of_a_wrong_kind_are_refused(
    question_tokenizer: Tokenizer, text: Any, pair: Any, said: str
) -> None:
    with pytest.raises(InputError) as caught:
        question_tokenizer(text, pair)
    assert said in str(caught.value)


def test_words_are_refused_without_saying_so(question_tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="is_split_into_words"):
        question_tokenizer([["a", "b", "c"]])


def test_an_empty_batch_is_empty(question_tokenizer: Tokenizer) -> None:
    assert question_tokenizer([]) == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    assert question_tokenizer([], return_tensors="np").input_ids.dtype == np.int64


def test_lone_surrogates_do_not_stop_a_batch(question_tokenizer: Tokenizer) -> None:
    batch = question_tokenizer(["old \ud83d city", "love"], return_offsets_mapping=True)
    assert batch.tokens(0) == ["[CLS]", "old", "city", "[SEP]"]
    assert batch.offset_mapping[0] == [(0, 0), (0, 3), (6, 10), (0, 0)]
    words = question_tokenizer([["old", "\udc00city"]], is_split_into_words=True)
    assert words.tokens(0) == ["[CLS]", "old", "city", "[SEP]"]


def test_lengths_beyond_the_model_are_warned_of(vocab: dict[str, int]) -> None:
    tokenizer = Tokenizer(vocab, model_max_length=8)
    with pytest.warns(
        SequenceLengthWarning, match="12 tokens is longer than the 8 positions"
    ) as told:
        tokenizer("love " * 10)
    assert told[0].filename == __file__  # the caller's line, not one of the package
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("love " * 6)
        tokenizer("love " * 10, truncation=True)
        tokenizer("love " * 10, verbose=False)
    assert len(tokenizer("love " * 10, truncation=True).input_ids) == 8
    assert tokenizer.max_len_single_sentence == 6
    assert tokenizer.max_len_sentences_pair == 5


def test_a_length_that_does_nothing_is_warned_of(question_tokenizer: Tokenizer) -> None:
    with pytest.warns(UserWarning, match="max_length does nothing"):
        question_tokenizer(["love"], padding=True, max_length=8)


def test_enumerations_of_other_libraries_are_understood(question_tokenizer: Tokenizer) -> None:
    class Named:
        def __init__(self, value: str) -> None:
            self.value = value

    batch = question_tokenizer(
        ["love", "a song"],
        padding=Named("max_length"),  # type: ignore[typeddict-item]
        truncation=Named("only_first"),  # type: ignore[typeddict-item]
        return_tensors=Named("np"),  # type: ignore[typeddict-item]
        max_length=7,
    )
    assert batch.input_ids.shape == (2, 7)


def test_special_tokens_in_a_text_are_text_where_that_is_asked(vocab: dict[str, int]) -> None:
    assert Tokenizer(vocab).tokenize("a [SEP]") == ["a", "[SEP]"]
    assert Tokenizer(vocab).tokenize("a [SEP]", split_special_tokens=True)[1] == "["
    asked = Tokenizer(vocab, split_special_tokens=True)
    assert asked.tokenize("a [SEP]")[1] == "["
    assert asked.tokenize("a [SEP]", split_special_tokens=False) == ["a", "[SEP]"]


def test_encode_gives_the_ids_of_a_call(question_tokenizer: Tokenizer) -> None:
    assert question_tokenizer.encode("love") == question_tokenizer("love").input_ids
    array = question_tokenizer.encode("love", "song", return_tensors="np")
    assert array.tolist() == [question_tokenizer("love", "song").input_ids]


def test_threads_share_a_tokenizer(question_tokenizer: Tokenizer) -> None:
    texts = [f"what is love {'song ' * n}" for n in range(40)]
    asked: list[dict[str, Any]] = [
        {"padding": True},
        {"truncation": True, "max_length": 7},
        {"padding": "max_length", "max_length": 60, "truncation": True, "padding_side": "left"},
        {"split_special_tokens": True},
    ]
    alone = [question_tokenizer(texts, **keywords).data for keywords in asked]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(question_tokenizer, texts, **asked[n % 4]) for n in range(80)]
        for n, job in enumerate(jobs):
            assert job.result().data == alone[n % 4]


def test_what_it_shows_of_itself(question_tokenizer: Tokenizer) -> None:
    shown = repr(question_tokenizer)
    assert shown.startswith("DPRQuestionEncoderTokenizer(name_or_path='', vocab_size=176")
    assert "model_max_length=512" in shown


def test_fast_names_are_the_same_implementation() -> None:
    assert issubclass(DPRQuestionEncoderTokenizerFast, DPRQuestionEncoderTokenizer)
    assert issubclass(DPRContextEncoderTokenizerFast, DPRContextEncoderTokenizer)
