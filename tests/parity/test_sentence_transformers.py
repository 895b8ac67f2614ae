"""Folders exchanged with sentence-transformers itself: the same vectors, the same ranking."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from interchange.towers import random_towers

from dpr.errors import CheckpointError
from dpr.interchange.dual import DualEncoder
from dpr.models.weights import weights_fingerprint

CLOSE = 1e-5
QUESTIONS = [
    "who wrote the tale of the king?",
    "where's the river [SEP] in paris [MASK]?",
    "What is Zürich 東京",
    "what is " * 60,
    "",
]
TYPOGRAPHIC = ["what is the king’s castle?"]
TEXTS = ["the king lives in a castle", "a king’s tale [SEP] of snow", "one two " * 80, ""]
PAIRS = [
    ("the king", "lives in a castle"),
    ("old [SEP] tale", "the dog and the cat’s snow " * 40),
    ("river", ""),
]


def worst(ours: np.ndarray, theirs: np.ndarray) -> float:
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max())


def load(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")


CASES: dict[str, dict[str, Any]] = {
    "tied": {"tied": True},
    "untied": {"tied": False},
    "tied, projection": {"tied": True, "projection": 24},
    "untied, projection": {"tied": False, "projection": 24},
    "mean, normalised, prompt": {
        "tied": True,
        "pooling": "mean",
        "normalize": True,
        "prompt": "passage: ",
        "plain_apostrophes": False,
    },
}


@pytest.mark.parametrize("case", CASES)
def test_an_export_gives_our_vectors(case: str, tiny_vocabulary: Path, tmp_path: Path) -> None:
    ours = random_towers(tiny_vocabulary, **CASES[case])
    folder = ours.save_sentence_transformers(tmp_path / "export")
    theirs = load(folder)
    assert worst(ours.encode_query(QUESTIONS), theirs.encode_query(QUESTIONS)) < CLOSE
    assert worst(ours.encode_document(TEXTS), theirs.encode_document(TEXTS)) < CLOSE
    if not ours.context.encoding.prompt:  # which they put before the whole pair's first text too
        assert worst(ours.encode_document(PAIRS), theirs.encode_document(PAIRS)) < CLOSE
    exact = case != "tied" and case != "tied, projection"
    typographic = worst(ours.encode_query(TYPOGRAPHIC), theirs.encode_query(TYPOGRAPHIC))
    assert (typographic < CLOSE) is exact
    assert theirs.similarity_fn_name == ours.similarity_fn_name
    left, right = ours.encode_query(QUESTIONS), ours.encode_document(TEXTS)
    assert torch.allclose(ours.similarity(left, right), theirs.similarity(left, right))
    pairwise = (
        ours.similarity_pairwise(left[:4], right),
        theirs.similarity_pairwise(left[:4], right),
    )
    assert torch.allclose(*pairwise)
    assert {path.suffix for path in folder.rglob("*") if path.is_file()} <= {
        *(".json", ".safetensors", ".txt", ".md")
    }


def test_two_routes_of_tied_towers_are_exact(tiny_vocabulary: Path, tmp_path: Path) -> None:
    ours = random_towers(tiny_vocabulary, tied=True)
    theirs = load(ours.save_sentence_transformers(tmp_path / "export", share=False))
    asked = [*QUESTIONS, *TYPOGRAPHIC]
    assert worst(ours.encode_query(asked), theirs.encode_query(asked)) < CLOSE
    assert worst(ours.encode_document(PAIRS), theirs.encode_document(PAIRS)) < CLOSE


@pytest.mark.slow
def test_the_shipped_model_ranks_the_same(tmp_path: Path) -> None:
    from dpr.corpus import read_documents

    rows = list(islice(read_documents("pydoc"), 16))
    questions = [f"what is {one.title}" for one in rows[:8]]
    ours = DualEncoder.from_pretrained()
    theirs = load(ours.save_sentence_transformers(tmp_path / "export"))
    pairs = [(one.title, one.text[:300]) for one in rows]
    vectors = ours.encode_query(questions), ours.encode_document(pairs)
    others = theirs.encode_query(questions), theirs.encode_document(pairs)
    for mine, other in zip(vectors, others, strict=True):
        assert worst(mine, other) < CLOSE
    ranking = ours.similarity(*vectors).argsort(dim=1, descending=True)
    assert torch.equal(ranking, theirs.similarity(*others).argsort(dim=1, descending=True))


# Import.


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory, tiny_vocabulary: Path) -> Path:
    """A random BERT as Transformers saves it."""
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("bert")
    size = len(tiny_vocabulary.read_text(encoding="utf-8").splitlines())
    config = BertConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=37,
        max_position_embeddings=64,
        initializer_range=0.2,
    )
    BertModel(config).save_pretrained(folder)
    # Made from the words, since the file is not read by every version.
    vocabulary = {w: n for n, w in enumerate(tiny_vocabulary.read_text("utf-8").splitlines())}
    BertTokenizerFast(vocab=vocabulary, model_max_length=48).save_pretrained(folder)
    return folder


def theirs_of(
    bert: Path, *extra: str, pooling: Any = "cls", length: int | None = None
) -> list[Any]:
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    torch.manual_seed(3)
    modules: list[Any] = [Transformer(str(bert)), Pooling(32, pooling)]
    if length is not None:
        modules[0].max_seq_length = length
    for name in extra:
        if name == "Normalize":
            modules.append(Normalize())
        else:
            activation = torch.nn.Tanh() if name == "Tanh" else None
            modules.append(Dense(32, 16, bias=name != "No bias", activation_function=activation))
    return modules


def saved(modules: list[Any], folder: Path, **options: Any) -> Any:
    from sentence_transformers import SentenceTransformer

    options = {"similarity_fn_name": "dot", **options}
    model = SentenceTransformer(modules=modules, device="cpu", **options)
    model.save(str(folder), create_model_card=False)
    return model


IMPORTS: dict[str, tuple[tuple[str, ...], dict[str, Any], dict[str, Any]]] = {
    "cls": ((), {}, {}),
    "mean": ((), {"pooling": "mean"}, {}),
    "mean, normalised": (("Normalize",), {"pooling": "mean"}, {}),
    "dense": (("Dense",), {}, {}),
    "dense without bias, normalised": (("No bias", "Normalize"), {"pooling": "mean"}, {}),
    "length": ((), {"length": 20}, {}),
    "prompts": (
        (),
        {"pooling": "mean"},
        {"prompts": {"query": "query: ", "passage": "not used: "}, "default_prompt_name": "query"},
    ),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_an_import_gives_their_vectors(case: str, bert: Path, tmp_path: Path) -> None:
    extra, options, kept = IMPORTS[case]
    theirs = saved(theirs_of(bert, *extra, **options), tmp_path / "theirs", **kept)
    ours = DualEncoder.from_pretrained(tmp_path / "theirs")
    # Special tokens in a text are structure to them, characters to us.
    asked = [text.replace("[SEP]", "").replace("[MASK]", "") for text in QUESTIONS + TYPOGRAPHIC]
    texts = [text.replace("[SEP]", "") for text in TEXTS]
    assert worst(ours.encode_query(asked), theirs.encode_query(asked)) < CLOSE
    assert worst(ours.encode_document(texts), theirs.encode_document(texts)) < CLOSE
    # Kept as a model of ours, and exported again.
    again = DualEncoder.from_pretrained(ours.save_pretrained(tmp_path / "ours"))
    assert np.array_equal(again.encode_query(asked), ours.encode_query(asked))
    assert again.fingerprint == ours.fingerprint
    back = load(again.save_sentence_transformers(tmp_path / "back"))
    assert worst(ours.encode_query(asked), back.encode_query(asked)) < CLOSE
    assert worst(ours.encode_document(texts), back.encode_document(texts)) < CLOSE


def test_two_routes_are_imported(bert: Path, tmp_path: Path) -> None:
    from sentence_transformers.base.modules import Normalize, Router

    routes = theirs_of(bert, pooling="mean"), theirs_of(bert, "Dense", pooling="cls")
    with torch.no_grad():
        next(routes[0][0].parameters()).mul_(-1)
    router = Router.for_query_document(theirs_of(bert, "Dense", pooling="mean"), routes[1])
    theirs = saved([router, Normalize()], tmp_path / "theirs")
    ours = DualEncoder.from_pretrained(tmp_path / "theirs")
    assert worst(ours.encode_query(TYPOGRAPHIC), theirs.encode_query(TYPOGRAPHIC)) < CLOSE
    assert worst(ours.encode_document(TEXTS[:1]), theirs.encode_document(TEXTS[:1])) < CLOSE
    assert ours.question.encoding.pooling != ours.context.encoding.pooling


@pytest.mark.parametrize(
    ("extra", "options", "message"),
    [
        ((), {"pooling": "max"}, "pools by max; supported are cls and mean"),
        ((), {"pooling": ("cls", "mean")}, "pools by cls and mean; supported"),
        (("Tanh",), {}, r"activation is 'torch.nn.modules.activation.Tanh'"),
        (("Normalize", "Dense"), {}, "its modules are Transformer, Pooling, Normalize, Dense"),
    ],
)
def test_what_cannot_be_imported_is_named(
    extra: tuple[str, ...], options: dict[str, Any], message: str, bert: Path, tmp_path: Path
) -> None:
    saved(theirs_of(bert, *extra, **options), tmp_path / "theirs")
    with pytest.raises(CheckpointError, match=message):
        DualEncoder.from_pretrained(tmp_path / "theirs")


def test_a_model_that_ranks_by_cosine_says_so(
    bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from dpr.interchange.importing import read_sentence_transformers

    saved(theirs_of(bert), tmp_path / "theirs", similarity_fn_name="cosine")
    read_sentence_transformers(tmp_path / "theirs")
    assert "pass normalize=True" in caplog.text
    caplog.clear()
    question, _ = read_sentence_transformers(tmp_path / "theirs", normalize=True)
    assert not caplog.text
    assert np.allclose(np.linalg.norm(question.encode(QUESTIONS), axis=1), 1)


def test_an_export_keeps_the_weights(tiny_vocabulary: Path, tmp_path: Path) -> None:
    ours = random_towers(tiny_vocabulary, tied=False, projection=24)
    back = DualEncoder.from_pretrained(ours.save_sentence_transformers(tmp_path / "export"))
    for left, right in ((ours.question, back.question), (ours.context, back.context)):
        assert weights_fingerprint(left.model.state_dict()) == weights_fingerprint(
            right.model.state_dict()
        )
