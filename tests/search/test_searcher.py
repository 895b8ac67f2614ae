"""Every way of searching against slow references: inner products, BM25's formula, and both."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dpr.collection import Collection, add_documents, build_collection
from dpr.errors import CollectionError, SettingsError
from dpr.filters import Filters, parse_filters, passage_fields
from dpr.fusion import FusionSettings
from dpr.indexes.analysis import Analyzer
from dpr.indexes.bm25 import BM25Settings
from dpr.indexes.words import WordsSettings
from dpr.records import Hit, Passage
from dpr.search.parts import WordsMaker, words_settings
from dpr.search.searcher import Searcher
from dpr.search.settings import SearchSettings

from .conftest import MAKERS, HashEncoder, Library, build, passages, vector_of

QUESTIONS = [
    "the king of the castle",
    "queen moon danube",
    "glacier",
    "nothing known",
    "d5 lake 66",
]
VECTORS = np.stack([vector_of(text) for text in QUESTIONS])
SETTINGS = SearchSettings(fusion=FusionSettings(depth=12))
CONDITIONS: list[list[str]] = [[], ["year>=1990"], ["section=Intro", "lang!=de"], ["absent=1"]]
Scores = dict[str, float]


def dense_scores(library: Library, number: int) -> Scores:
    scores = library.vectors @ VECTORS[number].astype(np.float64)
    return {one.id: float(s) for one, s in zip(library.passages, scores, strict=True)}


def bm25_scores(library: Library, number: int, settings: BM25Settings) -> Scores:
    """Lucene's BM25, word by word and pair by pair; no question here has a word that only asks."""
    words = Analyzer(WordsSettings()).words
    fields = {one.id: (words(one.title), words(one.text)) for one in library.passages}
    twice = {name: (title, title, text) for name, (title, text) in fields.items()}  # titles
    lengths = {name: sum(map(len, own)) for name, own in twice.items()}
    mean = sum(lengths.values()) / len(lengths)
    pairs = {name: [pair for one in own for pair in pairwise(one)] for name, own in twice.items()}
    scores = dict.fromkeys(fields, 0.0)
    asked = words(QUESTIONS[number])
    in_words = {name: [word for one in own for word in one] for name, own in twice.items()}
    for terms, texts, weight in ((asked, in_words, 1.0), (pairwise(asked), pairs, settings.pairs)):
        for term, times in Counter(terms).items():
            df = sum(term in own for own in texts.values())
            idf = math.log(1 + (len(texts) - df + 0.5) / (df + 0.5))
            for name, own in texts.items():
                tf = own.count(term)
                norm = settings.k1 * (1 - settings.b + settings.b * lengths[name] / mean)
                scores[name] += weight * times * idf * tf / (tf + norm) if tf else 0.0
    return scores


def ranked(scores: Scores, k: int) -> list[str]:
    return sorted(scores, key=lambda name: (-scores[name], name))[:k]


def hybrid(library: Library, number: int, allowed: set[str], k: int) -> list[dict[str, Any]]:
    """The union of both lists, standardised; the mean of powers that keep the signs."""
    depth = max(k, SETTINGS.fusion.depth)
    dense, bm25 = dense_scores(library, number), bm25_scores(library, number, SETTINGS.bm25)
    first = ranked({name: dense[name] for name in allowed}, depth)
    second = ranked({name: bm25[name] for name in allowed if bm25[name] > 0}, depth)
    union = sorted({*first, *second})

    def standardised(scores: Scores) -> Scores:
        values = np.array([scores[name] for name in union])
        spread = values.std() if np.ptp(values) > 1e-6 else 0.0
        return {name: (scores[name] - values.mean()) / spread if spread else 0.0 for name in union}

    if not union:
        return []
    ours, theirs = standardised(dense), standardised(bm25)
    share, power = SETTINGS.fusion.weight, SETTINGS.fusion.power

    def signed(value: float, to: float) -> float:
        return math.copysign(abs(value) ** to, value)

    fused = {
        name: signed(
            share * signed(ours[name], power) + (1 - share) * signed(theirs[name], power), 1 / power
        )
        for name in union
    }
    return [
        {
            "id": name,
            "score": fused[name],
            "dense_score": dense[name],
            "dense_rank": first.index(name) + 1 if name in first else None,
            "bm25_score": bm25[name],
            "bm25_rank": second.index(name) + 1 if name in second else None,
        }
        for name in ranked(fused, k)
    ]


