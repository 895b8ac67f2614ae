"""Settings and efforts as JSON, and what is worth trying."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from conftest import FolderBench

from dpr.errors import CorruptionError, SettingsError
from dpr.indexes import FlatIndex, kinds
from dpr.indexes.binary import BinaryEffort, BinarySettings
from dpr.indexes.hnsw import HNSWEffort, HNSWSettings
from dpr.indexes.ivf import IVFEffort, IVFSettings
from dpr.indexes.stored import StoredVectors

SIZES = [(1, 8), (50, 384), (10_000, 384), (1_000_000, 768), (21_000_000, 768)]


@pytest.mark.parametrize(("rows", "dim"), SIZES)
def test_what_is_worth_trying_goes_through_json(rows: int, dim: int) -> None:
    tried = kinds.candidates(rows, dim)
    assert {kinds.kind_of(one.settings) for one in tried} == set(kinds.SETTINGS)
    assert len({one.settings for one in tried}) == len(tried)
    for one in tried:
        assert (
            kinds.settings_from(json.loads(json.dumps(kinds.to_json(one.settings)))) == one.settings
        )
        assert all(one.series)
        for effort in itertools.chain(*one.series):
            assert kinds.effort_from(json.loads(json.dumps(kinds.to_json(effort)))) == effort
            assert type(effort) is type(kinds.usual_effort(one.settings))
        assert 0 <= kinds.estimated_bytes(one.settings, rows, dim) < max(8 * rows * dim, 10_000_000)
        if isinstance(one.settings, IVFSettings):
            assert one.settings.cells <= rows


BROKEN: list[Any] = [
    None,
    [],
    "hnsw",
    {},
    {"kind": "annoy"},
    {"kind": ["hnsw"]},
    {"kind": "hnsw", "Neighbours": 3},
    {"kind": "hnsw", "storage": "int4"},
    {"kind": "hnsw", "neighbours": 1},
    {"kind": "hnsw", "neighbours": True},
    {"kind": "hnsw", "effort": 0},
    {"kind": "hnsw", "refine": "codes"},
    {"kind": "ivf", "cells": 0},
    {"kind": "ivf", "cells": 1.5},
    {"kind": "ivf", "dims": -1},
    {"kind": "ivf", "seed": -1},
    {"kind": "ivf", "bits": 9},
    {"kind": "ivf", "bits": True},
    {"kind": "ivf", "code": "pq", "bits": 3},
    {"kind": "ivf", "code": "lsh"},
    {"kind": "ivf", "code": "rabitq", "refine": "codes"},
    {"kind": "binary", "centred": 1},
]
BROKEN_EFFORTS: list[Any] = [
    {"kind": "hnsw", "breadth": 0},
    {"kind": "hnsw", "candidates": -1},
    {"kind": "ivf", "probes": 0},
    {"kind": "ivf", "candidates": 1.0},
    {"kind": "binary", "candidates": True},
    {"kind": "exact", "probes": 3},
]


@pytest.mark.parametrize("given", BROKEN, ids=str)
def test_other_settings_are_refused(given: Any) -> None:
    with pytest.raises(SettingsError):
        kinds.settings_from(given)


@pytest.mark.parametrize("given", BROKEN_EFFORTS, ids=str)
def test_other_efforts_are_refused(given: Any) -> None:
    with pytest.raises(SettingsError):
        kinds.effort_from(given)


def test_an_error_says_what_is_allowed() -> None:
    with pytest.raises(SettingsError, match=r"allowed for hnsw are: storage, neighbours, effort"):
        kinds.settings_from({"kind": "hnsw", "m": 3})
    with pytest.raises(SettingsError, match=r"kind of flat, certified, hnsw, ivf, binary"):
        kinds.settings_from({"kind": "annoy"})


def test_exact_search_is_a_kind_too(bench: FolderBench) -> None:
    vectors = np.random.default_rng(0).standard_normal((500, 64)).astype(np.float32)
    stored = StoredVectors([vectors])
    settings = kinds.CertifiedSettings()
    names = kinds.build(settings, stored, bench)
    index = kinds.load(settings, {name: bench.folder / name for name in names}, stored)
    for found, wanted in zip(
        index.search(vectors[:20], 9), FlatIndex(stored).search(vectors[:20], 9), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)
    assert index.exact
    assert index.bytes == pytest.approx(kinds.estimated_bytes(settings, 500, 64), rel=0.25)


@pytest.mark.parametrize("made", [HNSWSettings, IVFSettings, BinarySettings])
def test_a_missing_file_is_named(made: Any) -> None:
    stored = StoredVectors([np.eye(4, dtype=np.float32)])
    with pytest.raises(CorruptionError, match="of the index is missing; build"):
        kinds.load(made(), {}, stored)


def test_flat_has_no_files_and_takes_no_other_effort() -> None:
    stored = StoredVectors([np.eye(4, dtype=np.float32)])
    assert kinds.build(kinds.FlatSettings(), stored, None) == ()  # type: ignore[arg-type]
    assert isinstance(kinds.load(kinds.FlatSettings(), {}, stored), FlatIndex)
    for effort in (HNSWEffort(), IVFEffort(), BinaryEffort()):
        with pytest.raises(SettingsError, match="of kind flat"):
            kinds.load(kinds.FlatSettings(), {}, stored, effort)


def test_defaults_are_allowed() -> None:
    for made in (HNSWSettings, IVFSettings, BinarySettings, HNSWEffort, IVFEffort, BinaryEffort):
        assert kinds.kind_of(made())
