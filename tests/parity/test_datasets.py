"""A data set of Hugging Face wherever a list is taken: the same result as from the list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interchange.towers import random_towers

from dpr.corpus import SplitSettings, read_documents, read_passages
from dpr.errors import InputError
from dpr.interchange.dual import DualEncoder

ROWS = [
    {"_id": "a", "title": "tale", "text": "the king lives in a castle"},
    {"_id": "b", "title": "", "text": "the dog and the cat"},
    {"_id": "c", "title": None, "text": "snow"},
]
ASKED = ["who is the king?", "where is the river?"]


@pytest.fixture(scope="module")
def dual(tiny_vocabulary: Path) -> DualEncoder:
    return random_towers(tiny_vocabulary, tied=False)


def made(kind: str, rows: list[dict[str, Any]]) -> Any:
    from datasets import Dataset

    table = Dataset.from_list(rows)
    return table if kind == "Dataset" else table.to_iterable_dataset()


@pytest.mark.parametrize("kind", ["Dataset", "IterableDataset"])
def test_rows_are_encoded(kind: str, dual: DualEncoder) -> None:
    asked = [{"query": one} for one in ASKED]
    expected = dual.question.encode(ASKED), dual.context.encode(ROWS)
    assert np.array_equal(dual.question.encode(made(kind, asked)), expected[0])
    assert np.array_equal(dual.encode_query(made(kind, asked)), expected[0])

    assert np.array_equal(dual.context.encode(made(kind, ROWS)), expected[1])
    assert np.array_equal(dual.encode_document(made(kind, ROWS)), expected[1])
    assert np.array_equal(dual.encode(made(kind, ROWS)), expected[1])


def test_columns_are_encoded(dual: DualEncoder) -> None:
    from datasets import Dataset

    table = Dataset.from_dict({"question": ASKED})
    expected = dual.question.encode(ASKED)
    for column in (table["question"], table[:]["question"], table.with_format("numpy")["question"]):
        assert np.array_equal(dual.question.encode(column), expected)
        assert np.array_equal(dual.encode_query(column), expected)


@pytest.mark.parametrize("kind", ["Dataset", "IterableDataset"])
def test_rows_are_documents(kind: str) -> None:
    assert list(read_documents(made(kind, ROWS))) == list(read_documents(ROWS))
    cut = SplitSettings("words", 2)
    passages = list(read_passages(made(kind, ROWS), split_settings=cut))
    assert passages == list(read_passages(ROWS, split_settings=cut))
    with pytest.raises(InputError, match="rows:4: the id 'a' is also that of line 1"):
        list(read_documents(made(kind, [*ROWS, ROWS[0]])))


def test_a_dataset_with_splits_is_named(dual: DualEncoder) -> None:
    from datasets import DatasetDict

    both = DatasetDict({"train": made("Dataset", ROWS)})
    with pytest.raises(InputError, match=r"with the keys train; .*one split"):
        read_documents(both)
    with pytest.raises(InputError, match=r"with the keys train; .*one split"):
        dual.encode_document(both)