def allowed_ids(library: Library, filters: Filters) -> set[str]:
    return {one.id for one in library.passages if filters.matches(passage_fields(one))}


def check(hits: list[Hit], wanted: list[dict[str, Any]]) -> None:
    assert [hit.passage.id for hit in hits] == [one["id"] for one in wanted]
    for hit, one in zip(hits, wanted, strict=True):
        assert hit.score == pytest.approx(one["score"], abs=1e-5)
        for name in ("dense_score", "bm25_score"):
            assert getattr(hit, name) == pytest.approx(one[name], abs=1e-5)
        assert (hit.dense_rank, hit.bm25_rank) == (one["dense_rank"], one["bm25_rank"])


def single(scores: Scores, k: int, name: str) -> list[dict[str, Any]]:
    """A list of one part alone."""
    none = dict.fromkeys(("dense_score", "dense_rank", "bm25_score", "bm25_rank"))
    return [
        {**none, "id": one, "score": scores[one], f"{name}_score": scores[one], f"{name}_rank": n}
        for n, one in enumerate(ranked(scores, k), 1)
    ]


@pytest.fixture(scope="module")
def searcher(library: Library) -> Searcher:
    return Searcher(Collection.open(library.folder), SETTINGS)


@pytest.mark.parametrize("conditions", CONDITIONS, ids=" ".join)
@pytest.mark.parametrize("k", [1, 5, 40, 500])
def test_every_mode_is_its_slow_reference(
    searcher: Searcher, library: Library, conditions: list[str], k: int
) -> None:
    filters = parse_filters(conditions)
    allowed = allowed_ids(library, filters)

    def found(mode: Any, vectors: Any = VECTORS) -> list[list[Hit]]:
        return searcher.search(QUESTIONS, vectors, k, mode=mode, where=filters)

    both, dense, words = found("hybrid"), found("dense"), found("bm25", None)
    with_vectors = found("bm25")
    for number in range(len(QUESTIONS)):
        check(both[number], hybrid(library, number, allowed, k))
        inner = dense_scores(library, number)
        check(dense[number], single({one: inner[one] for one in allowed}, k, "dense"))
        lucene = bm25_scores(library, number, SETTINGS.bm25)
        lucene = {one: lucene[one] for one in allowed if lucene[one] > 0}
        check(words[number], single(lucene, k, "bm25"))
        wanted = [one | {"dense_score": inner[one["id"]]} for one in single(lucene, k, "bm25")]
        check(with_vectors[number], wanted)
    assert searcher.search(QUESTIONS, VECTORS, k, where=filters) == both  # auto
    texts = {one.id: one for one in library.passages}
    assert all(hit.passage == texts[hit.passage.id] for one in both for hit in one)


def test_other_settings_are_followed(library: Library) -> None:
    with Collection.open(library.folder) as collection:
        settings = SearchSettings("bm25", bm25=BM25Settings(k1=2.0, b=0.9, pairs=1.5))
        other = Searcher(collection, settings)
        assert other.mode == "bm25"
        for number, hits in enumerate(other.search(QUESTIONS, None, 30)):
            lucene = bm25_scores(library, number, settings.bm25)
            check(hits, single({one: s for one, s in lucene.items() if s > 0}, 30, "bm25"))
        plain = Searcher(collection, SearchSettings(fusion=FusionSettings(weight=1.0)))
        dense = Searcher(collection, SearchSettings("dense")).search(QUESTIONS, VECTORS, 10)
        for ours, theirs in zip(plain.search(QUESTIONS, VECTORS, 10), dense, strict=True):
            assert [hit.passage for hit in ours] == [hit.passage for hit in theirs]


@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("k", [3, 30, 300])
@pytest.mark.parametrize("conditions", [[], ["section=Intro"]], ids=" ".join)
def test_so_many_of_a_document_at_most(
    searcher: Searcher, mode: Any, most: int, k: int, conditions: list[str]
) -> None:
    """As if the whole list were thinned."""
    where = parse_filters(conditions)
    spread = searcher.search(QUESTIONS, VECTORS, k, mode=mode, where=where, per_document=most)
    every = searcher.search(QUESTIONS, VECTORS, 10_000, mode=mode, where=where)
    for ours, all_ in zip(spread, every, strict=True):
        counts: Counter[str] = Counter()
        wanted = []
        for hit in all_:
            counts[hit.passage.document] += 1
            if counts[hit.passage.document] <= most:
                wanted.append(hit.passage.id)
        # Hybrid scores are relative to the candidates, which are fewer where less was looked at.
        if mode != "hybrid":
            assert [hit.passage.id for hit in ours] == wanted[:k]
        counts = Counter(hit.passage.document for hit in ours)
        assert max(counts.values(), default=0) <= most
        assert len(ours) == min(k, len(wanted))


