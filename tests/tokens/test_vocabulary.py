"""Special tokens, added tokens, conversion and decoding."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from tokenizers import AddedToken

from dpr.errors import InputError, SettingsError
from dpr.tokens import DPRQuestionEncoderTokenizer

Tokenizer = DPRQuestionEncoderTokenizer


def test_special_tokens_by_name_and_id(
    question_tokenizer: Tokenizer, vocab: dict[str, int]
) -> None:
    for name in ("unk", "sep", "pad", "cls", "mask"):
        token = getattr(question_tokenizer, f"{name}_token")
        assert token == f"[{name.upper()}]"
        assert getattr(question_tokenizer, f"{name}_token_id") == vocab[token]
    assert question_tokenizer.bos_token is None
    assert question_tokenizer.eos_token_id is None
    assert question_tokenizer.all_special_tokens == ["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    assert question_tokenizer.all_special_ids == [1, 3, 0, 2, 4]
    assert question_tokenizer.vocab_size == len(question_tokenizer) == len(vocab)
    assert question_tokenizer.get_vocab() == question_tokenizer.vocab == vocab


def test_special_tokens_may_be_set(question_tokenizer: Tokenizer, vocab: dict[str, int]) -> None:
    question_tokenizer.pad_token = "x"
    assert question_tokenizer.pad_token_id == vocab["x"]
    question_tokenizer.pad_token_id = vocab["y"]
    assert question_tokenizer.pad_token == "y"
    assert question_tokenizer(["a", "a b"], padding=True).input_ids[0][-1] == vocab["y"]
    with pytest.raises(SettingsError, match="pad_token_id=99999"):
        question_tokenizer.pad_token_id = 99999
    with pytest.raises(SettingsError, match="pad_token must be a string, not int"):
        question_tokenizer.pad_token = 3


def test_other_names_of_special_tokens_are_used(vocab: dict[str, int]) -> None:
    tokenizer = Tokenizer({**vocab, "<s>": 900, "</s>": 901}, cls_token="<s>", sep_token="</s>")
    assert tokenizer("a").input_ids == [900, vocab["a"], 901]
    assert tokenizer("a <s>", add_special_tokens=False).input_ids == [vocab["a"], 900]


def test_added_tokens_come_after_the_vocabulary(question_tokenizer: Tokenizer) -> None:
    size = len(question_tokenizer)
    assert question_tokenizer.add_tokens(["newword", "love"]) == 2
    assert question_tokenizer.add_tokens("newword") == 0
    assert question_tokenizer.add_tokens([]) == 0
    # "love" is in the vocabulary: its id stays
    assert len(question_tokenizer) == size + 1
    assert question_tokenizer.vocab_size == size
    assert question_tokenizer.convert_tokens_to_ids("newword") == size
    assert question_tokenizer.tokenize("a newword") == ["a", "newword"]
    assert question_tokenizer.get_added_vocab()["newword"] == size


def test_special_tokens_are_added_and_skipped(question_tokenizer: Tokenizer) -> None:
    added = question_tokenizer.add_special_tokens(
        {"bos_token": "<s>", "additional_special_tokens": ["<a>", AddedToken("<b>")]}
    )
    assert added == 3
    assert question_tokenizer.bos_token == "<s>"
    assert question_tokenizer.extra_special_tokens == ["<a>", "<b>"]
    ids = question_tokenizer("<a> love <b>").input_ids
    assert question_tokenizer.decode(ids, skip_special_tokens=True) == "love"
    question_tokenizer.add_special_tokens(
        {"extra_special_tokens": ["<c>"]}, replace_extra_special_tokens=False
    )
    assert question_tokenizer.extra_special_tokens == ["<a>", "<b>", "<c>"]
    with pytest.raises(SettingsError, match="'sepp_token' is not a special token"):
        question_tokenizer.add_special_tokens({"sepp_token": "x"})
    with pytest.raises(SettingsError, match="must be a list of strings"):
        question_tokenizer.add_special_tokens({"extra_special_tokens": "<d>"})
    with pytest.raises(SettingsError, match="sep_token must be a string"):
        question_tokenizer.add_special_tokens({"sep_token": ["x"]})


def test_a_new_sep_is_used_at_once(question_tokenizer: Tokenizer) -> None:
    question_tokenizer.add_special_tokens({"sep_token": "<end>"})
    assert question_tokenizer("a").input_ids[-1] == question_tokenizer.sep_token_id == 176


def test_ids_and_tokens(question_tokenizer: Tokenizer, vocab: dict[str, int]) -> None:
    assert question_tokenizer.convert_tokens_to_ids(["love", "nosuch"]) == [vocab["love"], 1]
    assert question_tokenizer.convert_ids_to_tokens(vocab["love"]) == "love"
    assert question_tokenizer.convert_ids_to_tokens([2, vocab["love"]]) == ["[CLS]", "love"]
    assert question_tokenizer.convert_ids_to_tokens(
        np.array([2, vocab["love"]]), skip_special_tokens=True
    ) == ["love"]
    assert question_tokenizer.convert_ids_to_tokens(10**6) is None
    assert question_tokenizer.convert_tokens_to_string(["lov", "##ed", "a"]) == "loved a"


def test_decoding_of_arrays_tensors_and_numbers(question_tokenizer: Tokenizer) -> None:
    ids = question_tokenizer(["love song", "the city"], return_tensors="pt").input_ids
    expected = ["[CLS] love song [SEP]", "[CLS] the city [SEP]"]
    assert question_tokenizer.decode(ids) == question_tokenizer.batch_decode(ids) == expected
    assert question_tokenizer.decode(ids[0]) == expected[0]
    assert question_tokenizer.batch_decode(ids[0]) == [expected[0]]
    assert question_tokenizer.decode(list(ids)) == expected
    assert question_tokenizer.decode(2) == "[CLS]"
    assert question_tokenizer.decode(ids, True) == ["love song", "the city"]


def test_clean_up_follows_the_attribute_unless_said(vocab: dict[str, int]) -> None:
    tokenizer = Tokenizer(vocab, clean_up_tokenization_spaces=True)
    text = " ' s , a n't"
    assert tokenizer.clean_up_tokenization("it 's a n't .") == "it's an't."
    ids = tokenizer("a , b", add_special_tokens=False).input_ids
    assert tokenizer.decode(ids) == "a, b"
    assert tokenizer.clean_up_tokenization(text) == "'s, an't"


def test_special_tokens_mask(question_tokenizer: Tokenizer) -> None:
    mask = question_tokenizer.get_special_tokens_mask
    assert mask([7, 8]) == [1, 0, 0, 1]
    assert mask([7], [8]) == [1, 0, 1, 0, 1]
    assert mask([2, 7, 3], already_has_special_tokens=True) == [1, 0, 1]
    with pytest.raises(InputError, match="give one sequence"):
        mask([2], [3], already_has_special_tokens=True)


def test_a_copy_is_apart(question_tokenizer: Tokenizer) -> None:
    other = copy.deepcopy(question_tokenizer)
    other.add_tokens(["newword"])
    assert len(other) == len(question_tokenizer) + 1
    assert other("love").input_ids == question_tokenizer("love").input_ids
    assert bool(question_tokenizer)
    assert question_tokenizer.is_fast
