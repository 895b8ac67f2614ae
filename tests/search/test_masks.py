"""Masks against every filter asked of every passage."""

from __future__ import annotations

import numpy as np
import pytest

from dpr.collection import Collection
from dpr.filters import Filters, parse_filters, passage_fields
from dpr.search.masks import Masks, filter_mask

from .conftest import Library, build

CONDITIONS = [
    ["year>=1990"],
    ["year<1960"],
    ["lang=de"],
    ["lang!=de"],
    ["tags=moon|queen"],
    ["source~old/*", "year>2000"],
    ["section=Intro"],
    ["section!=Intro"],
    ["section="],
    ["section~N*", "lang=de", "year<2030"],
    ["document=d5|d66|d0"],
    ["document~d?"],
    ["title~king *"],
    ["absent=1"],
    ["absent!=1"],
]


def expected(library: Library, filters: Filters) -> list[str]:
    return [one.id for one in library.passages if filters.matches(passage_fields(one))]


@pytest.mark.parametrize("conditions", CONDITIONS, ids=" ".join)
def test_a_mask_is_what_asking_each_passage_gives(library: Library, conditions: list[str]) -> None:
    filters = parse_filters(conditions)
    with Collection.open(library.folder) as collection:
        masks = Masks(collection)
        mask = masks.allowed(filters)
        assert mask is not None
        assert mask.shape == (collection.starts[-1],)
        found = collection.ids(np.flatnonzero(mask).tolist())
        wanted = expected(library, filters)
        assert found == wanted
        assert len(wanted) < len(library.passages) or conditions == ["absent!=1"]
        assert masks.allowed(filters) is mask  # remembered
        every = filter_mask(collection, filters)
        assert np.array_equal(every & collection.live, mask)
        assert (every & ~mask).sum() <= (~collection.live).sum()


def test_without_filters_what_is_deleted_is_left_out(library: Library) -> None:
    with Collection.open(library.folder) as collection:
        mask = Masks(collection).allowed(Filters())
        assert mask is not None
        found = collection.ids(np.flatnonzero(mask).tolist())
        assert found == [one.id for one in library.passages]


def test_nothing_deleted_and_no_filter_needs_no_mask(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    made = build(tmp_path_factory.mktemp("masks") / "c", range(5))
    with Collection.open(made.folder) as collection:
        assert Masks(collection).allowed(Filters()) is None
        mask = Masks(collection).allowed(parse_filters(["document=d2"]))
        assert mask is not None
        assert mask.sum() == sum(one.document == "d2" for one in made.passages)


def test_only_the_last_masks_are_remembered(library: Library) -> None:
    with Collection.open(library.folder) as collection:
        masks = Masks(collection)
        assert masks.known(Filters())
        assert not masks.known(parse_filters(["year>1900"]))
        first = masks.allowed(parse_filters(["year>1900"]))
        assert masks.known(parse_filters(["year>1900"]))
        for year in range(1950, 1990):
            masks.allowed(parse_filters([f"year>{year}"]))
        again = masks.allowed(parse_filters(["year>1900"]))
        assert again is not first
        assert np.array_equal(again, first)
