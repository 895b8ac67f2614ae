"""What was found for questions, as a file: TREC's run, the original DPR's results, or JSON lines.

Takes ``Asked`` records as they come and writes them one by one; the file is whole or not there.
Knows nothing of how passages are found.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from dpr.errors import InputError, SettingsError
from dpr.questions.files import write_lines
from dpr.questions.results import write_results
from dpr.questions.runs import write_run
from dpr.records import Asked, Hit

HitFormat = Literal["trec", "results", "jsonl"]


def write_hits(
    path: str | os.PathLike[str],
    asked: Iterable[Asked],
    format: HitFormat,
    tag: str = "dpr",
) -> int:
    """Writes questions with their hits; memory holds one of them, and all their ids.

    Args:
        path: is replaced if it is there; gzipped if it ends in ``.gz``.
        asked: read once; nothing is left of a file where it fails.
        format: ``trec``, a run as trec_eval reads it (see ``dpr.questions.runs``: best score first,
            equal ones by passage id, descending); ``results``, the original DPR's JSON with titles
            and texts (see ``dpr.questions.results``); ``jsonl``, an object a line as ``dpr search
            --json`` shows them.
        tag: the name of the run, for ``trec``.

    Returns:
        how many questions were written.

    Raises:
        InputError: a question id that comes twice, a passage that comes twice for a question, or
            something that the format cannot hold, such as white space in ids of ``trec``; the file
            cannot be written.
        SettingsError: there is no such format.
    """
    path = Path(path)
    if format not in get_args(HitFormat):
        allowed = ", ".join(map(repr, get_args(HitFormat)))
        raise SettingsError(f"format={format!r}; allowed are {allowed}")
    checked = _Checked(asked, str(path))
    if format == "trec":
        write_run(path, ((one.question.id, _scores(one)) for one in checked), tag)
    elif format == "results":
        write_results(path, checked)
    else:
        write_lines(
            path,
            (
                json.dumps(_shape(one), ensure_ascii=False, allow_nan=False) + "\n"
                for one in checked
            ),
        )
    return len(checked.seen)


class _Checked:
    """The records, unless they are such that the file could not be read back."""

    def __init__(self, asked: Iterable[Asked], source: str) -> None:
        self._asked, self._source = asked, source
        self.seen: set[str] = set()

    def __iter__(self) -> Iterator[Asked]:
        for one in self._asked:
            if one.question.id in self.seen:
                raise InputError(
                    f"the question id {one.question.id!r} comes twice; give each question its own",
                    source=self._source,
                )
            self.seen.add(one.question.id)
            if len({hit.passage.id for hit in one.hits}) < len(one.hits):
                raise InputError(
                    f"a passage comes twice for the question {one.question.id!r}",
                    source=self._source,
                )
            if bad := next((hit for hit in one.hits if not math.isfinite(hit.score)), None):
                raise InputError(
                    f"the score of passage {bad.passage.id!r} for question {one.question.id!r} is "
                    f"{bad.score}; expected a finite number",
                    source=self._source,
                )
            yield one


def _scores(asked: Asked) -> dict[str, float]:
    return {hit.passage.id: hit.score for hit in asked.hits}


def _shape(asked: Asked) -> dict[str, Any]:
    hits = [hit_shape(hit) for hit in asked.hits]
    about = {"id": asked.question.id, "question": asked.question.text}
    return {**about, "version": asked.version, "hits": hits}


def hit_shape(hit: Hit) -> dict[str, Any]:
    """A hit as plain JSON values: ``start`` and ``end`` are character offsets in the document; a
    score or rank that there is none of is None."""
    passage = hit.passage
    return {
        "id": passage.id,
        "document": passage.document or passage.id,
        "title": passage.title,
        "section": passage.section,
        "text": passage.text,
        "source": passage.source,
        "start": passage.start,
        "end": passage.end,
        "metadata": dict(passage.metadata),
        "score": hit.score,
        "dense_score": hit.dense_score,
        "dense_rank": hit.dense_rank,
        "bm25_score": hit.bm25_score,
        "bm25_rank": hit.bm25_rank,
    }
