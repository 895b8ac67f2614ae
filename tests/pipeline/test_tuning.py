"""Tuning: candidates are measured, the best is kept in the collection, and searched with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr.collection import Collection, read_manifest, verify
from dpr.errors import MismatchError
from dpr.indexes import kinds
from dpr.indexes.flat import FlatIndex
from dpr.indexes.hnsw import HNSWEffort, HNSWSettings
from dpr.indexes.kinds import Candidate, FlatSettings, NoEffort
from dpr.pipeline import Pipeline, add, index
from dpr.pipeline.calibrating import calibrate, keep_in
from dpr.pipeline.teaching import teach
from dpr.pipeline.tuning import KEY, recheck, tune
from dpr.reading import KEY as READING
from dpr.reading import ReadingSettings
from dpr.records import Document, Question, QuestionSet
from dpr.samples.files import Context, TrainingSample
from dpr.search.choosing import Targets
from dpr.search.dense import stored_vectors
from dpr.search.searcher import Searcher
from dpr.search.settings import SearchSettings
from dpr.shipped import ModelNames
from dpr.training.settings import LoopSettings, RetrieverSettings

pytest.importorskip("faiss")
WORDS = "river city king queen tale story snow man dog cat paris france rhine danube".split()
CANDIDATES = (
    Candidate(FlatSettings(), ((NoEffort(),),)),
    Candidate(HNSWSettings(storage="float16"), ((HNSWEffort(16), HNSWEffort(400)),)),
)


def text_of(number: int) -> str:
    rng = np.random.default_rng(number)
    return " ".join(rng.choice(WORDS, 12)) + f" {number}."


def documents(first: int, last: int) -> list[Document]:
    return [Document(f"d{n}", text_of(n), f"Tale {n}") for n in range(first, last)]


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("tuning") / "tales"
    index(documents(0, 400), to, model=tiny_model, split="none")
    add(documents(400, 500), to)
    return to


def asked(count: int = 150) -> QuestionSet:
    questions = tuple(Question(f"q{n}", f"who is {text_of(n)}") for n in range(count))
    return QuestionSet("asked", questions, {f"q{n}": {f"d{n}": 1} for n in range(count)})


def test_what_is_chosen_is_kept_and_searched_with(folder: Path) -> None:
    told: list[str] = []
    # An approximate index is only chosen where exact search takes more memory than is allowed.
    with Collection.open(folder) as collection:
        assert len(collection.segments) == 2
    done = tune(
        folder, targets=Targets(0.5, k=10), questions=asked(), candidates=CANDIDATES,
        tell=told.append,
    )  # fmt: skip
    assert {trial.index["kind"] for trial in done.trials} == {"flat", "hnsw"}
    flat = done.trials[0]
    assert flat.exact and flat.recall == 1.0 and flat.accuracy == 0.0
    chosen = done.choice.trial
    assert chosen is not None and chosen.p50 <= 1.1 * min(one.p50 for one in done.trials)
    kept = read_manifest(folder).search[KEY]
    assert kept["trial"]["index"] == chosen.index and kept["rows"] == 500
    assert any("building" in one for one in told) and done.fusion is not None
    assert read_manifest(folder).search["search"]["fusion"]["method"] == done.fusion.settings.method
    assert len(read_manifest(folder).segments) == 1 and verify(folder) == []


def test_questions_whose_answers_are_known_and_not_their_passages(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Answers are looked for in the passages that were found, while indexes are measured."""
    to = tmp_path / "c"
    index(documents(0, 60), to, model=tiny_model, split="none")
    questions = tuple(Question(f"q{n}", text_of(n), (text_of(n),)) for n in range(20))
    done = tune(
        to, targets=Targets(0.5, k=10), questions=QuestionSet("answers", questions, {}),
        candidates=CANDIDATES,
    )  # fmt: skip
    assert [trial.accuracy for trial in done.trials if trial.exact] == [0.0]
    assert done.fusion is None and "hybrid search was not weighed" in " ".join(done.notes)