@pytest.mark.parametrize("mode", ["dense", "bm25", "hybrid"])
def test_so_many_of_a_document_are_not_looked_for_without_end(tmp_path: Path, mode: Any) -> None:
    many = [
        Passage(f"{n}", f"king castle {'moon ' * (n % 7)}", document=f"d{n % 3}")
        for n in range(400)
    ]
    build_collection(many, HashEncoder(), tmp_path / "many", makers=MAKERS)
    looked: list[int] = []
    with Collection.open(tmp_path / "many") as collection:
        searcher = Searcher(collection, SETTINGS)

        def spread(deepest: int | None) -> list[list[Hit]]:
            looked.clear()
            return searcher.search(
                ["king castle", "king"],
                VECTORS[:2],
                5,
                mode=mode,
                per_document=1,
                deepest=deepest,
                progress=looked.append,
            )

        every = spread(None)
        assert max(looked) == 400
        assert [len(one) for one in every] == [3, 3]
        some = spread(60)
        assert looked == [20, 20, 60, 60]  # of each question, so that it can be stopped in between
        assert [len(one) for one in some] == [3, 3]
        spread(1)
        assert looked == [5, 5]  # no fewer than k


class BeforePairs(WordsMaker):
    """Writes the settings of words as they were before there were pairs."""

    @property
    def settings(self) -> dict[str, Any]:
        return {key: value for key, value in super().settings.items() if key != "pairs"}


def test_words_counted_before_there_were_pairs_are_searched_and_added_to_without(
    tmp_path: Path,
) -> None:
    made = build(tmp_path / "old", range(30), makers=[BeforePairs(WordsSettings(pairs=False))])
    with Collection.open(made.folder) as collection:
        words = words_settings(collection)
    assert words == WordsSettings(pairs=False)
    new = passages(range(30, 50))
    add_documents(made.folder, new, HashEncoder(), makers=[WordsMaker(words)])
    made.passages += new
    with Collection.open(made.folder) as collection:
        for number, hits in enumerate(
            Searcher(collection).search(QUESTIONS, None, 30, mode="bm25")
        ):
            lucene = bm25_scores(made, number, BM25Settings(pairs=0))
            check(hits, single({one: s for one, s in lucene.items() if s > 0}, 30, "bm25"))


def test_a_passage_without_document_is_one(tmp_path: Path) -> None:
    alone = [Passage(f"p{n}", "king castle") for n in range(5)]
    build_collection(alone, HashEncoder(), tmp_path / "alone", makers=MAKERS)
    with Collection.open(tmp_path / "alone") as collection:
        found = Searcher(collection).search(["king"], VECTORS[:1], 5, per_document=1)
        assert len(found[0]) == 5


def test_what_is_refused(searcher: Searcher, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="k"):
        searcher.search(QUESTIONS, VECTORS, 0)
    with pytest.raises(SettingsError, match="per_document is 0; allowed are integers of 1"):
        searcher.search(QUESTIONS, VECTORS, 5, per_document=0)
    for mode in ("dense", "hybrid"):
        with pytest.raises(SettingsError, match="with the vectors of the questions"):
            searcher.search(QUESTIONS, None, 5, mode=mode)  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="mode is 'words'; allowed are 'dense', 'bm25'"):
        searcher.search(QUESTIONS, VECTORS, 5, mode="words")  # type: ignore[arg-type]
    made = build(tmp_path / "wordless", range(3), makers=[])
    with Collection.open(made.folder) as collection:
        wordless = Searcher(collection)
        assert wordless.mode == "dense"
        assert wordless.search(QUESTIONS, VECTORS, 5)[0]
        with pytest.raises(CollectionError, match="words of its passages are not counted"):
            wordless.search(QUESTIONS, VECTORS, 5, mode="bm25")
