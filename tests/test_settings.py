from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from dpr.errors import SettingsError
from dpr.settings import load_settings, save_settings


@dataclass(frozen=True)
class Some:
    size: int = 3
    name: str = "é"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise SettingsError(f"size={self.size}; give at least 1")


def test_saved_settings_load_back(tmp_path: Path) -> None:
    save_settings(Some(5), tmp_path / "a.json")
    assert load_settings(Some, tmp_path / "a.json") == Some(5)
    assert load_settings(Some, tmp_path / "none.json") is None


def test_settings_that_cannot_be_written_leave_those_that_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    save_settings(Some(5), path)

    def full(self: Path, text: str, encoding: str) -> int:
        self.write_bytes(text[:3].encode(encoding))
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match="no space left"):
            save_settings(Some(6), path)
    assert load_settings(Some, path) == Some(5)
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"sise": 4}', "unknown key 'sise'; did you mean 'size'"),
        ('{"size": 0}', "give at least 1"),
        ("[]", "no JSON object"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_faulty_settings_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=message) as caught:
        load_settings(Some, path)
    assert str(path) in str(caught.value)
