"""The peers' environment, which ``make peers`` makes and everyday tests do without."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = REPOSITORY / ".venv-peers" / "bin" / "python"

Ask = Callable[[str, Any], Any]


@pytest.fixture(scope="session")
def ask_peers() -> Ask:
    """A function from a subject of ``verdicts.py`` and its input to what the peer says."""
    if not PYTHON.exists():
        pytest.skip("needs the peers' environment in .venv-peers, which `make peers` makes")

    def ask(subject: str, asked: Any) -> Any:
        done = subprocess.run(
            [PYTHON, Path(__file__).with_name("verdicts.py"), subject],
            input=json.dumps(asked).encode(),
            stdout=subprocess.PIPE,
            check=True,
        )
        return json.loads(done.stdout)

    return ask
