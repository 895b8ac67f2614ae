"""BatchEncoding as a dictionary, as tensors and as the way back to the text."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from dpr.errors import InputError
from dpr.tokens import BatchEncoding, DPRQuestionEncoderTokenizer
from dpr.tokens.batch import CharSpan, TokenSpan

Tokenizer = DPRQuestionEncoderTokenizer


def test_it_is_a_dictionary_with_attributes(question_tokenizer: Tokenizer) -> None:
    batch = question_tokenizer("love")
    assert batch["input_ids"] == batch.input_ids == batch.data["input_ids"]
    assert list(batch.keys()) == ["input_ids", "token_type_ids", "attention_mask"]
    assert dict(**batch) == batch
    assert "input_ids" in batch
    assert batch.pop("token_type_ids") == [0, 0, 0]
    assert not hasattr(batch, "token_type_ids")
    with pytest.raises(AttributeError, match="labels"):
        _ = batch.labels
    assert copy.copy(batch).input_ids == batch.input_ids


def test_numbers_give_encodings_and_slices_a_part(question_tokenizer: Tokenizer) -> None:
    batch = question_tokenizer(["love", "a song"])
    assert batch[1].tokens == ["[CLS]", "a", "song", "[SEP]"]
    assert batch.is_fast
    bare = BatchEncoding({"input_ids": [[1], [2], [3]]})
    assert bare[1:] == {"input_ids": [[2], [3]]}
    assert not bare.is_fast
    with pytest.raises(KeyError, match="no encodings"):
        bare[0]
    with pytest.raises(InputError, match="without encodings"):
        bare.tokens()


def test_lookups(question_tokenizer: Tokenizer) -> None:
    batch = question_tokenizer(["wanted love", "a"], ["old song", "b"])
    assert batch.n_sequences == 2
    assert batch.tokens(0)[-4:] == ["[SEP]", "old", "song", "[SEP]"]
    love = batch.char_to_token(0, 7)
    assert love is not None
    assert batch.token_to_chars(0, love) == CharSpan(7, 11)
    assert batch.token_to_word(0, love) == batch.char_to_word(0, 7) == 1
    assert batch.word_to_chars(0, 1) == CharSpan(7, 11)
    assert batch.word_to_tokens(0, 1) == TokenSpan(love, love + 1)
    assert batch.token_to_sequence(0, -2) == 1
    assert batch.word_to_chars(0, 1, sequence_index=1) == CharSpan(4, 8)
    assert batch.token_to_chars(0, 0) is None
    assert batch.sequence_ids(1) == [None, 0, None, 1, None]
    assert batch.word_ids(1) == [None, 0, None, 0, None]
    single = question_tokenizer("old song")
    assert single.token_to_chars(2) == CharSpan(4, 8)
    assert single.char_to_token(5) == 2


def test_tensors(question_tokenizer: Tokenizer) -> None:
    batch = question_tokenizer(["love", "a song"], padding=True)
    arrays = BatchEncoding(batch.data, tensor_type="np")
    assert arrays.input_ids.dtype == np.int64
    assert batch.convert_to_tensors("pt") is batch
    assert batch.input_ids.dtype == torch.int64
    assert batch.input_ids.tolist() == arrays.input_ids.tolist()
    assert batch.convert_to_tensors(None) is batch
    one = BatchEncoding({"input_ids": [1, 2]}, tensor_type="pt", prepend_batch_axis=True)
    assert one.input_ids.shape == (1, 2)


@pytest.mark.parametrize("kind", ["np", "pt"])
def test_ragged_rows_are_refused(question_tokenizer: Tokenizer, kind: str) -> None:
    with pytest.raises(InputError, match=r"input_ids cannot become a tensor.*padding=True"):
        question_tokenizer(["love", "a song"], return_tensors=kind)


def test_moving_and_casting(question_tokenizer: Tokenizer) -> None:
    batch = question_tokenizer("love", return_tensors="pt")
    batch["scores"] = torch.ones(1, 3)
    batch["name"] = "text"
    assert batch.to("cpu", non_blocking=True) is batch
    assert batch.to("meta").input_ids.device.type == "meta"
    batch.to(torch.float16)
    assert batch.scores.dtype == torch.float16
    assert batch.input_ids.dtype == torch.int64
    batch.to(device="meta", dtype=torch.float64)
    assert batch.scores.dtype == torch.float64


def test_padding_of_examples_keeps_what_they_were(question_tokenizer: Tokenizer) -> None:
    rows = [question_tokenizer(text) for text in ("love", "a song")]
    padded = question_tokenizer.pad(rows)
    assert padded.attention_mask == [[1, 1, 1, 0], [1, 1, 1, 1]]
    tensors = [{"input_ids": torch.tensor(row.input_ids)} for row in rows]
    assert question_tokenizer.pad(tensors).input_ids.shape == (2, 4)
    arrays = {"input_ids": np.array([[2, 3]])}
    result = question_tokenizer.pad(arrays, "max_length", max_length=4)
    assert isinstance(result.input_ids, np.ndarray)
    assert result.attention_mask.tolist() == [[1, 1, 0, 0]]
    single = question_tokenizer.pad({"input_ids": [2, 3]}, pad_to_multiple_of=4)
    assert single.input_ids == [2, 3, 0, 0]
    assert question_tokenizer.pad({"input_ids": []}) == {"input_ids": [], "attention_mask": []}


def test_padding_of_what_has_no_ids_is_refused(question_tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match=r"input_ids is needed, but got \['labels'\]"):
        question_tokenizer.pad({"labels": [1]})
    with pytest.raises(InputError, match="nothing to pad"):
        question_tokenizer.pad([[1, 2]])
    with pytest.raises(InputError, match="2 rows of input_ids"):
        question_tokenizer.pad({"input_ids": [[1], [2]], "labels": [[1]]})
