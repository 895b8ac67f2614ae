from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dpr.encoding import ContextEncoder, EncodingSettings, QuestionEncoder
from dpr.errors import SettingsError
from dpr.models import DPRConfig, DPRContextEncoder
from dpr.records import Passage
from dpr.settings import save_settings
from dpr.tokens import DPRContextEncoderTokenizer, passage_ids

PASSAGES = [
    Passage(str(n), " ".join(["the king lives in a castle"] * (1 + 7 * n % 11)), "tale" * (n % 2))
    for n in range(12)
]


def test_vectors_equal_the_plain_way(tiny_model: Path) -> None:
    """One padded forward a passage, through the public model."""
    encoder = ContextEncoder.from_pretrained(tiny_model / "encoder")
    vectors = encoder.encode(PASSAGES)
    assert vectors.dtype == np.float32
    assert vectors.shape == (12, encoder.dim) == (12, 32)
    model = DPRContextEncoder.from_pretrained(tiny_model / "encoder")
    tokenizer = DPRContextEncoderTokenizer.from_pretrained(tiny_model / "encoder")
    for passage, vector in zip(PASSAGES, vectors, strict=True):
        ids, _ = passage_ids(tokenizer, [passage.title], [passage.text])
        with torch.no_grad():
            expected = model(torch.tensor(ids)).pooler_output[0].numpy()
        assert np.allclose(vector, expected, atol=1e-5)


def test_batch_size_does_not_matter_beyond_rounding(tiny_model: Path) -> None:
    small = ContextEncoder.from_pretrained(
        tiny_model / "encoder", EncodingSettings(batch_tokens=1)
    ).encode(PASSAGES)
    large = ContextEncoder.from_pretrained(tiny_model / "encoder").encode(PASSAGES)
    assert np.allclose(small, large, atol=1e-5)


def test_the_same_list_gives_the_same_bytes(tiny_model: Path) -> None:
    encoder = ContextEncoder.from_pretrained(tiny_model / "encoder")
    assert encoder.encode(PASSAGES).tobytes() == encoder.encode(PASSAGES).tobytes()


def test_cut_texts_are_counted(tiny_model: Path) -> None:
    settings = EncodingSettings(max_length=16)  # [CLS] and [SEP] leave room for 14 words
    encoder = ContextEncoder.from_pretrained(tiny_model / "encoder", settings)
    encoder.encode(
        [Passage("a", "one " * 14), Passage("b", "one " * 15), Passage("c", "one " * 99)]
    )
    assert encoder.truncated == 2


def test_settings_beside_the_weights_are_taken(tiny_model: Path, tmp_path: Path) -> None:
    QuestionEncoder.from_pretrained(tiny_model / "encoder").model.save_pretrained(tmp_path)
    DPRContextEncoderTokenizer.from_pretrained(tiny_model / "encoder").save_pretrained(tmp_path)
    save_settings(EncodingSettings(max_length=20), tmp_path / "encoding.json")
    assert QuestionEncoder.from_pretrained(tmp_path).settings["max_length"] == 20


def test_a_model_of_few_positions_takes_shorter_texts(tiny_model: Path) -> None:
    encoder = ContextEncoder.from_pretrained(tiny_model / "encoder")
    config = DPRConfig.from_dict(encoder.model.config.to_dict(), max_position_embeddings=64)
    small = DPRContextEncoder(config)
    assert ContextEncoder(small, encoder.tokenizer).settings["max_length"] == 64


def test_fingerprints_tell_towers_weights_settings_and_vocabularies_apart(tiny_model: Path) -> None:
    place = tiny_model / "encoder"
    question, context = (
        QuestionEncoder.from_pretrained(place),
        ContextEncoder.from_pretrained(place),
    )
    assert question.fingerprint == QuestionEncoder.from_pretrained(place).fingerprint
    shorter = QuestionEncoder.from_pretrained(place, EncodingSettings(max_length=20))
    other = QuestionEncoder.from_pretrained(place)
    with torch.no_grad():
        other.model.stack.embeddings.word_embeddings.weight[7, 3] += 1e-3
    cased = QuestionEncoder.from_pretrained(place)
    cased.tokenizer = type(cased.tokenizer).from_pretrained(place, do_lower_case=False)
    prints = [one.fingerprint for one in (question, context, shorter, other, cased)]
    assert len(set(prints)) == 5


def test_a_fingerprint_is_the_same_in_another_process(tiny_model: Path) -> None:
    place = tiny_model / "encoder"
    code = (
        "import sys; from dpr.encoding import QuestionEncoder;"
        "print(QuestionEncoder.from_pretrained(sys.argv[1]).fingerprint)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == QuestionEncoder.from_pretrained(place).fingerprint


def test_settings_outside_what_is_allowed(tiny_model: Path) -> None:
    with pytest.raises(SettingsError, match="max_length=4"):
        EncodingSettings(max_length=4)
    with pytest.raises(SettingsError, match="512 positions"):
        QuestionEncoder.from_pretrained(tiny_model / "encoder", EncodingSettings(max_length=513))
