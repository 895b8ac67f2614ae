"""A collection of a tiny model, as it is served to assistants."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serve.conftest import READING
from tests.serve.conftest import changing as changing
from tests.serve.conftest import made as made

from dpr.assistants.sources import Sources
from dpr.pipeline import Pipeline


@pytest.fixture(scope="session")
def pipeline(made: Path, tiny_model: Path) -> Iterator[Pipeline]:
    """The collection, open; it is never changed."""
    with Pipeline.open(made, model=tiny_model, settings=READING) as one:
        yield one


@pytest.fixture(scope="session")
def sources(pipeline: Pipeline) -> Sources:
    """What assistants are given of it."""
    return Sources(pipeline)
