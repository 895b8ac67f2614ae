"""What several files of tests share."""

from __future__ import annotations

import pytest
from tests.samples.rivers import RIVERS, Record, record


@pytest.fixture
def records() -> list[Record]:
    return [record(at) for at in range(len(RIVERS))]
