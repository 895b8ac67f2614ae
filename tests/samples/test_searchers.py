"""What ranks a pool: scores of rows are those of lists, and vectors in parts are as in one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dpr.encoding import ContextEncoder, QuestionEncoder
from dpr.errors import InputError
from dpr.indexes.bm25 import BM25Index
from dpr.indexes.stored import StoredVectors
from dpr.samples.files import Context
from dpr.samples.negatives import Pool
from dpr.samples.searchers import BM25Searcher, DenseSearcher, PoolVectors

WORDS = "king queen river city castle forest snow man dog cat old young tale".split()
QUESTIONS = ["who lives in the castle", "what is the river", "old queen", "zzz"]


@pytest.fixture(scope="module")
def pool() -> Pool:
    rng = np.random.default_rng(4)
    return Pool(Context(" ".join(rng.choice(WORDS, 12)), str(rng.choice(WORDS))) for _ in range(60))


@pytest.fixture(scope="module")
def encoders(tiny_model: Path) -> tuple[QuestionEncoder, ContextEncoder]:
    place = tiny_model / "encoder"
    return QuestionEncoder.from_pretrained(place), ContextEncoder.from_pretrained(place)


def test_bm25_is_over_titles_and_texts(pool: Pool) -> None:
    searcher = BM25Searcher(pool)
    index = BM25Index([f"{one.title} {one.text}" for one in pool])
    found = searcher.search(QUESTIONS, 10)
    assert found == index.search(QUESTIONS, 10)
    assert found[-1] == []
    rows = [[row for _, row in one] for one in found]
    assert searcher.scores(QUESTIONS, rows) == [[score for score, _ in one] for one in found]
    assert searcher.scores(["zzz"], [[3, 0]]) == [[0.0, 0.0]]


def test_vectors_against_the_whole_matrix(
    pool: Pool, encoders: tuple[QuestionEncoder, ContextEncoder]
) -> None:
    question, context = encoders
    told: list[int] = []
    searcher = DenseSearcher.encoded(pool, question, context, told.append)
    assert sum(told) == len(pool)
    vectors, queries = context.encode(pool), question.encode(QUESTIONS)
    matrix = queries.astype(np.float64) @ vectors.astype(np.float64).T
    for k in (1, 7, 60, 99):
        for line, found in zip(matrix, searcher.search(QUESTIONS, k), strict=True):
            rows = [row for _, row in found]
            assert len(set(rows)) == len(rows) == min(k, 60)
            # By the matrix's own scores: another batch may differ in a last bit.
            assert np.allclose([s for s, _ in found], line[rows], rtol=1e-5)
            assert np.allclose(line[rows], np.sort(line)[::-1][: len(rows)], rtol=1e-5)
    some = [[0, 59], [], [3], [1, 1]]
    scores = searcher.scores(QUESTIONS, some)
    assert [len(one) for one in scores] == [2, 0, 1, 2]
    listed = [{row: score for score, row in one} for one in searcher.search(QUESTIONS, 60)]
    assert scores == [[own[r] for r in rows] for own, rows in zip(listed, some, strict=True)]


def test_parts_with_rows_that_are_not_the_pool_s(
    pool: Pool, encoders: tuple[QuestionEncoder, ContextEncoder]
) -> None:
    question, context = encoders
    whole = DenseSearcher.encoded(pool, question, context)
    vectors = context.encode(pool)
    order = np.random.default_rng(0).permutation(60)
    first = np.concatenate([vectors[order[:25]], 9 * vectors[:3]])  # which would win, if found
    parts = [
        PoolVectors(StoredVectors([first]), np.concatenate([order[:25], np.full(3, -1)])),
        PoolVectors(StoredVectors([vectors[order[25:]]]), order[25:]),
    ]
    searcher = DenseSearcher(question, parts, 60)
    for k in (1, 30, 60):
        assert searcher.search(QUESTIONS, k) == whole.search(QUESTIONS, k)
    rows = [list(range(60))] * len(QUESTIONS)
    assert searcher.scores(QUESTIONS, rows) == whole.scores(QUESTIONS, rows)


def test_every_passage_has_one_vector(
    encoders: tuple[QuestionEncoder, ContextEncoder],
) -> None:
    stored = StoredVectors([np.ones((3, 32), np.float32)])
    for rows in ([0, 1, -1], [0, 1, 1]):
        with pytest.raises(InputError, match="3 passages in the pool"):
            DenseSearcher(encoders[0], [PoolVectors(stored, np.array(rows))], 3)
