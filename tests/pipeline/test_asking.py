from __future__ import annotations

import gc
import shutil
import weakref
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dpr.collection import Collection, write_parts
from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.errors import CheckpointError, CollectionError, CorruptionError, MismatchError
from dpr.models import DPRQuestionEncoder
from dpr.pipeline import Pipeline, add, index
from dpr.pipeline import open as open_pipeline
from dpr.reading import KEY, ReadingSettings
from dpr.records import Document, Question
from dpr.tokens import DPRQuestionEncoderTokenizer

READING = ReadingSettings(no_answer_below=0.0)
DOCUMENTS = [
    Document(f"d{n}", f"The king of city {n} lives in castle {n}. " * (n + 1), f"Tale {n}", f"s{n}")
    for n in range(8)
]


@pytest.fixture
def collection(tiny_model: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "collection"
    index(DOCUMENTS, folder, model=str(tiny_model), split="words:10")
    return folder


def test_hits_are_those_of_brute_force(tiny_model: Path, collection: Path) -> None:
    with Pipeline.open(collection) as pipeline:
        hits = pipeline.search("who lives in castle 3", k=5, mode="dense")
        opened = Collection.open(collection)
        passages = opened.passages(range(len(opened)))
    stored = ContextEncoder.from_pretrained(tiny_model / "encoder").encode(passages)
    question = QuestionEncoder.from_pretrained(tiny_model / "encoder").encode(
        ["who lives in castle 3"]
    )
    scores = stored.astype(np.float16).astype(np.float64) @ question[0].astype(np.float64)
    best = np.sort(scores)[::-1][:5]
    assert np.allclose([hit.score for hit in hits], best, rtol=1e-3)


def test_passages_lie_in_their_documents(collection: Path) -> None:
    texts = {document.source: document.text for document in DOCUMENTS}
    with open_pipeline(collection) as pipeline:
        for hit in pipeline.search("who", k=100):
            passage = hit.passage
            assert texts[passage.source][passage.start : passage.end] == passage.text


def test_a_version_whose_reading_settings_make_no_sense_leaves_the_one_before_whole(
    collection: Path,
) -> None:
    def keep(settings: dict[str, Any]) -> None:
        kept = {KEY: {"reader": fingerprint, "questions": "", "settings": settings}}
        write_parts(
            collection, lambda segment, trying: [], change=lambda old: replace(old, search=kept)
        )

    with open_pipeline(collection) as pipeline:
        before = pipeline.newest
        assert before.reader is not None
        fingerprint = before.reader.fingerprint
        keep({"of a later release": 1})
        for _ in range(2):
            with pytest.raises(CorruptionError, match="of a later release"):
                _ = pipeline.newest
            assert (pipeline.collection.version, pipeline.reader) == (1, before.reader)
        keep(asdict(READING))
        after = pipeline.newest
        assert after.searcher.collection.version == 3
        assert after.reader is not None
        assert after.reader.settings == READING


@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
def test_a_version_is_let_go_of_with_its_files_when_a_newer_one_is_asked(
    collection: Path, mode: str
) -> None:
    """At once, and not when the collector of garbage comes by, which in a server may be never."""
    gc.disable()
    try:
        with open_pipeline(collection) as pipeline:
            assert pipeline.search("the king", mode=mode)
            pipeline.ask("the king")
            before = weakref.ref(pipeline.collection)
            vectors = weakref.ref(pipeline.collection.segments[0].guard)
            add([Document("new", "Who came later.")], collection)
            assert pipeline.search("the king", mode=mode)
            assert before() is None
            # What did not change is opened once for all versions, and ends with the last.
            assert vectors() is not None
        del pipeline
        assert vectors() is None
    finally:
        gc.enable()


def test_answers_lie_in_their_documents(collection: Path) -> None:
    texts = {document.source: document.text for document in DOCUMENTS}
    with open_pipeline(collection, settings=READING) as pipeline:
        asked = pipeline.ask("who lives in castle 3")
        sources = {hit.passage.id: hit.passage.source for hit in asked.hits}
        assert asked.answers
        for answer in asked.answers:
            text = texts[sources[answer.passage_id]]
            assert text[answer.document_start : answer.document_end] == answer.text


def test_many_questions_are_as_one_by_one(collection: Path) -> None:
    questions = ["who", "what is the castle of the king", "where"]
    with open_pipeline(collection, settings=READING) as pipeline:
        together = pipeline.ask_many([Question(str(n), q) for n, q in enumerate(questions)], k=4)
        assert [asked.question.id for asked in together] == ["0", "1", "2"]
        for question, asked in zip(questions, together, strict=True):
            alone = pipeline.ask(question, k=4)
            assert [h.passage.id for h in alone.hits] == [h.passage.id for h in asked.hits]
            assert [a.text for a in alone.answers] == [a.text for a in asked.answers]
        assert pipeline.ask_many([]) == []


def test_k_past_the_end_gives_all(collection: Path) -> None:
    with open_pipeline(collection, read=False) as pipeline:
        assert len(pipeline.search("who", k=10_000)) == len(pipeline.collection)


def test_another_encoder_of_the_same_size_is_refused(
    tiny_model: Path, collection: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    model = DPRQuestionEncoder.from_pretrained(tiny_model / "encoder")
    with torch.no_grad():
        model.stack.embeddings.LayerNorm.weight.mul_(1.01)
    model.save_pretrained(other / "encoder")
    DPRQuestionEncoderTokenizer.from_pretrained(tiny_model / "encoder").save_pretrained(
        other / "encoder"
    )
    ours = QuestionEncoder.from_pretrained(tiny_model / "encoder").fingerprint
    theirs = QuestionEncoder.from_pretrained(other / "encoder").fingerprint
    with pytest.raises(MismatchError) as caught:
        Pipeline.open(collection, model=str(other))
    assert ours in str(caught.value)
    assert theirs in str(caught.value)


def test_the_other_tower_is_refused(tiny_model: Path, collection: Path) -> None:
    """Even of tied towers, whose weights are the same."""
    context = ContextEncoder.from_pretrained(tiny_model / "encoder")
    with pytest.raises(MismatchError, match=context.fingerprint):
        Pipeline(Collection.open(collection), context)  # type: ignore[arg-type]


def test_a_model_without_reader_searches_and_refuses_to_answer(
    tiny_model: Path, tmp_path: Path
) -> None:
    towers = tmp_path / "towers"
    shutil.copytree(tiny_model / "encoder", towers / "encoder")
    index(DOCUMENTS, tmp_path / "c", model=str(towers))
    with open_pipeline(tmp_path / "c") as pipeline:
        assert pipeline.search("who", k=1)
        with pytest.raises(CollectionError, match="no reader"):
            pipeline.ask("who")
    with open_pipeline(tmp_path / "c", reader=str(tiny_model / "reader")) as pipeline:
        assert pipeline.ask("who").hits


def test_places_may_be_paths_and_a_reader_one_level_down(tiny_model: Path, tmp_path: Path) -> None:
    index(DOCUMENTS, tmp_path / "c", model=tiny_model)
    with Pipeline.open(
        tmp_path / "c", model=tiny_model, reader=tiny_model, settings=READING
    ) as pipeline:
        assert pipeline.ask("who lives in castle 3").answers


def test_a_model_that_is_gone_is_named_with_what_to_do(tiny_model: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(tiny_model, tmp_path / "model")
    index(DOCUMENTS, tmp_path / "c", model=moved)
    moved.rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"made with, '.*model', is no longer there.*--model"):
        Pipeline.open(tmp_path / "c")
    Pipeline.open(tmp_path / "c", model=tmp_path / "elsewhere").close()