def test_an_index_is_built_loaded_and_equal_to_exact_search_where_it_tries_hard(
    folder: Path,
) -> None:
    hard = (Candidate(HNSWSettings(storage="float16"), ((HNSWEffort(500),),)),)
    done = tune(folder, targets=Targets(0.9, k=10), questions=asked(), candidates=hard)
    assert done.choice.trial is not None and done.choice.trial.index["kind"] == "hnsw"
    with Pipeline.open(folder, read=False) as pipeline:
        searcher = pipeline.searcher
        (group,) = searcher.dense.groups
        assert group.kind == "hnsw" and not searcher.dense.exact
        hits = pipeline.search("who is the king", 10, mode="dense")
    exact = tune(folder, targets=Targets(1.0, k=10), questions=asked(), candidates=CANDIDATES[:1])
    assert exact.choice.trial is not None and exact.choice.trial.index == {"kind": "flat"}
    assert not list((folder / "parts").iterdir())[1:]  # the words alone; the index is gone
    with Pipeline.open(folder, read=False) as pipeline:
        assert pipeline.searcher.dense.exact
        assert pipeline.search("who is the king", 10, mode="dense") == hits


def test_new_passages_are_found_beside_an_index_and_what_was_wanted_is_checked(
    tiny_model: Path, tmp_path: Path
) -> None:
    to = tmp_path / "c"
    index(documents(0, 200), to, model=tiny_model, split="none")
    assert recheck(to) is None
    tune(to, targets=Targets(0.9, latency=60.0, k=5), questions=asked(), candidates=CANDIDATES[1:])
    assert add(documents(200, 220), to).note == ""
    with Pipeline.open(to, read=False) as pipeline:
        assert [group.kind for group in pipeline.searcher.dense.groups] == ["hnsw", "flat"]
        found = {hit.passage.id for hit in pipeline.search("tale", 220, mode="dense")}
    assert found == {f"d{n}" for n in range(220)}
    checked = recheck(to)
    assert checked is not None and checked[1] == [] and checked[0].recall > 0.9
    grown = add(documents(0, 260), to)
    assert "grown from 200 to 260" in grown.note and grown.note.endswith("as wanted")
    assert grown.manifest == read_manifest(to)
    assert add(documents(0, 261), to).note == ""  # measured once for each fifth


def test_other_settings_of_a_search_leave_the_effort_as_it_was_chosen(folder: Path) -> None:
    hard = (Candidate(HNSWSettings(storage="float16"), ((HNSWEffort(321),),)),)
    tune(folder, targets=Targets(0.9, k=10), questions=asked(), candidates=hard, weights=False)
    with Collection.open(folder) as collection:
        searcher = Searcher(collection, SearchSettings(mode="dense"))
        assert searcher.settings.effort == {"kind": "hnsw", "breadth": 321, "candidates": 0}
        other = {"kind": "hnsw", "breadth": 5, "candidates": 0}
        assert Searcher(collection, SearchSettings(effort=other)).settings.effort == other


def test_judgements_of_passages_that_are_not_there_weigh_nothing(folder: Path) -> None:
    questions = asked()
    absent = {one: {f"of another collection {one}": 1} for one in questions.judgements}
    done = tune(
        folder, targets=Targets(0.5, k=10), candidates=CANDIDATES[:1],
        questions=QuestionSet("asked", questions.questions, absent),
    )  # fmt: skip
    assert done.fusion is None and "was not weighed" in done.notes[-1]


def test_where_nothing_does_it_the_collection_stays(folder: Path) -> None:
    before = read_manifest(folder)
    done = tune(
        folder, targets=Targets(1.0, memory=1, k=10), questions=asked(), candidates=CANDIDATES[:1],
        weights=False,
    )  # fmt: skip
    assert done.choice.trial is None and "No index" in done.choice.why
    after = read_manifest(folder)
    assert after.segments == before.segments
    assert after.search.get(KEY) == before.search.get(KEY)


def test_questions_made_from_passages_weigh_nothing(folder: Path) -> None:
    done = tune(folder, targets=Targets(0.5, k=10), candidates=CANDIDATES[:1])
    assert done.fusion is None and "made from the passages" in done.notes[0]


def test_both_kinds_of_question_count_the_same_where_that_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for: list[Any] = []
    monkeypatch.setattr("dpr.pipeline.weighing.tune", lambda *_, **how: asked_for.append(how))
    for weights in (True, "even"):
        tune(
            folder, targets=Targets(0.5, k=10), questions=asked(), candidates=CANDIDATES[:1],
            weights=weights,
        )  # fmt: skip
    assert asked_for == [{"even": False}, {"even": True}]


