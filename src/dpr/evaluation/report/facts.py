"""What it takes to repeat an evaluation: settings, versions and fingerprints, as they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dpr.evaluation.report.findings import Findings
from dpr.evaluation.report.numbers import Name, number, pointer, words
from dpr.evaluation.report.parts import Block, Cell, Facts, Section


def facts_section(found: Findings) -> Section | None:
    """One list for the questions, the evaluation, each system and the environment."""
    evaluation = found.evaluation
    groups: list[tuple[Cell, dict[str, Any], str]] = [
        ("Questions", evaluation.questions, pointer("questions")),
        ("Evaluation", evaluation.settings, pointer("settings")),
    ]
    for place, system in found.systems():
        title = words("{}", Name(system.name))
        if system.kind != system.name:
            title = words("{} ({})", Name(system.name), system.kind)
        groups.append((title, system.settings, pointer("systems", place, "settings")))
    groups.append(("Environment", evaluation.environment, pointer("environment")))
    blocks: list[Block] = [
        Facts(title, tuple(flat(values, at))) for title, values, at in groups if values
    ]
    if not blocks:
        return None
    lead = "Settings and fingerprints, as evaluation.json has them."
    return Section("repeat", "To repeat it", lead, tuple(blocks))


def flat(value: Any, at: str, name: str = "") -> Iterator[tuple[str, Cell]]:
    """Nested settings as names and values: ``model.pooling``; plain lists in one."""
    if isinstance(value, list | tuple) and value and not any(map(_nested, value)):
        cells = [_plain(one, at + pointer(place)) for place, one in enumerate(value)]
        yield name, words(", ".join(["{}"] * len(cells)), *cells)
    elif _nested(value) and value:
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in inner:
            yield from flat(one, at + pointer(key), f"{name}.{key}" if name else str(key))
    else:
        yield name, _plain(value, at)


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list | tuple)


def _plain(value: Any, at: str) -> Cell:
    if isinstance(value, bool | int | float):
        return number(value, "raw", at)
    return "none" if value is None or _nested(value) else str(value)
