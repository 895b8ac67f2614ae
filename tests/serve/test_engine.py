"""What tasks cost is told before they are done, and none is more than a round."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.serve.conftest import open_engine

from dpr.pipeline import index
from dpr.records import Document
from dpr.serve.batching import TooLate
from dpr.serve.engine import Engine
from dpr.serve.finding import apart
from dpr.serve.work import Embed, Find, Found, How, Judge
from dpr.tokens.inputs import reader_windows

ROUND = 4096


def windows(engine: Engine, judge: Judge) -> int:
    """Tokens that the reader really reads of it."""
    reader = engine.opened.reader
    assert reader is not None
    made = reader_windows(
        reader.tokenizer,
        [judge.question],
        [judge.title],
        [judge.text],
        reader.settings.max_length,
        reader.settings.stride,
    )
    return sum(len(one.ids) for one in made)


@pytest.mark.parametrize("question", ["who", "a " * 4000])
@pytest.mark.parametrize("text", ["castle", "a " * 300, "a " * 30_000, "城" * 3000])
def test_a_text_to_judge_is_cut_into_parts_that_take_a_round_at_most(
    engine: Engine, question: str, text: str
) -> None:
    parts = engine.parts(Judge(question, text), ROUND)
    sizes = [engine.size(one) for one in parts]
    assert max(sizes) <= ROUND
    for part, size in list(zip(parts, sizes, strict=True))[:20]:
        assert windows(engine, part) <= size * 1.05 + 8
    assert parts[0].text == text[: len(parts[0].text)]
    for one, after in pairwise(parts):
        assert after.text[:20] in one.text  # nothing falls between two
    assert parts[-1].text.endswith(text[-5:])


def test_a_long_text_is_as_relevant_as_its_most_relevant_part(serve: Any, engine: Engine) -> None:
    text = "a " * 2000 + "The king lives in castle 3. " + "a " * 2000
    reader = engine.opened.reader
    assert reader is not None
    question = "who lives in castle 3"
    parts = engine.parts(Judge(question, text), ROUND)
    assert len(parts) > 1
    read = reader.read([question] * len(parts), [""] * len(parts), [one.text for one in parts])
    given = serve().post("/rerank", json={"query": question, "texts": [text], "raw_scores": True})
    assert given.json()[0]["score"] == pytest.approx(max(one.relevance for one in read), rel=1e-3)


def test_what_is_searched_deeper_costs_more(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def size(how: How, read: bool = False) -> int:
        return engine.size(Find("who", how, read))

    assert size(How(k=1000)) - size(How(k=10)) == 990
    assert size(How(k=10, per_document=1)) - size(How(k=10)) == 30
    assert size(How(), read=True) > size(How()) + 100
    monkeypatch.setattr("dpr.serve.engine._LOOKED", 1)
    every = len(engine.opened.searcher.collection)
    assert size(How(k=1, per_document=1)) - size(How(k=1)) == every - 1


def test_passages_that_are_read_in_windows_count_as_many(tmp_path: Path, tiny_model: Path) -> None:
    sizes = []
    for split in ("words:20", "words:600"):
        text = " ".join(f"the king {n} lives in castle {n}." for n in range(300))
        index([Document("d", text)], tmp_path / split, model=str(tiny_model), split=split)
        engine = open_engine(tmp_path / split, tiny_model)
        sizes.append(engine.size(Find("who", How(k=3), read=True)))
        found = engine.run([Find("who", How(k=3), read=True)])[0]
        assert isinstance(found, Found)
        engine.pipeline.close()
    assert sizes[1] > 3 * sizes[0]


def test_far_beyond_what_a_model_reads_nothing_is_tokenized(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    tokens = engine.pipeline.encoder.tokens
    monkeypatch.setattr(
        engine.pipeline.encoder,
        "tokens",
        lambda texts: seen.extend(map(len, texts)) or tokens(texts),
    )
    long, short = "who lives " * 200_000, "who lives " * 100
    first, second = engine.run([Embed(long, "query"), Embed(short, "query")])
    assert max(seen) < 20_000
    assert first.truncated  # type: ignore[union-attr]
    most = engine.pipeline.encoder.encoding.max_length
    assert first.tokens == most  # type: ignore[union-attr]
    expected = engine.pipeline.encoder.encode([long[:10_000], short])
    assert np.allclose([first.vector, second.vector], expected, atol=1e-5)  # type: ignore[union-attr]


def test_an_error_is_of_its_task_alone() -> None:
    def doubled(which: Any) -> list[int]:
        if 3 in which:
            raise ValueError("three")
        return [2 * one for one in which]

    given = apart([1, 2, 3], doubled)
    assert (given[1], given[2]) == (2, 4)
    assert isinstance(given[3], ValueError)


def test_hits_of_many_documents_are_looked_for_within_bounds_and_while_somebody_waits(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = " ".join(f"the king {n} lives in castle {n}." for n in range(300))
    index([Document("d", text)], tmp_path / "one", model=str(tiny_model), split="words:10")
    monkeypatch.setattr("dpr.serve.finding._DEEPEST", 50)
    engine = open_engine(tmp_path / "one", tiny_model)
    looked: list[int] = []
    passages = type(engine.opened.searcher.collection).passages
    monkeypatch.setattr(
        type(engine.opened.searcher.collection),
        "passages",
        lambda self, rows: looked.append(len(rows)) or passages(self, rows),
    )
    find = Find("who lives in castle 3", How(k=2, per_document=1))
    assert isinstance(engine.run([find])[0], Found)
    assert max(looked) == 50
    assert len(engine.opened.searcher.collection) > 100

    def left(*told: object) -> None:
        if told and looked and looked[-1] == 8:  # the first time that passages were looked through
            raise TooLate

    looked.clear()
    with pytest.raises(TooLate):
        engine.run([find], left)
    engine.pipeline.close()
