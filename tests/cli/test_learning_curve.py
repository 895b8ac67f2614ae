"""``learning-curve``: the command on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpr.collection import Collection

from .conftest import Run


def write(path: Path, prefix: str, count: int) -> Path:
    rows = [
        {
            "question": f"who is {prefix}{n}",
            "answers": [f"{prefix}{n}"],
            "positive_ctxs": [
                {"title": f"t{n}", "text": f"the {prefix}{n} is king of {n} in paris"}
            ],
        }
        for n in range(count)
    ]
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.fixture
def given(tmp_path: Path, tiny_model: Path) -> list[Any]:
    """The command without its tests."""
    train = write(tmp_path / "train.json", "old", 8)
    return [
        *("learning-curve", "--train", train, "--start", tiny_model, "--to", tmp_path / "curve"),
        *("--sizes", "all", "--fewest-steps", 1, "--k", 2, "--batch-size", 8, "--epochs", 1),
        *("--hard-negatives", 0, "--passage-length", 32),
    ]


def test_every_test_set_is_measured_under_a_name_of_its_own(
    run: Run, given: list[Any], tmp_path: Path
) -> None:
    one = write(tmp_path / "squad.test.json", "new", 4)
    two = write(tmp_path / "squad.dev.json", "young", 3)
    done = run(*given, "--test", one, "--test", two, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert {name: one["questions"] for name, one in told["figures"]["untrained"].items()} == {
        "squad.test": 4,
        "squad.dev": 3,
    }
    assert told["passages"] == 15
    assert "; on squad.test, " in told["verdict"][0]
    assert told["verdict"][-1].startswith("On squad.dev, which it was not trained for")

    twice = run(*given, "--test", one, "--test", one)
    assert twice.exit_code == 1
    assert "a test set is given twice" in twice.stderr


def test_what_is_not_read_and_what_does_nothing_is_told(
    run: Run, given: list[Any], tmp_path: Path, collection: Path
) -> None:
    test = write(tmp_path / "test.json", "new", 2)
    more = ("--passage-length", 8, "--patience", 1, "--pool", collection, "--k", 99)
    more += ("--neighbours", 2)
    done = run(*given, "--test", test, *more)
    assert done.exit_code == 0, done.stderr
    assert "--patience does nothing here" in done.stderr
    assert "--neighbours does nothing without --batching neighbours" in done.stderr
    assert "passages among which test questions are searched" in done.stderr
    assert "only the first 8 tokens are read" in done.stderr
    passages = 10 + len(Collection.open(str(collection)))
    assert f"--k 99: there are {passages} passages to search, so R@99 is 1" in done.stderr
    assert f"measured on 2 questions of test among {passages} passages" in done.stdout
    assert "training on 8 questions: so few steps at a learning rate of" in done.stderr
    assert "Nothing can be concluded: training on 8 had too few steps" in done.stdout
