"""The JSON that ``search``, ``ask`` and ``demo`` give: records to plain dictionaries.

Offsets are in characters: a hit's ``start`` and ``end`` into its source document, an answer's into
the passage, its ``document_start`` and ``document_end`` into the source document. What hits are is
said in ``dpr.interchange.hits``.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from dpr.interchange.hits import hit_shape
from dpr.records import Asked


def asked_shape(asked: Asked, *, answers: bool) -> dict[str, Any]:
    """A line of output; ``answers`` only where there was a reader to give any."""
    shape: dict[str, Any] = {"id": asked.question.id, "question": asked.question.text}
    if answers:
        shape["answers"] = [asdict(answer) for answer in asked.answers]
    return shape | {"version": asked.version, "hits": [hit_shape(hit) for hit in asked.hits]}
