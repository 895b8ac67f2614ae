from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpr.errors import CheckpointError, InputError, SettingsError
from dpr.interchange.dual import DualEncoder
from dpr.records import Document, Passage, Question
from dpr.shipped import ModelNames, find_models
from interchange.towers import random_towers

QUESTIONS = ["who is the king?", "where is the river in paris?"]
PASSAGES = [Passage("1", "the king lives in a castle", "tale"), Passage("2", "one two three")]


@pytest.fixture(scope="module")
def dual(tiny_vocabulary: Path) -> DualEncoder:
    return random_towers(tiny_vocabulary, tied=False)


def test_vectors_are_those_of_the_towers(dual: DualEncoder) -> None:
    assert np.array_equal(dual.encode_query(QUESTIONS), dual.question.encode(QUESTIONS))
    expected = dual.context.encode(PASSAGES)
    rows = [{"title": one.title, "text": one.text} for one in PASSAGES]
    pairs = [(one.title, one.text) for one in PASSAGES]
    for given in (PASSAGES, rows, pairs, iter(rows), [Document("1", *pairs[0][::-1]), rows[1]]):
        assert np.array_equal(dual.encode_document(given), expected)
    assert not np.allclose(dual.encode_document(QUESTIONS), dual.encode_query(QUESTIONS))


def test_one_text_gives_one_vector(dual: DualEncoder) -> None:
    vector = dual.question.encode(QUESTIONS[:1])[0]
    for one in (QUESTIONS[0], Question("", QUESTIONS[0]), {"query": QUESTIONS[0]}):
        assert np.allclose(dual.encode_query(one), vector, atol=1e-6)
    expected = dual.context.encode(PASSAGES[:1])[0]
    for document in (PASSAGES[0], {"title": "tale", "text": PASSAGES[0].text}):
        assert np.array_equal(dual.encode_document(document), expected)


def test_options_that_change_the_result(dual: DualEncoder) -> None:
    plain = dual.encode_query(QUESTIONS)
    tensor = dual.encode_query(QUESTIONS, convert_to_tensor=True)
    assert isinstance(tensor, torch.Tensor)
    assert np.array_equal(tensor.numpy(), plain)
    listed = dual.encode_query(QUESTIONS, convert_to_numpy=False)
    assert isinstance(listed, list)
    assert torch.equal(torch.stack(listed), tensor)
    unit = dual.encode_query(QUESTIONS, normalize_embeddings=True)
    assert np.allclose(unit, plain / np.linalg.norm(plain, axis=1, keepdims=True))
    assert dual.encode_query([]).shape == (0, dual.question.dim)


def test_options_that_do_not(dual: DualEncoder, capsys: pytest.CaptureFixture[str]) -> None:
    plain = dual.encode_document(PASSAGES)
    given = dual.encode_document(
        PASSAGES, batch_size=1, prompt=None, prompt_name=None, precision="float32", device="cpu"
    )
    assert np.array_equal(given, plain)
    assert capsys.readouterr() == ("", "")
    assert np.array_equal(dual.encode_document(PASSAGES, show_progress_bar=True), plain)
    out, err = capsys.readouterr()
    assert (out, "100%" in err) == ("", True)


@pytest.mark.parametrize(
    "option",
    [{"prompt": "query: "}, {"precision": "int8"}, {"truncate_dim": 8}, {"device": "cuda"}],
)
def test_options_that_cannot_be_had_are_refused(dual: DualEncoder, option: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(option))}=.* is not supported"):
        dual.encode_query(QUESTIONS, **option)


def test_an_unknown_option(dual: DualEncoder) -> None:
    with pytest.raises(TypeError, match="encoding has no option 'normalise'"):
        dual.encode_query(QUESTIONS, normalise=True)


