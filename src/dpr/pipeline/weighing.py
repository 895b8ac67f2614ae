"""Weights of hybrid search, chosen on questions whose passages are known.

Takes an open collection and questions with their vectors and judgements; gives what tuning gives.
Wires searching and fusion together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from dpr.collection import Collection
from dpr.encoding import Vectors
from dpr.fusion import FusionSettings, Ranked, gather
from dpr.fusion.tuning import DENSE, NDCG, Tuned, default_grid, tune
from dpr.search.parts import words_settings
from dpr.search.searcher import Searcher
from dpr.search.settings import Mode

FEWEST = 50
FOLDS = 5
NOT_WEIGHED = (
    f"that takes {FEWEST} questions of which passages of this collection are known to be right, "
    "and words that were counted (`dpr index --words`)"
)


def weigh(
    collection: Collection,
    texts: Sequence[str],
    queries: Vectors,
    judged: Sequence[Mapping[int, int]],
    even: bool = False,
) -> Tuned | None:
    """How both ways of searching are weighed best; None where that cannot be told: words were not
    counted, or too few questions have a passage that answers them.

    Args:
        judged: of each question, grades by row; a passage that is not there has a negative row.
        even: see ``dpr.fusion.tuning.tune``.

    Raises:
        InputError: see ``dpr.fusion.tuning.tune``.
    """
    known = [
        place
        for place, one in enumerate(judged)
        if any(grade > 0 for row, grade in one.items() if row >= 0)
    ]
    if len(known) < FEWEST or words_settings(collection) is None:
        return None
    searcher, depth = Searcher(collection), FusionSettings().depth
    scores, rows = searcher.dense.search(queries[known], depth, collection.live)
    by_words = searcher.words.search([texts[place] for place in known], depth)
    found = [
        gather(
            Ranked(rows[number], scores[number]),
            Ranked(by_words[number][1], by_words[number][0]),
            partial(searcher.dense.scores, queries[place]),
            partial(searcher.words.scores, texts[place]),
            depth,
        )
        for number, place in enumerate(known)
    ]
    about = [_about(collection, judged[place]) for place in known]
    groups = about if len(set(about)) >= FOLDS else None
    judgements = [judged[place] for place in known]
    return tune(found, judgements, default_grid(found, depth), groups, FOLDS, even=even)


def _about(collection: Collection, judged: Mapping[int, int]) -> str:
    """The document that a question is about: its questions are alike, and held out together."""
    row = next((row for row, grade in judged.items() if grade > 0 and row >= 0), None)
    if row is None:
        return ""
    passage = collection.passage(row)
    return passage.document or passage.id


def mode_of(tuned: Tuned) -> Mode:
    """Where fusing gains nothing that can be told from chance it stays, since it loses nothing
    either; unless one part alone is better."""
    losing = [one.other for one in tuned.comparisons if one.measure == NDCG and one.high < 0]
    if losing:
        return "dense" if losing[0] == DENSE else "bm25"
    return "hybrid"
