"""A hand-made BERT vocabulary, enough for the sentences of these tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpr.tokens import (
    DPRContextEncoderTokenizer,
    DPRQuestionEncoderTokenizer,
    DPRReaderTokenizer,
)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PUNCTUATION = list(".,?!'’\"-:;()[]#/")
WORDS = [
    *[
        "what",
        "is",
        "love",
        "who",
        "wrote",
        "the",
        "song",
        "a",
        "an",
        "of",
        "in",
        "by",
        "recorded",
        "artist",
        "answer",
        "paris",
    ],
    *["capital", "france", "city", "river", "on", "old", "two", "three", "Paris", "France"],
]
PIECES = ["##ing", "##ed", "##s", "##day", *(f"##{letter}" for letter in LETTERS)]
TOKENS = [*SPECIAL, *PUNCTUATION, *LETTERS, *WORDS, *PIECES, "é", "中", "文"]


@pytest.fixture(scope="session")
def vocab() -> dict[str, int]:
    """Token to id."""
    return {token: index for index, token in enumerate(dict.fromkeys(TOKENS))}


@pytest.fixture(scope="session")
def vocab_file(tmp_path_factory: pytest.TempPathFactory, vocab: dict[str, int]) -> Path:
    """The same vocabulary as a ``vocab.txt``."""
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in vocab), encoding="utf-8")
    return path


@pytest.fixture
def question_tokenizer(vocab: dict[str, int]) -> DPRQuestionEncoderTokenizer:
    return DPRQuestionEncoderTokenizer(vocab)


@pytest.fixture
def context_tokenizer(vocab: dict[str, int]) -> DPRContextEncoderTokenizer:
    return DPRContextEncoderTokenizer(vocab)


@pytest.fixture
def reader_tokenizer(vocab: dict[str, int]) -> DPRReaderTokenizer:
    return DPRReaderTokenizer(vocab)
