"""The wheel: the package, its data, the command, and the shipped models where there are any."""

from __future__ import annotations

import shutil
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

import dpr

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what a wheel is made of, without models."""
    root = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", "_models")
    shutil.copytree(ROOT / "src", root / "src", ignore=ignored)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, root / name)
    return root


def build(checkout: Path, version: str = "standard") -> ZipFile:
    [wheel] = WheelBuilder(str(checkout)).build(directory=str(checkout / "out"), versions=[version])
    return ZipFile(wheel)


def test_a_checkout_without_models_makes_a_whole_wheel(checkout: Path) -> None:
    with build(checkout) as wheel:
        names = set(wheel.namelist())
        source = checkout / "src"
        assert names >= {
            path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()
        }
        assert {"dpr/py.typed", "dpr/demo/questions.json"} <= names
        assert not [name for name in names if name.startswith("dpr/_models")]
        folder = f"dense_passage_retrieval-{dpr.__version__}.dist-info"
        assert "dpr = dpr.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()
        assert f"{folder}/licenses/LICENSE" in names


def test_models_lie_in_the_wheel_byte_for_byte(checkout: Path) -> None:
    model = checkout / "models" / "tiny" / "encoder"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(bytes(range(256)))
    with build(checkout) as wheel:
        stored = wheel.read("dpr/_models/tiny/encoder/model.safetensors")
        assert stored == bytes(range(256))


def test_an_editable_install_leaves_models_where_they_are(checkout: Path) -> None:
    (checkout / "models").mkdir()
    (checkout / "models" / "large").write_bytes(b"x")
    with build(checkout, "editable") as wheel:
        assert not [name for name in wheel.namelist() if "large" in name]
