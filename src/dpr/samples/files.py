"""Training samples: questions with their answers, gold passages and negatives.

Reads the DPR training JSON (one list, or one sample a line) and SQuAD JSON, plain or gzipped;
gives frozen records. Knows nothing of tokens, models or sampling order. ``dpr.samples.places``
reads the same with the place of each sample, and goes on after what is malformed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpr.corpus import Problems
from dpr.corpus.lines import LineDecoder, open_bytes
from dpr.errors import IdError, InputError, SettingsError
from dpr.questions.files import read_records
from dpr.samples.formats import (
    check_file,
    has_lines,
    has_list,
    load_json,
    squad_articles,
)

_KINDS = {dict: "an object", list: "a list", str: "a string", int: "a whole number"}


@dataclass(frozen=True, slots=True)
class Context:
    """A passage of a training sample.

    ``answers`` are (start, end) character offsets of the answers in the text, where the data
    gives them; where it does not, the reader's training looks the answer strings up. ``score`` is
    that of the retriever that found it, ``teacher_score`` that of a model to learn from; None
    where the data gives none.
    """

    text: str
    title: str = ""
    id: str = ""
    answers: tuple[tuple[int, int], ...] = ()
    score: float | None = None
    teacher_score: float | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What makes two contexts the same passage."""
        return self.title, self.text


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One question: passages that answer it and passages that do not.

    ``hard_negatives`` are those that a retriever ranked high; ``negatives`` any others. The
    original rule: train on the hard ones, on the others only where there are no hard ones.
    """

    question: str
    answers: tuple[str, ...]
    positives: tuple[Context, ...]
    negatives: tuple[Context, ...] = ()
    hard_negatives: tuple[Context, ...] = ()
    dataset: str = ""

    @property
    def best_negatives(self) -> tuple[Context, ...]:
        return self.hard_negatives or self.negatives


class MisplacedError(InputError):
    """An answer that does not stand where its sample says."""


@dataclass(slots=True)
class SampleCounts:
    """What reading met: samples read, samples left out because they have no positive passage, and
    those left out (``on_error="skip"``) because an answer does not stand where the file says; and
    of a BEIR folder what else was."""

    read: int = 0
    without_positive: int = 0
    misplaced: int = 0
    problems: Problems = field(default_factory=Problems)


def read_samples(
    path: str | Path,
    counts: SampleCounts | None = None,
    on_error: str = "raise",
    unanswerable: bool = False,
) -> Iterator[TrainingSample]:
    """Samples of a file: DPR JSON, DPR JSON lines, or SQuAD JSON, told apart by their content,
    as is whether it is gzipped.

    Samples without a positive passage are dropped, as in the original, and counted;
    ``unanswerable`` keeps those that have negatives, for a reader to learn silence from. With
    ``on_error="skip"`` so are those with an answer that does not stand at its offset.

    Raises:
        InputError: a file that is not UTF-8, or a record that is not what its format asks for;
            names the file and record.
    """
    path = Path(path)
    counts = counts if counts is not None else SampleCounts()
    if on_error not in ("raise", "skip"):
        raise SettingsError(f"on_error={on_error!r}; allowed are 'raise' and 'skip'")
    for sample in _read_any(path):
        if isinstance(sample, InputError):
            if on_error == "raise":
                raise skippable(sample)
            counts.misplaced += 1
        elif sample.positives or (unanswerable and sample.best_negatives):
            counts.read += 1
            yield sample
        else:
            counts.without_positive += 1


def skippable(error: InputError) -> InputError:
    """The error, with what to do where many are such."""
    told = type(error)(f"{error}. To leave out all that are such: --on-error skip")
    told.source, told.line = error.source, error.line
    if isinstance(told, IdError) and isinstance(error, IdError):
        told.ids = error.ids
    return told


def _read_any(path: Path) -> Iterator[TrainingSample | InputError]:
    check_file(path)
    if has_lines(path):
        yield from _read_lines(path)
        return
    if has_list(path):
        for number, (_, record) in enumerate(read_records(path), 1):
            yield sample_from_json(record, path, f"record {number}")
        return
    for _, _, found in squad_samples(squad_articles(path), path):
        if isinstance(found, InputError) and not isinstance(found, MisplacedError):
            raise found
        yield found


def _read_lines(path: Path) -> Iterator[TrainingSample]:
    decode = LineDecoder(path)
    with open_bytes(path) as stream:
        for raw in decode.raw_lines(stream):
            line, number = decode(raw), decode.number
            if line.strip():
                yield sample_from_json(load_json(line, path, number), path, f"line {number}")


def sample_from_json(record: Any, path: Path, where: str) -> TrainingSample:
    source = f"{path}, {where}"
    if not isinstance(record, Mapping) or not isinstance(record.get("question"), str):
        raise InputError(
            f"expected an object with a 'question' string, found {str(record)[:60]!r}",
            source=source,
        )

    def contexts(key: str) -> tuple[Context, ...]:
        given = record.get(key) or []
        if not isinstance(given, list):
            raise InputError(f"{key!r} is not a list", source=source)
        return tuple(_context(one, key, source) for one in given)

    answers = record.get("answers") or []
    if not isinstance(answers, list) or not all(isinstance(a, str) for a in answers):
        raise InputError("'answers' is not a list of strings", source=source)
    return TrainingSample(
        record["question"],
        tuple(answers),
        contexts("positive_ctxs"),
        contexts("negative_ctxs"),
        contexts("hard_negative_ctxs"),
        str(record.get("dataset", "")),
    )


def _context(given: Any, key: str, source: str) -> Context:
    if not isinstance(given, Mapping) or not isinstance(given.get("text"), str):
        raise InputError(f"a passage under {key!r} has no 'text' string", source=source)
    text, title = given["text"], given.get("title")
    if title is not None and not isinstance(title, str):
        raise InputError(f"the title of a passage under {key!r} is not a string", source=source)
    identity = given.get("passage_id") or given.get("psg_id") or ""
    spans = _answer_spans(given.get("answer_spans") or [], text, source)
    scores = [_score(given.get(name), name, source) for name in ("score", "teacher_score")]
    return Context(text, title or "", str(identity), spans, *scores)


def _score(given: Any, name: str, source: str) -> float | None:
    """A finite number; some published files hold it as a string."""
    if given is None:
        return None
    try:
        if isinstance(given, bool):
            raise ValueError
        score = float(given)
        if not math.isfinite(score):
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(
            f"{name!r} of a passage is {str(given)[:40]!r}; give a finite number, or leave it out",
            source=source,
        ) from None
    return score


def _answer_spans(given: Any, text: str, source: str) -> tuple[tuple[int, int], ...]:
    spans = []
    for span in given if isinstance(given, list) else [given]:
        if not isinstance(span, list) or [type(one) for one in span] != [int, int]:
            raise InputError(
                f"'answer_spans' must be a list of pairs of whole numbers, [start, end]; found "
                f"{str(span)[:60]}",
                source=source,
            )
        start, end = span
        if not 0 <= start < end <= len(text):
            raise MisplacedError(
                f"answer span {start}–{end} lies outside its passage of {len(text)} characters",
                source=source,
            )
        spans.append((start, end))
    return tuple(spans)


def squad_samples(
    articles: list[Any], path: Path
) -> Iterator[tuple[str, bool, TrainingSample | InputError]]:
    """One sample a question, or the error in its place; other paragraphs are left to the batch as
    negatives. Gives the place, and whether the question is said to be unanswerable."""
    for at, article in enumerate(articles):
        for where, paragraph in _members(article, "paragraphs", f"data[{at}]", path):
            for place, qa in _members(paragraph, "qas", where, path):
                found: TrainingSample | InputError
                try:
                    if isinstance(qa, InputError):
                        raise qa
                    title = str(article.get("title", "")).replace("_", " ")
                    found = _squad_sample(qa, paragraph, title, f"{path}, {place}")
                except InputError as error:
                    found = error
                impossible = isinstance(qa, Mapping) and bool(qa.get("is_impossible"))
                yield place, impossible, found


def _members(value: Any, key: str, place: str, path: Path) -> Iterator[tuple[str, Any]]:
    """The members of a list under a key, with their places; the error where there is none."""
    if isinstance(value, InputError):
        yield place, value
        return
    try:
        members = _field(value, key, list, f"{path}, {place}")
    except InputError as error:
        yield place, error
    else:
        yield from ((f"{place}.{key}[{at}]", one) for at, one in enumerate(members))


def _squad_sample(qa: Any, paragraph: Any, title: str, source: str) -> TrainingSample:
    question = _field(qa, "question", str, source)
    text = _field(paragraph, "context", str, source, "its paragraph")
    spans, answers = [], []
    for at, answer in enumerate(_field(qa, "answers", list, source) if "answers" in qa else ()):
        said = _field(answer, "text", str, source, f"answers[{at}]")
        start = _field(answer, "answer_start", int, source, f"answers[{at}]")
        end = start + len(said)
        if text[start:end] != said:
            raise MisplacedError(
                f"question {qa.get('id')!r}: the answer {said!r} does not stand at "
                f"character {start}, where {text[start:end]!r} does",
                source=source,
            )
        answers.append(said)
        if end > start:
            spans.append((start, end))
    passage = Context(text, title, "", tuple(dict.fromkeys(spans)))
    impossible = bool(qa.get("is_impossible"))
    return TrainingSample(
        question,
        tuple(dict.fromkeys(answers)),
        () if impossible else (passage,),
        (passage,) if impossible else (),
    )


def _field(value: Any, key: str, kind: type, source: str, owner: str = "") -> Any:
    """What stands under a key of SQuAD JSON, where it is of the type that SQuAD has there."""
    of = f" of {owner}" if owner else ""
    if not isinstance(value, Mapping):
        found = f"{owner} is" if owner else "found"
        what = f"{found} {_told(value)}; expected an object with {key!r}"
    elif key not in value:
        what = f"{key!r}{of} is missing; expected {_KINDS[kind]}"
    elif type(value[key]) is not kind:
        what = f"{key!r}{of} is {_told(value[key])}; expected {_KINDS[kind]}"
    else:
        return value[key]
    raise InputError(f"not SQuAD's layout: {what}", source=source)


def _told(value: Any) -> str:
    """The beginning of how JSON writes a value; before it the type, where that is not plain."""
    name = _KINDS[type(value)] if isinstance(value, dict | list | str) else ""
    return f"{name} {json.dumps(value)[:40]}".lstrip()


def sample_to_json(sample: TrainingSample) -> dict[str, Any]:
    """The DPR training JSON record of a sample; ``answer_spans`` and scores only where known."""

    def contexts(many: tuple[Context, ...]) -> list[dict[str, Any]]:
        return [
            {"title": c.title, "text": c.text, "passage_id": c.id}
            | ({"answer_spans": [list(span) for span in c.answers]} if c.answers else {})
            | ({} if c.score is None else {"score": c.score})
            | ({} if c.teacher_score is None else {"teacher_score": c.teacher_score})
            for c in many
        ]

    return {
        "dataset": sample.dataset,
        "question": sample.question,
        "answers": list(sample.answers),
        "positive_ctxs": contexts(sample.positives),
        "negative_ctxs": contexts(sample.negatives),
        "hard_negative_ctxs": contexts(sample.hard_negatives),
    }
