"""Runs as TREC writes them: ``question Q0 passage rank score tag``, a line for each passage found.

Takes a path; gives scores by question and passage. As in trec_eval, the score decides the order:
the rank, the second column and the tag are passed over. Fields are set apart by ASCII white space.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dpr.corpus.lines import LineDecoder, open_bytes
from dpr.errors import InputError
from dpr.questions.files import write_lines
from dpr.questions.trec import check_word


def read_run(path: str | Path) -> dict[str, dict[str, float]]:
    """A run: question id -> passage id -> score, in the order of the file. Plain or gzipped.

    Raises:
        InputError: the file cannot be read or is empty; a line has not six columns, a score that
            is no finite number, or a passage that came before for its question; names the line.
    """
    path = Path(path)
    run: dict[str, dict[str, float]] = {}
    name, scores = b"", dict[str, float]()
    with open_bytes(path) as stream:
        decode = LineDecoder(path)
        for raw in decode.raw_lines(stream):
            decode(raw)  # for what it refuses: str.split would also cut at U+00A0 within an id
            fields = raw.split()
            if len(fields) != 6:
                if fields:
                    raise _bad_columns(decode, fields)
                continue
            if fields[0] != name:
                name = fields[0]
                scores = run.setdefault(name.decode(), {})
            passage = fields[2].decode()
            if passage in scores:
                raise InputError(
                    f"passage {passage!r} comes twice for question {name.decode()!r}; keep one",
                    source=decode.source,
                    line=decode.number,
                )
            scores[passage] = _score(fields[4], decode)
    if not run:
        raise InputError("the run is empty; expected TREC's six columns", source=str(path))
    return run


def _bad_columns(decode: LineDecoder, fields: list[bytes]) -> InputError:
    shown = b" ".join(fields)[:60].decode(errors="replace")
    return InputError(
        f"{len(fields)} columns, {shown!r}; a run has six, set apart by white space: question Q0 "
        "passage rank score tag (ids cannot hold white space)",
        source=decode.source,
        line=decode.number,
    )


def _score(text: bytes, decode: LineDecoder) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    # float() takes 1_000, which other tools read as 1.
    if not math.isfinite(score) or b"_" in text:
        raise InputError(
            f"the score is {text.decode()!r}; expected a finite number",
            source=decode.source,
            line=decode.number,
        )
    return score


def write_run(
    path: str | Path,
    run: Mapping[str, Mapping[str, float]] | Iterable[tuple[str, Mapping[str, float]]],
    tag: str = "dpr",
) -> None:
    """Write a run, best passages first, ranks from 1; of pairs, memory holds one at a time.

    Equal scores are ordered as trec_eval orders them: by passage id, descending. Scores are
    written in full, so that reading gives the same numbers. A question without passages has no
    line, and is not there when the run is read.

    Raises:
        InputError: an id or the tag holds white space or is empty, or a score is not finite.
    """
    path = Path(path)
    check_word(tag, "the tag", "replace it, by a hyphen for example", str(path))
    pairs = run.items() if isinstance(run, Mapping) else run
    write_lines(path, _lines(pairs, tag, str(path)))


def _lines(run: Iterable[tuple[str, Mapping[str, float]]], tag: str, source: str) -> Iterator[str]:
    remedy = "replace it in the ids of the collection and of the judgements alike, or use results"
    for question, scores in run:
        check_word(question, "the question id", remedy, source)
        # Code points order as the bytes of UTF-8 do, which trec_eval compares.
        ranked = sorted(scores.items(), key=lambda one: (one[1], one[0]), reverse=True)
        for rank, (passage, score) in enumerate(ranked, 1):
            check_word(passage, "the passage id", remedy, source)
            if not math.isfinite(score):
                raise InputError(
                    f"the score of passage {passage!r} for question {question!r} is {score}; "
                    "a run holds finite numbers",
                    source=source,
                )
            yield f"{question} Q0 {passage} {rank} {float(score)!r} {tag}\n"
