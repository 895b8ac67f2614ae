"""From training samples to a file: the pool, stored vectors, and going on after a stop."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr.collection import BuildSettings
from dpr.corpus import SplitSettings
from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.errors import CheckpointError, InputError, SettingsError
from dpr.pipeline import index, mining, remove
from dpr.pipeline.mining import gather, mine_file
from dpr.records import Document
from dpr.samples import mining as sample_mining
from dpr.samples.files import Context, TrainingSample, read_samples
from dpr.samples.negatives import MiningSettings

WORDS = "king queen river city castle forest snow man dog cat old young tale story".split()


def make(count: int, seed: int = 0) -> list[TrainingSample]:
    rng = random.Random(seed)
    samples = []
    for number in range(count):
        text = f"{' '.join(rng.choices(WORDS, k=9))} number {number}"
        question = f"who is the {' '.join(rng.choices(WORDS, k=3))}?"
        gold = Context(text, rng.choice(WORDS), f"p{number}", ((0, 4),))
        samples.append(TrainingSample(question, (f"number {number}",), (gold,)))
    return samples


SAMPLES = make(40)
DOCUMENTS = [Document(f"d{n}", f"the {word} of a tale {n}", word) for n, word in enumerate(WORDS)]
SETTINGS = MiningSettings(negatives=4, last_rank=20, near=0)


@pytest.fixture
def collection(tmp_path: Path, tiny_model: Path) -> Path:
    """Documents, one of which is deleted and one a gold passage."""
    gold = SAMPLES[3].positives[0]
    more = Document("gold", gold.text, gold.title)
    folder = tmp_path / "docs.dpr"
    index([*DOCUMENTS, more], folder, model=str(tiny_model), split="none")
    remove(folder, ["d2"])
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_pool_is_of_all_sources_each_passage_once(collection: Path, tmp_path: Path) -> None:
    table = tmp_path / "more.jsonl"
    table.write_text(
        json.dumps({"id": "t", "text": "one two three four", "title": "T"})
        + "\n"
        + json.dumps({"id": "d0 again", "text": DOCUMENTS[0].text, "title": DOCUMENTS[0].title})
        + "\n"
    )
    found = gather(SAMPLES, [collection, table], SplitSettings.parse("words:2"))
    texts = [one.text for one in found.pool]
    assert len(texts) == len(set(texts))
    assert "one two" in texts
    assert "three four" in texts
    assert DOCUMENTS[2].text not in texts
    assert {one.positives[0].key for one in SAMPLES} <= set(found.pool.rows)
    ((opened, own),) = found.collections
    for row, at in enumerate(own.tolist()):
        if at >= 0:
            passage = opened.passage(row)
            assert (passage.title, passage.text) == found.pool[at].key
    assert np.count_nonzero(own < 0) == 1
    assert all(not one.answers for one in found.pool)
    assert found.pool.rows[SAMPLES[3].positives[0].key] == len(DOCUMENTS) - 1
    with pytest.raises(InputError, match="no such file"):
        gather(SAMPLES, [tmp_path / "nothing"], SplitSettings())
    table.write_text(table.read_text() * 2)
    with pytest.raises(InputError, match=r"'t' is also that of line 1; .*--on-error skip"):
        gather(SAMPLES, [table], SplitSettings())
    assert gather(SAMPLES, [table], SplitSettings(), "skip").problems.count == 2


@pytest.mark.parametrize("by", ["bm25", "dense", "both"])
def test_negatives_are_what_ranks_high_and_is_no_answer(
    by: str, tiny_model: Path, collection: Path, tmp_path: Path
) -> None:
    to = tmp_path / "out.jsonl"
    model = None if by == "bm25" else str(tiny_model)
    done = mine_file(SAMPLES, to, passages=[collection], by=by, model=model, settings=SETTINGS)
    assert done.counts.questions == len(SAMPLES)
    assert (done.resumed, done.pool) == (0, len(SAMPLES) + len(DOCUMENTS) - 1)
    place = tiny_model / "encoder"
    pool = [one.key for one in gather(SAMPLES, [collection], SplitSettings()).pool]
    passages = [{"title": title, "text": text} for title, text in pool]
    vectors = ContextEncoder.from_pretrained(place).encode(passages).astype(np.float64)
    queries = QuestionEncoder.from_pretrained(place).encode([s.question for s in SAMPLES])
    for sample, row, query in zip(SAMPLES, rows(to), queries, strict=True):
        assert (row["question"], row["positive_ctxs"][0]["text"]) == (
            sample.question,
            sample.positives[0].text,
        )
        negatives = row["hard_negative_ctxs"]
        assert all(f"{sample.answers[0]} " not in f"{one['text']} " for one in negatives)
        assert {one["list"] for one in negatives} <= ({by} if by != "both" else {"bm25", "dense"})
        scores = vectors @ query
        ranked = sorted(scores, reverse=True)
        for one in negatives:
            if one["list"] == "dense":  # float16 in the collection
                own = scores[pool.index((one["title"], one["text"]))]
                assert one["score"] == pytest.approx(own, abs=0.02)
                assert own == pytest.approx(ranked[one["rank"] - 1], abs=0.04)
        positive = row["positive_ctxs"][0]
        if by == "both":
            assert "score" not in positive
            assert positive["bm25_score"] >= 0
            score = positive["dense_score"]
        else:
            score = positive["score"]
        if by != "bm25":
            own = scores[pool.index(sample.positives[0].key)]
            assert score == pytest.approx(own, abs=0.02)
    read = list(read_samples(to))
    assert [one.question for one in read] == [one.question for one in SAMPLES]
    assert all(c.score is not None for one in read for c in one.hard_negatives)


def test_stored_vectors_are_used_where_the_model_made_them(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    known = ContextEncoder.encode

    def counted(self: ContextEncoder, passages: Any, progress: Any = None) -> Any:
        items = list(passages)
        encoded.append(len(items))
        return known(self, items, progress)

    golds = [
        Document(one.positives[0].id, one.positives[0].text, one.positives[0].title)
        for one in SAMPLES
    ]
    folder = tmp_path / "golds.dpr"
    float32 = BuildSettings(dtype="float32")
    index([*golds, *DOCUMENTS], folder, model=str(tiny_model), split="none", build=float32)
    monkeypatch.setattr(ContextEncoder, "encode", counted)
    outs = {name: tmp_path / f"{name}.jsonl" for name in ("stored", "own", "all", "part")}
    mine_file(SAMPLES, outs["stored"], passages=[folder], by="dense", settings=SETTINGS)
    assert encoded == []  # of the model that the collection names, every vector is there
    more = make(45)
    mine_file(more, outs["part"], passages=[folder], by="dense", settings=SETTINGS)
    assert sum(encoded) == 5
    monkeypatch.setattr(mining, "is_collection", lambda place: False)
    table = tmp_path / "table.jsonl"
    table.write_text(
        "".join(
            json.dumps({"id": one.id, "text": one.text, "title": one.title}) + "\n"
            for one in [*golds, *DOCUMENTS]
        )
    )
    mine_file(
        SAMPLES,
        outs["all"],
        passages=[table],
        by="dense",
        model=str(tiny_model),
        split="none",
        settings=SETTINGS,
    )
    assert sum(encoded) == 5 + len(golds) + len(DOCUMENTS)
    for one, other in zip(rows(outs["stored"]), rows(outs["all"]), strict=True):
        texts = [[c["text"] for c in row["hard_negative_ctxs"]] for row in (one, other)]
        assert texts[0] == texts[1]


class Stop(BaseException):
    """What ends a run in the middle, as a kill would."""


@pytest.mark.parametrize("by", ["bm25", "both"])
def test_a_stop_anywhere_leaves_no_trace(
    by: str, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mining, "AT_ONCE", 8)
    monkeypatch.setattr(sample_mining, "AT_ONCE", 8)
    monkeypatch.setattr(mining, "SHARD", 16)
    settings = MiningSettings(negatives=3, choose="random", seed=7)
    given: dict[str, Any] = {"by": by, "settings": settings}
    if by != "bm25":
        given["model"] = str(tiny_model)
    whole, stopped = tmp_path / "whole.jsonl", tmp_path / "stopped.jsonl"
    done = mine_file(SAMPLES, whole, **given)
    resumed = 0
    for number in range(1, 20):
        left = number

        def tell(text: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Stop(text)

        try:
            after = mine_file(SAMPLES, stopped, tell=tell, **given)
        except Stop:
            assert not stopped.exists()
            continue
        resumed = after.resumed
        break
    assert 0 < resumed < 40
    assert stopped.read_bytes() == whole.read_bytes()
    assert after.counts == done.counts
    again = mine_file(SAMPLES, stopped, **given)  # it is whole: nothing is done
    assert (again.resumed, again.counts) == (40, done.counts)


def test_another_file_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    to = tmp_path / "out.jsonl"
    mine_file(SAMPLES, to, settings=SETTINGS)
    for samples, options, differing in (
        (SAMPLES[:-1], {"settings": SETTINGS}, "pool, samples"),
        (SAMPLES, {"settings": MiningSettings()}, "last_rank, near, negatives"),
        (SAMPLES, {"settings": SETTINGS, "teacher": "bm25"}, "teacher"),
        (SAMPLES, {"settings": SETTINGS, "by": "dense", "model": str(tiny_model)}, "by, model"),
    ):
        said = f"is there already, made with other values of {differing}; give"
        with pytest.raises(InputError, match=said):
            mine_file(samples, to, **options)  # type: ignore[arg-type]
    changed = mine_file(SAMPLES, to, settings=MiningSettings(), overwrite=True)
    assert changed.resumed == 0
    assert all(len(one["hard_negative_ctxs"]) > 4 for one in rows(to))


def test_a_name_that_ends_in_gz_is_gzipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mining, "AT_ONCE", 16)
    plain, zipped = tmp_path / "out.jsonl", tmp_path / "out.jsonl.gz"
    for to in (plain, zipped):
        mine_file(SAMPLES, to, settings=SETTINGS)
    assert gzip.decompress(zipped.read_bytes()) == plain.read_bytes()
    assert list(read_samples(zipped)) == list(read_samples(plain))
    first = zipped.read_bytes()
    assert mine_file(SAMPLES, zipped, settings=SETTINGS).resumed == 40
    mine_file(SAMPLES, zipped, settings=SETTINGS, overwrite=True)
    assert zipped.read_bytes() == first


def test_a_retriever_is_no_reader_to_learn_from(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model / "encoder", tmp_path / "best" / "encoder")
    with pytest.raises(CheckpointError, match="best has no reader, only the towers"):
        mine_file(SAMPLES[:2], tmp_path / "out.jsonl", teacher=f"reader:{tmp_path / 'best'}")


@pytest.mark.parametrize("teacher", ["bm25", "reader:MODEL"])
def test_teachers(teacher: str, tiny_model: Path, tmp_path: Path) -> None:
    to = tmp_path / "out.jsonl"
    spec = teacher.replace("MODEL", str(tiny_model))
    mine_file(SAMPLES[:5], to, teacher=spec, settings=SETTINGS)
    for sample in read_samples(to):
        for one in (*sample.positives, *sample.hard_negatives):
            assert one.teacher_score is not None
            if teacher == "bm25":
                assert one.teacher_score == one.score


def test_wrong_names_are_met_before_anything_is_read(tmp_path: Path) -> None:
    to = tmp_path / "out.jsonl"
    for options, said in (
        ({"by": "sparse"}, "allowed are 'bm25', 'dense', 'both'"),
        ({"teacher": "reader:"}, "teacher='reader:'; allowed are"),
        ({"teacher": "gpt"}, "teacher='gpt'; allowed are"),
        ({"model": "dpr-mini"}, "model='dpr-mini' would not be used"),
    ):
        with pytest.raises(SettingsError, match=said):
            mine_file([], to, **options)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no passages"):
        mine_file([], to)
    with pytest.raises(CheckpointError, match="no model 'nobody'"):
        mine_file(SAMPLES, to, by="dense", model="nobody")
    assert list(tmp_path.iterdir()) == []


def test_half_a_surrogate_pair_is_kept(tmp_path: Path) -> None:
    to = tmp_path / "out.jsonl"
    samples = [*SAMPLES[:3], TrainingSample("who \ud800 is it", (), (Context("a king é"),))]
    mine_file(samples, to)
    assert [one.question for one in read_samples(to)] == [one.question for one in samples]
