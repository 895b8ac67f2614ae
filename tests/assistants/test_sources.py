"""Citations lead back to their texts: in the documents as they were, and by id."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.serve.conftest import DOCUMENTS, READING

from dpr.assistants.sources import Citation, Sources
from dpr.errors import InputError
from dpr.pipeline import Pipeline, add, remove
from dpr.records import Document

QUESTION = "who lives in castle 3"
TEXTS = {one.id: one.text for one in DOCUMENTS}


def cited(citation: Citation) -> str:
    """What a citation stands for, from the documents themselves."""
    return TEXTS[citation.document][citation.start : citation.end]


@pytest.mark.parametrize("mode", ["auto", "dense", "bm25", "hybrid"])
def test_hits_are_the_pipelines_and_their_citations_are_right(
    sources: Sources, pipeline: Pipeline, mode: str
) -> None:
    given = sources.search(QUESTION, 7, mode, {"year": {"<": 1996}})
    expected = pipeline.search(QUESTION, 7, mode=mode, where={"year": {"<": 1996}})
    assert [one.citation.passage_id for one in given.passages] == [
        hit.passage.id for hit in expected
    ]
    assert [one.score for one in given.passages] == [hit.score for hit in expected]
    for one in given.passages:
        assert cited(one.citation) == one.text
        assert one.metadata["year"] < 1996
        assert (one.citation.collection, one.citation.version) == ("tales", given.version)


def test_answers_stand_where_they_say(sources: Sources, pipeline: Pipeline) -> None:
    given = sources.answer(QUESTION, 10, "auto", None)
    expected = pipeline.ask(QUESTION, 10)
    assert [one.text for one in given.answers] == [one.text for one in expected.answers]
    assert given.answers
    passages = {one.citation.passage_id: one for one in given.passages}
    assert len(passages) == len(given.passages)
    for one in given.answers:
        assert cited(one.citation) == one.text
        assert one.text in passages[one.citation.passage_id].text
        assert 0 <= one.score <= 1
        assert one.citation.passage_id in one.support


def test_a_passage_is_read_with_what_stands_around_it(sources: Sources, pipeline: Pipeline) -> None:
    passages = [one for one in pipeline.collection if one.document == "d6"]
    assert len(passages) > 5
    ids = [one.id for one in passages]

    def read(at: int, around: int) -> list[str]:
        given = sources.read(ids[at], around)
        assert given.passage.text == passages[at].text == cited(given.passage.citation)
        parts = [*given.before, given.passage, *given.after]
        assert given.passage.score is None
        return [one.citation.passage_id for one in parts]

    assert read(2, 0) == [ids[2]]
    assert read(2, 2) == ids[:5]
    assert read(0, 2) == ids[:3]  # nothing of the document before
    assert read(len(ids) - 1, 2) == ids[-3:]


def test_versions_are_followed_and_what_is_gone_is_no_source(
    changing: Path, tiny_model: Path
) -> None:
    with Pipeline.open(changing, model=tiny_model, settings=READING) as pipeline:
        sources = Sources(pipeline)
        first = sources.search("castle 3", 1, "bm25", {"document": "d3"})
        [old] = first.passages
        remove(changing, ["d3"])
        add([Document("new", "A queen.")], changing, model=str(tiny_model))
        assert sources.search("castle 3", 1, "bm25", {"document": "d3"}).passages == []
        with pytest.raises(InputError, match=f"version {first.version + 2} of tales has no"):
            sources.read(old.citation.passage_id, 0)
        [new] = sources.search("queen", 1, "bm25", None).passages
        assert new.citation.version == first.version + 2
        given = sources.read(new.citation.passage_id, 5)  # with nothing of another document
        assert (given.before, given.after) == ([], [])


def test_what_was_replaced_is_no_neighbour(changing: Path, tiny_model: Path) -> None:
    """The passages that a document had before lie right before those that it has now."""
    with Pipeline.open(changing, model=tiny_model, settings=READING) as pipeline:
        again = Document("d7", "A king answers.")
        add([again], changing, model=str(tiny_model), replace=True)
        sources = Sources(pipeline)
        [new] = sources.search("king answers", 1, "bm25", {"document": "d7"}).passages
        given = sources.read(new.citation.passage_id, 5)
        assert (given.before, given.passage.text, given.after) == ([], again.text, [])
