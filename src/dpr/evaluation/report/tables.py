"""The figures of an evaluation as CSV: UTF-8, a heading line, full values, empty where unknown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dpr.evaluation.records import Estimate, Evaluation
from dpr.evaluation.report.files import write_text


def write_csv(evaluation: Evaluation, folder: str | Path) -> list[Path]:
    """Writes ``measures.csv``, ``comparisons.csv`` and ``questions.csv``; gives their paths.

    Raises:
        InputError: a file cannot be written.
    """
    tables = {
        "measures.csv": _measures(evaluation),
        "comparisons.csv": _comparisons(evaluation),
        "questions.csv": _questions(evaluation),
    }
    return [write_text(Path(folder) / name, _csv(rows)) for name, rows in tables.items()]


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _measures(evaluation: Evaluation) -> Iterator[list[Any]]:
    """A row for each measure of each system; the reader's have the passages read as their depth."""
    yield ["system", "kind", "measure", "depth", "value", "low", "high", "questions"]
    for system in evaluation.systems:
        rows: list[tuple[str, int | str, Estimate]] = [
            (name, "", value) for name, value in system.measures.items()
        ]
        if system.reading is not None:
            for one in system.reading.depths:
                rows += [("EM", one.depth, one.exact), ("F1", one.depth, one.f1)]
            last = system.reading.depths[-1].depth if system.reading.depths else ""
            rows.append(("oracle", last, system.reading.oracle))
        for name, depth, value in rows:
            figures = [value.value, value.low, value.high, value.questions]
            yield [system.name, system.kind, name, depth, *figures]


def _comparisons(evaluation: Evaluation) -> Iterator[list[Any]]:
    names = "measure system other difference low high p p_holm effect wins losses ties".split()
    yield names
    for one in evaluation.comparisons:
        yield [getattr(one, name) for name in names]


def _questions(evaluation: Evaluation) -> Iterator[list[Any]]:
    """A row for each question and system, a column for each measure."""
    by_system = evaluation.per_question
    measures = list(dict.fromkeys(name for one in by_system.values() for name in one))
    yield ["question", "text", "system", *measures]
    texts = evaluation.question_texts or [""] * len(evaluation.question_ids)
    for place, (question, text) in enumerate(zip(evaluation.question_ids, texts, strict=True)):
        for system, values in by_system.items():
            cells = (_at(values.get(name, ()), place) for name in measures)
            yield [question, text, system, *cells]


def _at(values: tuple[float | None, ...], place: int) -> float | None:
    return values[place] if place < len(values) else None