def test_batches_are_encoded_by_the_tower_that_is_asked_for(dual: DualEncoder) -> None:
    """As MTEB gives them: ``text`` of a document holds the title too, ``body`` does not."""

    class PromptType(Enum):
        query = "query"
        document = "document"

    asked = [{"text": QUESTIONS[:1], "query": QUESTIONS[:1]}, {"text": QUESTIONS[1:]}]
    told = {"task_metadata": object(), "hf_split": "test", "hf_subset": "default"}
    for kind in (PromptType.query, "query"):
        vectors = dual.encode(asked, prompt_type=kind, **told)
        assert np.array_equal(vectors, dual.encode_query(QUESTIONS))
    documents = [
        {"id": ["1"], "text": ["tale " + PASSAGES[0].text], "body": [PASSAGES[0].text]}
        | {"title": ["tale"]},
        {"id": ["2"], "text": [PASSAGES[1].text], "body": [PASSAGES[1].text]},
    ]
    expected = dual.encode_document(PASSAGES)
    assert np.array_equal(dual.encode(documents, prompt_type=PromptType.document), expected)
    assert np.array_equal(dual.encode(PASSAGES), expected)
    assert np.array_equal(dual.encode(QUESTIONS), dual.encode_document(QUESTIONS))
    assert dual.encode("one text").shape == (dual.context.dim,)
    with pytest.raises(SettingsError, match="prompt_type='passage'; allowed are"):
        dual.encode(QUESTIONS, prompt_type="passage")


@pytest.mark.parametrize("show", [False, True])
@pytest.mark.parametrize("items", [7, {"train": QUESTIONS}, [("a title", "a text")]])
def test_what_is_no_question_is_refused(dual: DualEncoder, items: Any, show: bool) -> None:
    with pytest.raises(InputError):
        dual.encode_query(items, show_progress_bar=show)
    if not isinstance(items, list):
        for encode in (dual.encode_document, dual.encode):
            with pytest.raises(InputError):
                encode(items, show_progress_bar=show)


def test_similarities_are_inner_products(dual: DualEncoder) -> None:
    left, right = dual.encode_query(QUESTIONS), dual.encode_document(PASSAGES)
    assert np.allclose(dual.similarity(left, right).numpy(), left @ right.T, atol=1e-5)
    assert np.allclose(dual.similarity(left[0], right).numpy(), left[:1] @ right.T, atol=1e-5)
    assert np.allclose(
        dual.similarity_pairwise(list(left), torch.from_numpy(right)).numpy(),
        np.diag(left @ right.T),
        atol=1e-5,
    )


def test_what_mteb_asks_for_is_not_there_without_mteb(
    dual: DualEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "mteb.models.model_meta", raising=False)
    assert not hasattr(dual, "mteb_model_meta")


def test_towers_load_by_name_folder_and_places(tiny_model: Path) -> None:
    by_folder = DualEncoder.from_pretrained(tiny_model)
    assert by_folder.name == "tiny"
    place = str(tiny_model / "encoder")
    by_places = DualEncoder.from_pretrained(ModelNames(place, place))
    assert by_places.fingerprint == by_folder.fingerprint
    with pytest.raises(CheckpointError, match="no model"):
        DualEncoder.from_pretrained(tiny_model / "nothing")


@pytest.mark.parametrize("tied", [True, False])
def test_a_saved_model_is_one_that_the_package_finds(
    tied: bool, tiny_vocabulary: Path, tmp_path: Path
) -> None:
    dual = random_towers(tiny_vocabulary, tied=tied, projection=24)
    folder = dual.save_pretrained(tmp_path / "deep" / "model")
    names = find_models(str(folder))
    assert (names.question == names.context) is tied
    again = DualEncoder.from_pretrained(folder)
    assert again.fingerprint == dual.fingerprint
    assert np.allclose(again.encode_query(QUESTIONS), dual.encode_query(QUESTIONS), atol=1e-5)
    with pytest.raises(CheckpointError, match="is not empty"):
        dual.save_pretrained(folder)


def test_towers_of_unequal_length(tiny_vocabulary: Path) -> None:
    one, other = (random_towers(tiny_vocabulary, projection=size) for size in (0, 8))
    with pytest.raises(SettingsError, match="of 32 numbers, the context encoder of 8"):
        DualEncoder(one.question, other.context)
