"""A folder of documents, what a collection holds, and whether that is what a fresh build of the
same documents holds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from dpr.collection import BuildSettings, Collection, verify
from dpr.pipeline import index
from dpr.records import Passage

FLOAT32 = BuildSettings(dtype="float32")
SPLIT = "words:8"
TEXTS = {
    "a.txt": "The king of the old city lives in a castle by the river. " * 3,
    "b.md": "---\nyear: 1990\n---\n# Tale\n\nThe queen wrote a story of snow and of a cat.",
    "deep/c.txt": "What is the source of the Rhine and where is the Danube? " * 2,
    "d.txt": "one two three four five six seven",
}


def held(place: Path) -> dict[str, tuple[Passage, Any]]:
    """Every passage and its vector, by id."""
    with Collection.open(place) as collection:
        vectors = np.concatenate([np.asarray(part) for part in collection.vectors])
        rows = collection.live_rows()
        passages = collection.passages(rows.tolist())
        assert len({one.id for one in passages}) == len(passages) == len(collection)
        return {
            one.id: (one, vectors[row]) for one, row in zip(passages, rows.tolist(), strict=True)
        }


def check_fresh(place: Path, source: Any, model: Path, tmp_path: Path, **options: Any) -> None:
    """Whether a collection holds what a fresh build of a source does, and is whole."""
    fresh = tmp_path / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    index(source, fresh, model=model, split=options.pop("split", SPLIT), build=FLOAT32, **options)
    ours, theirs = held(place), held(fresh)
    assert ours.keys() == theirs.keys()
    for name, (passage, vector) in ours.items():
        assert passage == theirs[name][0]
        # Batches of other sizes round otherwise.
        np.testing.assert_allclose(vector, theirs[name][1], rtol=0, atol=1e-5)
    assert not verify(place)
