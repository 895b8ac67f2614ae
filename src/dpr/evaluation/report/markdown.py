"""An evaluation as a Markdown table, for a README."""

from __future__ import annotations

import re

from dpr.evaluation.records import Evaluation
from dpr.evaluation.report.findings import Findings
from dpr.evaluation.report.numbers import number

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&])")


def to_markdown(evaluation: Evaluation) -> str:
    """A table of measures with intervals and marks, and a line on what they are of."""
    found = Findings(evaluation)
    lines = table(found, [place for place, _ in found.systems()])
    return "\n".join([*lines, "", footing(found)]) + "\n"


def table(found: Findings, places: list[int]) -> list[str]:
    """The lines of a table of some of the systems."""
    measures = found.measures()
    units = [" (%)" if found.is_share(name) else "" for name in measures]
    heads = [f"{escaped(name)}{unit}" for name, unit in zip(measures, units, strict=True)]
    lines = [_row(["System", *heads]), _row([":--", *("--:" for _ in measures)])]
    for place in places:
        name = found.evaluation.systems[place].name
        lines.append(_row([escaped(name), *(_cell(found, place, one) for one in measures)]))
    return lines


def footing(found: Findings) -> str:
    """What the figures are of: questions, intervals, marks, date, versions."""
    evaluation, asked = found.evaluation, found.evaluation.questions
    said = []
    if "count" in asked:
        of = f" of {escaped(str(asked['name']))}" if asked.get("name") else ""
        said.append(f"{number(asked['count'], 'count')} questions{of}")
    said.append(f"{found.confidence()} intervals in brackets")
    if evaluation.baseline and evaluation.comparisons:
        said.append(
            f"▲ better and ▼ worse than {escaped(evaluation.baseline)}"
            f" (p < {evaluation.alpha:g}, Holm)"
        )
    if asked.get("made"):
        said.append("the questions were made from the documents, not asked by people")
    said.append(evaluation.created[:10])
    versions = {k: v for k, v in evaluation.environment.items() if isinstance(v, str | int | float)}
    said.append(", ".join(escaped(f"{name} {value}") for name, value in versions.items()))
    return "; ".join(one for one in said if one) + "."


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(found: Findings, place: int, measure: str) -> str:
    systems = found.evaluation.systems
    value = systems[place].measures.get(measure)
    if value is None:
        return "–"
    kind = found.kind(measure)
    figure, low, high = (number(one, kind).text for one in (value.value, value.low, value.high))
    known = [one.measures[measure].value for one in systems if measure in one.measures]
    if len(known) > 1 and value.value == max(known):
        figure = f"**{figure}**"
    difference = found.against_baseline(systems[place].name, measure)
    mark = f" {difference.mark}" if difference is not None and difference.mark else ""
    return f"{figure} [{low}, {high}]{mark}"
