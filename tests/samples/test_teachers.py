"""Teachers' scores against the models that they come from."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpr.errors import CheckpointError, InputError, MissingExtraError, SettingsError
from dpr.reading import Reader
from dpr.samples.files import Context
from dpr.samples.negatives import Pool
from dpr.samples.searchers import BM25Searcher
from dpr.samples.teachers import BM25Teacher, CrossEncoderTeacher, ReaderTeacher

QUESTIONS = ["who lives in the castle?", "what is old?"]
TITLES = ["castle", ""]
TEXTS = ["the king lives in the castle " * 90, "a tale"]


def test_a_reader_gives_the_relevance_of_the_best_window(tiny_model: Path) -> None:
    reader = Reader.from_pretrained(tiny_model / "reader")
    readings = reader.read(QUESTIONS, TITLES, TEXTS)
    assert [one.item for one in readings].count(0) > 1
    teacher = ReaderTeacher(reader)
    expected = [max(r.relevance for r in readings if r.item == item) for item in (0, 1)]
    assert teacher(QUESTIONS, TITLES, TEXTS) == expected
    assert teacher.identity == ReaderTeacher(Reader.from_pretrained(tiny_model / "reader")).identity


def test_bm25_gives_its_scores_of_any_passage_of_the_pool() -> None:
    pool = Pool([Context("the old castle", "a"), Context("a king", "b"), Context("king king")])
    searcher = BM25Searcher(pool)
    teacher = BM25Teacher(searcher, pool)
    questions = ["king", "castle", "king"]
    scores = teacher(questions, ["b", "a", ""], ["a king", "the old castle", "king king"])
    assert scores == [s for (s,) in searcher.scores(questions, [[1], [0], [2]])]
    assert min(scores) > 0
    with pytest.raises(InputError, match="'elsewhere' is not in the pool"):
        teacher(["king"], [""], ["elsewhere"])


def cross_encoder(folder: Path, vocabulary: Path, labels: int = 1) -> Path:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary.read_text(encoding="utf-8").splitlines()),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=37,
        num_labels=labels,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizer(str(vocabulary), model_max_length=512).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the packages below sentence-transformers
def test_a_cross_encoder_gives_its_logit(tmp_path: Path, tiny_vocabulary: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    place = cross_encoder(tmp_path / "cross", tiny_vocabulary)
    teacher = CrossEncoderTeacher(str(place))
    found = teacher(QUESTIONS, TITLES, ["the king lives here", "a tale"])
    model = AutoModelForSequenceClassification.from_pretrained(place).eval()
    tokenizer = AutoTokenizer.from_pretrained(place)
    passages = ["castle the king lives here", "a tale"]
    with torch.no_grad():
        given = tokenizer(QUESTIONS, passages, padding=True, return_tensors="pt")
        expected = model(**given).logits[:, 0].numpy()
    assert np.allclose(found, expected, atol=1e-5)
    assert not np.allclose(found, 1 / (1 + np.exp(-expected)), atol=1e-3)

    with pytest.raises(SettingsError, match="gives 3 numbers"):
        CrossEncoderTeacher(str(cross_encoder(tmp_path / "three", tiny_vocabulary, labels=3)))
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps(config | {"model_type": "dpr"}))
    with pytest.raises(CheckpointError, match="Unrecognized configuration class") as caught:
        CrossEncoderTeacher(str(place))
    assert "AlbertConfig" not in str(caught.value)
    (place / "config.json").write_text(json.dumps(config))
    (place / "model.safetensors").rename(place / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="with safetensors"):
        CrossEncoderTeacher(str(place))


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    known = builtins.__import__

    def missing(name: str, *given: Any, **named: Any) -> Any:
        if name.startswith("sentence_transformers"):
            raise ImportError(name)
        return known(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"dense-passage-retrieval\[teacher\]"):
        CrossEncoderTeacher("anything")
