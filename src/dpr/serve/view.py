"""What the page shows of a result: numbers and offsets turned into words, the answers marked.

Takes a result as ``/v1/answer`` or ``/v1/search`` gives it; gives plain texts, which are not HTML.
The page's script makes the same (``view`` in ``static/page.mjs``). Knows nothing of templates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from dpr.serve.marking import Span, pieces

_HOW = {"dense": "by vectors", "bm25": "by words", "hybrid": "by vectors and words"}
_Shape = Mapping[str, Any]


def view(result: _Shape, collection: str, milliseconds: float) -> dict[str, Any]:
    """What is shown of a result.

    Args:
        collection: its name.
        milliseconds: that it took.
    """
    answers: Sequence[_Shape] = result.get("answers", ())
    best = answers[0] if answers else None
    hits = [
        _hit(hit, number, answers, result, collection)
        for number, hit in enumerate(result["hits"], 1)
    ]
    others = ", ".join(f"{_apart(one['text'])} ({_percent(one['score'])})" for one in answers[1:])
    facts = [
        f"{len(hits)} {'passage' if len(hits) == 1 else 'passages'} {_HOW[result['mode']]}",
        f"{math.floor(milliseconds + 0.5)} ms",
        f"{_apart(collection)}, version {result['index_version']}",
        _apart(result["model_id"]),
    ]
    if result["truncated"]:
        facts.append("the question was longer than the model reads: its end was left out")
    answer, sure = _answer(result, best)
    ids = [hit["id"] for hit in result["hits"]]
    source = hits[ids.index(best["passage_id"])] if best and best["passage_id"] in ids else None
    return {
        "answer": answer,
        "sure": sure,
        "from": f"from {_apart(source['title'])}" if source else "",
        "from_href": f"#{source['anchor']}" if source else "",
        "others": f"Or: {others}" if others else "",
        "found": best is not None,
        "hits": hits,
        "facts": " · ".join(facts),
    }


def _answer(result: _Shape, best: _Shape | None) -> tuple[str, str]:
    """What stands large, and what is said below it."""
    if best is not None:
        return best["text"], f"{_percent(best['score'])} sure"
    if "answers" in result:
        return (
            "No answer was found",
            "None of the passages answers this convincingly. The nearest are below.",
        )
    return "The nearest passages", "This server only searches."


def _hit(
    hit: _Shape, number: int, answers: Sequence[_Shape], result: _Shape, collection: str
) -> dict[str, Any]:
    own = [one for one in answers if one["passage_id"] == hit["id"]]
    first = own[0] if own else None
    spans = [Span(one["start"], one["end"], one is answers[0]) for one in own]
    characters = f"characters {hit['start']}–{hit['end']}"
    places = [hit["section"], hit["source"], f"passage {hit['id']}", characters]
    link = {"passage": hit["id"], "version": result["index_version"]}
    if first is not None:
        link |= {"start": first["start"], "end": first["end"]}
        reader = (
            f"relevance {first['relevance']:.3f}; span {first['span_score']:.3f}; "
            f"{_percent(first['score'])} sure"
        )
    else:
        reader = "gives no answer from here" if "answers" in result else "not asked"
    return {
        "anchor": f"p{number}",
        "title": hit["title"] or hit["document"],
        "place": " · ".join(_apart(one) for one in places if one),
        "pieces": pieces(hit["text"], spans),
        "retriever": _retriever(hit),
        "reader": reader,
        "href": f"/document?{urlencode(link)}#passage",
        "citation": _citation(hit, first, result["index_version"], collection),
    }


def _retriever(hit: _Shape) -> str:
    parts = []
    for by, name in (("vectors", "dense"), ("words", "bm25")):
        score, rank = hit[f"{name}_score"], hit[f"{name}_rank"]
        if score is not None:
            parts.append(f"by {by} {score:.3f}" + ("" if rank is None else f", place {rank}"))
    return f"{hit['score']:.3f}" + (f" ({'; '.join(parts)})" if parts else "")


def _citation(hit: _Shape, answer: _Shape | None, version: int, collection: str) -> str:
    quoted = f"“{answer['text']}” — " if answer else ""
    start = answer["document_start"] if answer else hit["start"]
    end = answer["document_end"] if answer else hit["end"]
    title = f"“{hit['title']}”" if hit["title"] else ""
    about = [title, hit["section"], hit["source"], f"document {hit['document']}"]
    named = ", ".join(one for one in about if one)
    return (
        f"{quoted}{named}, characters {start}–{end}. "
        f"{collection}, version {version}, passage {hit['id']}."
    )


def _apart(text: str) -> str:
    """A text that keeps its direction to itself, and its neighbours theirs."""
    return f"\u2068{text}\u2069"


def _percent(share: float) -> str:
    return f"{math.floor(100 * share + 0.5)}%"
