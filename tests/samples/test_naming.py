from __future__ import annotations

from pathlib import Path

import pytest

from dpr.samples.naming import short_names


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a/squad.json"], ["squad"]),
        (["squad.test.json", "squad.dev.json"], ["squad.test", "squad.dev"]),
        (["mined.jsonl.gz", "other.json.gz"], ["mined", "other"]),
        (["a/test.json", "b/test.json", "b/dev.json"], ["a/test", "b/test", "dev"]),
        (["a/x/test.json", "b/x/test.json"], ["a/x/test", "b/x/test"]),
        (["tt/test.json", "test.json"], ["tt/test", "work/test"]),
        (["train.json", "train.jsonl.gz"], ["train.json", "train.jsonl.gz"]),
        (["train.json", "a/train.json", "a/train.gz"], ["train", "train.json", "train.gz"]),
        (["a.json", "b/../a.json"], ["a", "a"]),
    ],
)
def test_names_tell_files_apart(
    files: list[str], names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert short_names([Path(file) for file in files]) == names
