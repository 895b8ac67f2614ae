"""Samples about rivers, each sound and like no other, and what the doctor tells of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dpr.samples.doctor import DoctorSettings, diagnose

Record = dict[str, Any]
HARD = "hard_negative_ctxs"
RIVERS = "Alva Brenta Cerna Drava Elorn Fulda Garda Havel Isonzo Jalon Kupa Lesum".split()
SOURCES = (
    "Arber Bodele Cimone Dufour Eiger Finster Gotthard Hochkar Iseran Jenner Kepler Lauber".split()
)


def text_of(at: int) -> str:
    return (
        f"Travellers who follow the {RIVERS[at]} upwards reach a spring below mount {SOURCES[at]}, "
        f"where shepherds of parish {RIVERS[-at - 1]}ville have kept watch over their many flocks "
        f"since the winter in which bishop {SOURCES[-at - 1]} built his chapel of chestnut wood. "
        f"Every {at + 3} years they carry its bell down to the market place and back, singing."
    )


def record(at: int) -> Record:
    """A sound sample: its negatives are the passages of three others."""
    negatives = [(at + step) % len(RIVERS) for step in (1, 2, 5)]
    return {
        "question": f"Below which mount does the river {RIVERS[at]} have its spring?",
        "answers": [f"mount {SOURCES[at]}"],
        "positive_ctxs": [{"title": RIVERS[at], "text": text_of(at), "passage_id": f"p{at}"}],
        HARD: [{"title": RIVERS[n], "text": text_of(n), "score": "7.5"} for n in negatives],
        "more": {"kept": [at, 1.5, None]},
    }


def write(path: Path, records: list[Any]) -> Path:
    lines = (one if isinstance(one, str) else json.dumps(one) for one in records)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def told(path: Path, *, tests: list[Path] | None = None, **options: Any) -> list[tuple[str, ...]]:
    settings = DoctorSettings(**options) if options else None
    found = diagnose([path], settings, tests or [], examples=None)
    findings = [one for kind in found.found for one in kind.examples]
    assert sum(one.count for one in found.found) == len(findings)
    return [(one.kind, one.place, one.part) for one in findings]