def test_settings_survive_json() -> None:
    for candidate in kinds.candidates(100_000, 64):
        value = kinds.to_json(candidate.settings)
        assert kinds.settings_from(value) == candidate.settings


def test_a_question_encoder_that_was_trained_alone_searches_what_is_there(
    tiny_model: Path, tmp_path: Path
) -> None:
    """Nothing is encoded again; tuning with it makes it the collection's own, the reader stays."""
    to, run = tmp_path / "c", tmp_path / "run"
    index(documents(0, 60), to, model=tiny_model, split="none")
    before = read_manifest(to)
    samples = [
        TrainingSample(f"who is {text_of(n)}", (), (Context(text_of(n), ""),)) for n in range(8)
    ]
    names = teach(
        tiny_model, samples, (), run,
        loop=LoopSettings(epochs=1, learning_rate=1e-2, warmup_steps=0),
        settings=RetrieverSettings(4, 0, question_tower_only=True),
    )  # fmt: skip
    alone = Path(names.question).parent
    answered = QuestionSet(
        "answered", tuple(Question(f"q{n}", text_of(n), (f"{n}",)) for n in range(100)), {}
    )
    with Pipeline.open(to) as old, Pipeline.open(to, model=alone) as new:
        assert new.encoder.fingerprint != old.encoder.fingerprint == before.question_fingerprint
        assert old.reader is not None
        reader_fingerprint = old.reader.fingerprint
        vectors = stored_vectors(new.collection.segments)
        best = FlatIndex(vectors, new.collection.ids).search(new.encoder.encode(["who"]), 5)[1]
        hits = new.search("who", 5, mode="dense")
        assert [hit.passage.id for hit in hits] == new.collection.ids(best[0].tolist())
        with pytest.raises(MismatchError, match="its own question encoder is another"):
            calibrate(to, answered, model=alone, reader=tiny_model)
        settings = ReadingSettings(no_answer_below=0.5)
        keep_in(str(to), settings, reader_fingerprint, "q", before.version)
        assert READING in read_manifest(to).search
        done = tune(to, targets=Targets(0.5, k=10), model=alone, candidates=CANDIDATES[:1])
        assert READING not in read_manifest(to).search  # was chosen for the encoder before
        assert any("run `dpr calibrate`" in note for note in done.notes)
        assert any("encoded by" in note and "from now on" in note for note in done.notes)
        assert [hit.passage.id for hit in old.search("who", 60, mode="dense")]  # goes on as it was
    after = read_manifest(to)
    assert after.segments == before.segments and verify(to) == []
    with Pipeline.open(to) as pipeline:
        assert pipeline.encoder.fingerprint == after.question_fingerprint
        assert after.question_fingerprint != before.question_fingerprint
        assert pipeline.reader is not None
        assert pipeline.search("who", 5, mode="dense") == hits
    assert add(documents(0, 61), to).encoded == 1
    with Pipeline.open(to, model=tiny_model) as back:  # what it had before is never refused
        assert back.encoder.fingerprint == before.question_fingerprint
    tune(to, targets=Targets(0.5, k=10), model=tiny_model, candidates=CANDIDATES[:1])
    assert read_manifest(to).question_fingerprint == before.question_fingerprint
    with Pipeline.open(to, model=alone) as new:
        assert new.search("who", 5, mode="dense") == hits


def test_another_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    to, run = tmp_path / "c", tmp_path / "run"
    index(documents(0, 20), to, model=tiny_model, split="none")
    samples = [TrainingSample("who", (), (Context("the king", ""),))] * 4
    names = teach(
        tiny_model, samples, (), run, tied=False,
        loop=LoopSettings(epochs=1, learning_rate=1e-2, warmup_steps=0),
        settings=RetrieverSettings(4, 0, passage_length=32),
    )  # fmt: skip
    for context in (names.context, "", "no/such/folder"):
        with pytest.raises(MismatchError, match="Scores between them would mean nothing"):
            Pipeline.open(to, model=ModelNames(names.question, context))
