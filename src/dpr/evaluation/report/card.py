"""A section for a model card: ``model-index`` metadata, as the Hugging Face Hub reads it, and text.

The form is that of the Hub's model card specification (``modelcard.md`` in huggingface/hub-docs):
``results`` of a ``task``, a ``dataset`` and ``metrics``. JSON's strings and numbers are YAML.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from dpr.errors import InputError
from dpr.evaluation.records import Estimate, Evaluation, System
from dpr.evaluation.report.findings import Findings
from dpr.evaluation.report.markdown import footing, table

BASELINES = ("bm25", "untrained")
# What YAML does not allow as it is: control characters, and lone surrogates.
_UNPRINTABLE = re.compile("[\x7f-\x9f\ud800-\udfff\u2028\u2029\ufeff\ufffe\uffff]")


def model_card(evaluation: Evaluation, system: str | None = None) -> str:
    """Metadata and text about one system; put the metadata at the very top of the card.

    Args:
        system: its name; by default the first that is not the baseline.

    Raises:
        InputError: the evaluation has no such system.
    """
    place, chosen = _chosen(evaluation, system)
    found = Findings(evaluation)
    rows = [place, *(at for at, one in found.systems() if one.name == evaluation.baseline)]
    return "\n".join(
        [
            "---",
            *_metadata(evaluation, chosen),
            "---",
            "",
            "## Evaluation",
            "",
            *table(found, list(dict.fromkeys(rows))),
            "",
            footing(found),
            "",
        ]
    )


def _chosen(evaluation: Evaluation, name: str | None) -> tuple[int, System]:
    systems = list(enumerate(evaluation.systems))
    if name is not None:
        for place, one in systems:
            if one.name == name:
                return place, one
    elif systems:
        own = [
            (place, one)
            for place, one in systems
            if one.name != evaluation.baseline and one.kind not in BASELINES
        ]
        return (own or systems)[0]
    known = ", ".join(one.name for one in evaluation.systems) or "none"
    raise InputError(f"no system is named {name!r}; this evaluation has: {known}")


def _metadata(evaluation: Evaluation, system: System) -> Iterator[str]:
    """The lines of the front matter."""
    dataset = str(evaluation.questions.get("name") or "questions")
    yield "model-index:"
    yield f"- name: {_yaml(system.name)}"
    yield "  results:"
    yield from _result("information-retrieval", "Passage retrieval", dataset, system.measures)
    if system.reading is not None and system.reading.depths:
        last = system.reading.depths[-1]
        figures = {"exact_match": last.exact, "f1": last.f1}
        yield from _result("question-answering", "Extractive answers", dataset, figures)


def _result(task: str, title: str, dataset: str, figures: dict[str, Estimate]) -> Iterator[str]:
    known = {name: one for name, one in figures.items() if math.isfinite(one.value)}
    if not known:
        return
    yield f"  - task:\n      type: {task}\n      name: {title}"
    kind = re.sub(r"[^a-z0-9]+", "-", dataset.lower()).strip("-") or "questions"
    yield f"    dataset:\n      type: {_yaml(kind)}\n      name: {_yaml(dataset)}"
    yield "    metrics:"
    for name, one in known.items():
        yield f"    - type: {_yaml(name)}\n      value: {one.value!r}\n      name: {_yaml(name)}"


def _yaml(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda one: f"\\u{ord(one[0]):04x}", quoted)
