"""Compacting: words and index are there afterwards, of all that is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpr.collection import read_manifest, verify, write_parts
from dpr.errors import CollectionError, InputError
from dpr.indexes.hnsw import HNSWEffort, HNSWSettings
from dpr.indexes.kinds import Candidate
from dpr.indexes.words import WordsSettings
from dpr.pipeline import Pipeline, add, compact, index, remove
from dpr.pipeline.tuning import KEY, recheck, tune
from dpr.records import Document, Question, QuestionSet
from dpr.search.choosing import Targets
from dpr.search.parts import INDEX, WORDS, WordsMaker

HNSW = (Candidate(HNSWSettings(neighbours=16), ((HNSWEffort(300),),)),)
ASKED = QuestionSet("asked", tuple(Question(f"q{n}", f"who is king {n}?") for n in range(60)))


def documents(first: int, last: int) -> list[Document]:
    return [Document(f"d{n}", f"The king {n} lives in city {n * n}.") for n in range(first, last)]


@pytest.fixture
def made(tiny_model: Path, tmp_path: Path) -> Path:
    index(documents(0, 100), tmp_path / "c", model=tiny_model, split="none")
    return tmp_path / "c"


@pytest.fixture
def tuned(made: Path) -> Path:
    """An index over a hundred documents, twenty more beside it, one removed."""
    pytest.importorskip("faiss")
    tune(made, targets=Targets(0.5, k=5), questions=ASKED, candidates=HNSW, weights=False)
    add(documents(100, 119), made)
    remove(made, ["d7"])
    return made


def test_an_index_is_built_again_with_its_settings(tuned: Path) -> None:
    settings = read_manifest(tuned).segments[0].part(INDEX)
    assert settings is not None and settings.settings["neighbours"] == 16
    done = compact(tuned)
    (segment,) = done.manifest.segments
    part = segment.part(INDEX)
    assert part is not None and part.settings == settings.settings
    assert segment.part(WORDS) is not None and verify(tuned) == []
    with Pipeline.open(tuned, read=False) as pipeline:
        (group,) = pipeline.searcher.dense.groups
        assert (group.kind, len(group.index)) == ("hnsw", 118)
        found = {hit.passage.id for hit in pipeline.search("king", 118, mode="dense")}
    assert found == {f"d{n}" for n in range(119)} - {"d7"}


def test_tuning_that_fails_leaves_an_index(tuned: Path) -> None:
    with pytest.raises(InputError, match="no questions"):
        tune(tuned, questions=QuestionSet("none", ()))
    (segment,) = read_manifest(tuned).segments
    assert segment.part(INDEX) is not None


def test_what_is_measured_again_is_what_is_there(tuned: Path) -> None:
    checked = recheck(tuned)
    assert checked is not None and checked[0].name == "hnsw: neighbours 16, breadth 300"
    write_parts(tuned, lambda *_: [], drop=[INDEX])
    assert read_manifest(tuned).search[KEY]["trial"]["index"]["kind"] == "hnsw"
    checked = recheck(tuned)
    assert checked is not None
    trial = checked[0]
    assert (trial.name, trial.exact, trial.effort) == ("flat", True, {"kind": "exact"})


def test_tuning_is_refused_where_something_changed_meanwhile(made: Path) -> None:
    def tell(text: str) -> None:
        if text.startswith("encoding"):
            remove(made, ["d3"])

    with pytest.raises(CollectionError, match="version 1 was read, version 2 is there now"):
        tune(made, questions=ASKED, weights=False, tell=tell)
    assert read_manifest(made).search == {}


def test_words_that_only_some_have_are_counted_for_all(made: Path) -> None:
    add(documents(100, 103), made)
    maker = WordsMaker(WordsSettings())
    first = read_manifest(made).segments[0].name
    write_parts(
        made, lambda one, trying: [maker] if one.segment.name == first else [], drop=[WORDS]
    )
    with Pipeline.open(made, read=False) as pipeline:
        with pytest.raises(CollectionError, match=r"not counted everywhere.*run `dpr compact`"):
            pipeline.search("king", 5, mode="bm25")
        compact(made)
        assert pipeline.search("who is the king 102?", 1, mode="bm25")[0].passage.id == "d102"
        assert pipeline.searcher.mode == "hybrid"


def test_what_has_no_words_and_no_index_gets_none(tiny_model: Path, tmp_path: Path) -> None:
    to = tmp_path / "c"
    index(documents(0, 9), to, model=tiny_model, split="none", words=None)
    remove(to, ["d1"])
    assert compact(to).manifest.segments[0].parts == ()
    with (
        Pipeline.open(to, read=False) as pipeline,
        pytest.raises(CollectionError, match=r"are not counted, so .*\(--words\)"),
    ):
        pipeline.search("king", 5, mode="bm25")
