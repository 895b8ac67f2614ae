"""What can be evaluated: names, shelves, and the hits of each kind of system."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpr.collection import BuildSettings, Collection
from dpr.errors import InputError, SettingsError
from dpr.pipeline import Pipeline, index, remove
from dpr.pipeline.systems import (
    Shelf,
    named_places,
    of_bm25,
    of_collection,
    of_results,
    of_run,
    of_untrained,
)
from dpr.questions import write_results
from dpr.records import Asked, Document, Hit, Passage, Question
from dpr.search.settings import Mode

DOCUMENTS = [
    Document(f"d{n}", f"The king of city 1{n} lives in castle 1{n}.", f"Tale 1{n}")
    for n in range(6)
]
QUESTIONS = [
    Question("q0", "which castle in city 13", ("castle 13",)),
    Question("q1", "where is the queen", ("paris",)),
]


@pytest.fixture(scope="module")
def folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("systems") / "tales"
    index(DOCUMENTS, place, model=tiny_model, build=BuildSettings(dtype="float32"))
    return place


def passages(folder: Path) -> list[Passage]:
    with Collection.open(folder) as collection:
        return list(collection)


def test_a_shelf_is_the_same_from_a_collection_and_from_memory(folder: Path) -> None:
    held = passages(folder)
    with Collection.open(folder) as collection:
        for shelf in (Shelf(collection), Shelf(held)):
            assert len(shelf) == 6
            assert list(shelf) == held
            assert shelf.ids() == [one.id for one in held]
            assert shelf.take([4, 1]) == [held[4], held[1]]
            assert shelf.find(["d5", "absent", "d0"]) == [held[5], None, held[0]]


def test_names_of_systems() -> None:
    named = named_places(["docs.dpr", "new=b/docs.dpr", "bm25", "runs/a=b.run"])
    assert named == {
        "docs": "docs.dpr",
        "new": "b/docs.dpr",
        "bm25": "bm25",
        "a=b.run": "runs/a=b.run",
    }
    with pytest.raises(
        SettingsError, match=r"two systems are called 'docs': a/docs\.dpr and b/docs"
    ):
        named_places(["a/docs.dpr", "b/docs.dpr"])
    with pytest.raises(InputError, match="nothing to evaluate"):
        named_places([])


@pytest.mark.parametrize("mode", ["auto", "dense", "bm25", "hybrid"])
def test_a_collection_finds_what_its_pipeline_finds_and_is_read(folder: Path, mode: Mode) -> None:
    with Pipeline.open(folder) as pipeline:
        found = of_collection("tales", pipeline, QUESTIONS, 4, 2, mode=mode)
        assert [list(one) for one in found.hits] == pipeline.search_many(
            [one.text for one in QUESTIONS], 4, mode=mode
        )
        assert found.settings["mode"] == ("hybrid" if mode == "auto" else mode)
        assert found.settings["mode"] in found.notes[0]
        read = [min(2, len(one)) for one in found.hits]
        assert [len({hit.passage.id for hit, _ in one}) for one in found.readings] == read
        assert found.reading is not None
        assert found.reading.passages == 2
        assert (found.kind, found.cost.passages) == ("collection", 6)
        assert len(found.cost.latencies) == len(found.cost.reading) == 2
        assert all(one > 0 for one in found.cost.latencies)
        unread = of_collection("tales", pipeline, QUESTIONS, 4, 0, mode=mode)
        assert (unread.readings, unread.reading, unread.cost.reading) == ([], None, ())


def test_what_is_held_is_what_a_mode_searches(folder: Path) -> None:
    with Pipeline.open(folder) as pipeline:
        held = {
            mode: of_collection("t", pipeline, QUESTIONS, 4, 0, mode=mode).cost.index_bytes
            for mode in ("dense", "bm25", "hybrid")
        }
    assert held["hybrid"] == held["dense"] + held["bm25"]
    assert held["dense"] >= 6 * 32 * 4
    [words] = folder.glob("parts/*/*")
    assert held["bm25"] == words.stat().st_size


def test_what_was_removed_is_on_no_shelf(tiny_model: Path, tmp_path: Path) -> None:
    index(DOCUMENTS, tmp_path / "c", model=tiny_model)
    remove(tmp_path / "c", ["d0", "d3"])
    left = ["d1", "d2", "d4", "d5"]
    with Pipeline.open(tmp_path / "c") as pipeline:
        shelf = Shelf(pipeline.collection)
        assert len(shelf) == 4
        assert shelf.ids() == [one.id for one in shelf] == left
        assert [one.id for one in shelf.take([2, 0, 2])] == ["d4", "d1", "d4"]
        assert [one and one.id for one in shelf.find(["d5", "d3", "d1"])] == ["d5", None, "d1"]
        found = of_collection("c", pipeline, QUESTIONS, 10, 0)
        assert {hit.passage.id for hit in found.hits[0]} == set(left)
        assert {h.passage.id for h in of_bm25("b", shelf, QUESTIONS, 10).hits[0]} == set(left)


def test_a_run_has_the_order_of_trec_eval_and_the_texts_of_the_shelf(
    folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "a.run"
    run.write_text("q0 Q0 d1 1 1.5 x\nq0 Q0 d3 2 1.5 x\nq0 Q0 gone 3 2.5 x\n", encoding="utf-8")
    found = of_run("a", run, QUESTIONS, [Shelf(passages(folder)[:2]), Shelf(passages(folder))])
    assert [[hit.passage.id for hit in one] for one in found.hits] == [["gone", "d3", "d1"], []]
    assert [hit.passage.text for hit in found.hits[0]][1:] == [
        DOCUMENTS[3].text,
        DOCUMENTS[1].text,
    ]
    assert "holds no hits for 1 of 2 questions" in found.notes[0]
    assert "1 of its passages are not at hand" in found.notes[1]
    assert len(of_run("a", run, QUESTIONS, []).notes) == 1
    with pytest.raises(InputError, match="hits for none of the 1 questions; they are known by"):
        of_run("a", run, [Question("other", "who?")], [])


def test_results_are_known_by_the_question(tmp_path: Path) -> None:
    hit = Hit(Passage("p", "castle 3"), 2.0)
    path = tmp_path / "results.json"
    write_results(path, [Asked(QUESTIONS[0], (hit,))])
    found = of_results("r", path, QUESTIONS)
    assert [[one.passage.text for one in hits] for hits in found.hits] == [["castle 3"], []]
    assert "holds no hits for 1 of 2 questions" in found.notes[0]
    with pytest.raises(InputError, match="known by their texts"):
        of_results("r", path, QUESTIONS[1:])


def test_a_question_that_is_asked_twice_has_its_own_results(tmp_path: Path) -> None:
    twice = [Question(name, "which castle?") for name in ("a", "b")]
    hits = [Hit(Passage(name, f"castle {name}"), 1.0) for name in ("x", "y")]
    path = tmp_path / "results.json"
    write_results(path, [Asked(q, (hit,)) for q, hit in zip(twice, hits, strict=True)])
    found = of_results("r", path, twice)
    assert [one[0].passage.id for one in found.hits] == ["x", "y"]


def test_bm25(folder: Path) -> None:
    found = of_bm25("bm25", Shelf(passages(folder)), QUESTIONS, 3)
    # The others share all words but one; equal scores come by row.
    assert [hit.passage.id for hit in found.hits[0]] == ["d3", "d0", "d1"]
    assert found.hits[1] == ()
    assert found.cost.index_bytes
    tales = Shelf([Passage("a", "the king"), Passage("b", "a fox", "Castle")])
    (hits,) = of_bm25("bm25", tales, QUESTIONS[:1], 3).hits
    assert [hit.passage.id for hit in hits] == ["b"]


def test_untrained_is_the_same_shape_with_other_weights(folder: Path) -> None:
    shelf = Shelf(passages(folder))
    first = of_untrained("untrained", folder, shelf, QUESTIONS, 6, 0)
    again = of_untrained("untrained", folder, shelf, QUESTIONS, 6, 0)
    other = of_untrained("untrained", folder, shelf, QUESTIONS, 6, 1)

    def scores(found: object) -> np.ndarray:
        return np.array([[hit.score for hit in one] for one in found.hits])  # type: ignore[attr-defined]

    assert np.array_equal(scores(first), scores(again))
    assert not np.array_equal(scores(first), scores(other))
    assert "random weights" in first.notes[0]
