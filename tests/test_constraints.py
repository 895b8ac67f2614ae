"""constraints.txt pins all that `make install` installs, and names no place to get it from."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = "dense-passage-retrieval"


def pins() -> dict[str, str]:
    """The lines of the file, which are comments or ``name==version``."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        if not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.]*)", line)
            assert match, f"{line!r} is not name==version"
            found[canonicalize_name(match[1])] = match[2]
    return found


def direct() -> list[Requirement]:
    """What pyproject.toml names: to build, to run, and in every extra."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        tables = tomllib.load(file)
    lists = [
        tables["build-system"]["requires"],
        tables["project"]["dependencies"],
        *tables["project"]["optional-dependencies"].values(),
    ]
    return [Requirement(text) for texts in lists for text in texts]


def reached(wanted: list[Requirement]) -> Iterator[str]:
    """The packages that these bring along. The CUDA build of torch pins its own: not entered."""
    seen: set[tuple[str, str]] = set()
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if name == PROJECT or (name, extra) in seen:
                continue
            seen.add((name, extra))
            yield name
            wanted += [
                inner
                for inner in map(Requirement, requires(name) or [])
                if name != "torch" and (not inner.marker or inner.marker.evaluate({"extra": extra}))
            ]


def test_pins_allow_what_the_project_requires() -> None:
    pinned = pins()
    for requirement in direct():
        if requirement.name != PROJECT:
            version = pinned[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), requirement


def test_all_that_comes_along_is_pinned() -> None:
    needed = set(reached(direct()))
    assert {"transformers", "pillow"} <= needed  # of ours, and of matplotlib's
    assert needed - set(pins()) == set()
