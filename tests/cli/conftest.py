"""A tiny model with random weights, documents, and a runner: what the verbs are tried on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from dpr.cli import app
from dpr.models import DPRConfig, DPRContextEncoder, DPRQuestionEncoder, DPRReader
from dpr.tokens import DPRContextEncoderTokenizer, DPRQuestionEncoderTokenizer, DPRReaderTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = [
    "paris",
    "france",
    "river",
    "old",
    "city",
    "song",
    "queen",
    "bread",
    "stone",
    "what",
    "is",
    "the",
    "of",
    "in",
    "a",
    "wrote",
    "who",
]
VOCABULARY = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *".,?!'\"-:;()"),
    *LETTERS,
    *WORDS,
    *(f"##{letter}" for letter in LETTERS),
]
DOCUMENTS = {
    "france": "Paris is the capital of France. The old city lies on a river, the Seine.",
    "bread": "Bread is made of flour.\n\nThe queen wrote a song of bread and stone.",
    "stone": "Who threw the first stone? In the old city nobody knows what stone is.",
}

Run = Callable[..., Result]


def _config() -> DPRConfig:
    return DPRConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
    )


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with two towers and a reader."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    torch.manual_seed(0)
    parts: list[tuple[str, type[Any], type[Any]]] = [
        ("question_encoder", DPRQuestionEncoder, DPRQuestionEncoderTokenizer),
        ("ctx_encoder", DPRContextEncoder, DPRContextEncoderTokenizer),
        ("reader", DPRReader, DPRReaderTokenizer),
    ]
    vocabulary = {token: number for number, token in enumerate(VOCABULARY)}
    for name, model_class, tokenizer_class in parts:
        model_class(_config()).save_pretrained(folder / name)
        tokenizer_class(vocabulary).save_pretrained(folder / name)
    return folder


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of documents."""
    path = tmp_path_factory.mktemp("documents") / "docs.jsonl"
    lines = [{"id": key, "title": key.title(), "text": text} for key, text in DOCUMENTS.items()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def run() -> Run:
    """Runs ``dpr`` in this process."""

    def invoke(*arguments: object, input: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(app, [str(one) for one in arguments], input=input)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


@pytest.fixture(scope="session")
def collection(model: Path, documents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents, indexed."""
    folder = tmp_path_factory.mktemp("collection") / "docs.dpr"
    arguments = ["index", documents, "--to", folder, "--model", model, "--split", "words:8"]
    result = CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder
