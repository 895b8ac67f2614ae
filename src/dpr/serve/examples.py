"""A body for each operation that takes one, as OpenAPI and the reference show it.

Holds values and nothing else; the test sends each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WHO = "Who may sign?"
_TEXTS = ["The mayor signs.", "The river is long."]

EXAMPLES: Mapping[str, Any] = {
    "/v1/search": {"question": _WHO, "k": 5, "mode": "hybrid", "where": {"year": {">=": 1990}}},
    "/v1/answer": {"question": [_WHO, "Since when?"], "k": 5, "filters": ["year>=1990"]},
    "/v1/embeddings": {"input": [_WHO], "model": "dpr-mini", "input_type": "query"},
    "/": {"inputs": _WHO},
    "/embed": {"inputs": _TEXTS, "prompt_name": "passage", "normalize": True},
    "/rerank": {"query": _WHO, "texts": _TEXTS, "return_text": True},
    "/v1/rerank": {"query": _WHO, "documents": _TEXTS, "top_n": 1},
    "/v1/documents": {
        "documents": [
            {
                "id": "rules",
                "text": "The mayor signs.",
                "title": "Rules",
                "metadata": {"year": 2020},
            }
        ]
    },
}
