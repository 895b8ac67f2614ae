"""The card of a trained model, from what its run was asked for and what it measured.

Takes the description of a run and measures, gives the text of a ``README.md`` with the metadata
that model hubs read. Says nothing that the run does not know: licence, use and limits are for a
person to add. Knows nothing of models or files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

TAGS = {"retriever": "dense-retrieval", "reader": "question-answering"}


def measured_on(questions: int, passages: int) -> str:
    """What measures of a retriever depend on: the more passages, the harder each is to find."""
    return f"measured on {questions:,} questions among {passages:,} passages"


def model_card(
    description: Mapping[str, Any], measures: Mapping[str, float], measured: str = ""
) -> str:
    """The card as Markdown.

    Args:
        description: what the run is continued with: ``trained``, ``data``, ``start``, settings.
        measures: of this model on the dev set, the deciding one first; may be empty.
        measured: see ``measured_on``; of a reader nothing.
    """
    trained = str(description.get("trained", "model"))
    lines = [
        "---",
        "library_name: dense-passage-retrieval",
        f"tags: [dpr, {TAGS.get(trained, trained)}]",
        "---",
        "",
        f"# A {trained} trained with Dense Passage Retrieval",
        "",
        *_start(description.get("start")),
        *_data(description.get("data", {})),
        *_measures(measures, measured),
        *_settings(description),
    ]
    return "\n".join(lines)


def _start(start: Any) -> Iterator[str]:
    if isinstance(start, Mapping):
        yield "## Start"
        yield ""
        yield "SHA-256 of the weights that training began with:"
        yield ""
        yield from (f"- {name}: `{value}`" for name, value in start.items() if value)
        yield ""


def _data(data: Mapping[str, Any]) -> Iterator[str]:
    yield "## Data"
    yield ""
    for part, files in data.items():
        if isinstance(files, list):
            yield from (f"- {part}: {one['name']} (SHA-256 `{one['sha256']}`)" for one in files)
        else:
            yield f"- {part}: `{json.dumps(files, ensure_ascii=False)}`"
    yield ""


def _measures(measures: Mapping[str, float], measured: str) -> Iterator[str]:
    if not measures:
        return
    yield "## Measured on the dev samples"
    yield ""
    if measured:
        yield f"{measured.capitalize()}."
        yield ""
    yield f"The first, {next(iter(measures))}, decides which model of a run is its best."
    yield ""
    yield "| measure | value |"
    yield "|---|---|"
    yield from (f"| {name} | {value:.4g} |" for name, value in measures.items())
    yield ""


def _settings(description: Mapping[str, Any]) -> Iterator[str]:
    yield "## Settings"
    yield ""
    yield "| setting | value |"
    yield "|---|---|"
    for stage in ("retriever", "reader", "refresh", "loop"):
        for name, value in (description.get(stage) or {}).items():
            yield f"| {stage}.{name} | {json.dumps(value)} |"
    if "tied" in description:
        yield f"| tied | {json.dumps(description['tied'])} |"
    yield ""
