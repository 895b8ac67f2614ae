"""What systems found to figures: measures, comparisons, examples and words as one ``Evaluation``.

Takes hits and readings of systems for the same questions. What a figure means is said where it is
made: in ``dpr.evaluation``. Knows nothing of collections, files or models.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from dpr.errors import InputError, SettingsError
from dpr.evaluation import wording
from dpr.evaluation.examples import examples
from dpr.evaluation.judged import judge
from dpr.evaluation.levels import Judged, scores
from dpr.evaluation.matching import Matcher
from dpr.evaluation.outcomes import Given, ReadQuestion, reading
from dpr.evaluation.records import Comparison, Estimate, Evaluation, Example, System
from dpr.evaluation.settings import StatisticsSettings
from dpr.evaluation.statistics import compare_all, estimate
from dpr.pipeline.systems import Found
from dpr.reading import combine
from dpr.records import Hit, QuestionSet

JUDGED_MEASURES = (
    "nDCG@10",
    "RR@10",
    "AP",
    "R@20",
    "R@100",
    "Success@1",
    "Success@5",
    "Success@20",
)
ACCURACY = (1, 5, 20, 100)
READ_DEPTHS = (1, 2, 5, 10, 20, 50)
CURVE = (1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 500, 1000)
CANDIDATES = 1000  # more than any reader gives


@dataclass(frozen=True, slots=True)
class EvaluationSettings:
    """What is measured, and how.

    Attributes:
        depth: hits of a question that are looked at.
        measures: of judgements, as ir_measures names them; the first decides. Empty: those of
            ``JUDGED_MEASURES`` that the depth allows.
        accuracy: k of the answer accuracy (a passage among the first k holds an accepted answer).
        regex: answers are regular expressions, as in CuratedTREC.
        read: hits that a collection's reader reads, the depth at most; 0 for none.
        examples: wins, and losses, that are shown of each comparison.
        statistics: intervals and tests.
    """

    depth: int = 100
    measures: tuple[str, ...] = ()
    accuracy: tuple[int, ...] = ACCURACY
    regex: bool = False
    read: int = 10
    examples: int = 5
    statistics: StatisticsSettings = field(default_factory=StatisticsSettings)

    def __post_init__(self) -> None:
        if self.depth < 1:
            raise SettingsError(f"depth={self.depth}; give at least 1")
        if self.read < 0:
            raise SettingsError(f"read={self.read}; give 0 or more")
        if not self.accuracy or min(self.accuracy) < 1:
            raise SettingsError(f"accuracy={self.accuracy}; give one k or more, each at least 1")
        if min(self.accuracy) > self.depth:
            raise SettingsError(f"accuracy={self.accuracy} looks deeper than depth={self.depth}")
        if deep := [one for one in self.measures if _depth_of(one) > self.depth]:
            raise SettingsError(
                f"{', '.join(deep)} look deeper than depth={self.depth}; give a depth of "
                f"{max(map(_depth_of, deep))}"
            )

    @property
    def judged(self) -> tuple[str, ...]:
        """The measures of judgements."""
        usual = (one for one in JUDGED_MEASURES if _depth_of(one) <= self.depth)
        return self.measures or tuple(usual)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """The figures of one system, question by question, and what became of its answers."""

    values: dict[str, list[float | None]]
    curve: list[tuple[int, list[float | None]]]
    read: list[ReadQuestion]
    depths: tuple[int, ...]


def assemble(
    found: Sequence[Found],
    asked: QuestionSet,
    judged: Judged | None,
    baseline: str,
    settings: EvaluationSettings,
    title: str,
    source: str,
) -> Evaluation:
    matchers = [Matcher(q.answers, settings.regex) if q.answers else None for q in asked.questions]
    texts = _have_texts(found)
    sheets = {
        one.name: _sheet(one, asked, judged, matchers if texts[one.name] else [], settings)
        for one in found
    }
    values = {name: sheet.values for name, sheet in sheets.items()}
    measures = list(dict.fromkeys(m for sheet in values.values() for m in sheet))
    if not measures:
        raise InputError(
            f"the questions of {asked.name} have answers, but no system has the texts of its "
            "passages; name a collection before the runs, or give documents"
        )
    main = measures[0]
    statistics = settings.statistics
    systems = tuple(_system(one, sheets[one.name], statistics) for one in found)
    comparisons = tuple(
        comparison if measure in {main, "EM"} else replace(comparison, differences=())
        for measure in measures
        if sum(measure in sheet for sheet in values.values()) > 1
        for comparison in compare_all(
            {name: sheet[measure] for name, sheet in values.items() if measure in sheet},
            measure,
            baseline if measure in values.get(baseline, {}) else "",
            statistics,
        )
    )
    questions = _about(asked, source)
    return Evaluation(
        title=title or f"{', '.join(one.name for one in found)} on {asked.name}",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        questions=questions,
        settings=asdict(settings) | {"level": judged.level if judged else "", "baseline": baseline},
        environment=_environment(),
        baseline=baseline,
        main_measure=main,
        systems=systems,
        comparisons=comparisons,
        examples=tuple(_examples(found, asked, sheets, matchers, comparisons, main, settings)),
        summary=wording.summary(questions, systems, comparisons, main, statistics.confidence),
        notes=_notes(found, judged, settings),
        question_ids=tuple(q.id for q in asked.questions),
        question_texts=tuple(q.text for q in asked.questions),
        per_question={
            name: {measure: tuple(row) for measure, row in sheet.items()}
            for name, sheet in values.items()
        },
        confidence=statistics.confidence,
        alpha=wording.SIGNIFICANT,
    )


def _have_texts(found: Sequence[Found]) -> dict[str, bool]:
    """Whether a system's passages have texts; one that found nothing has all it needs."""
    return {
        one.name: any(h.passage.text for hits in one.hits for h in hits) or not any(one.hits)
        for one in found
    }


def _sheet(
    one: Found,
    asked: QuestionSet,
    judged: Judged | None,
    matchers: Sequence[Matcher | None],
    settings: EvaluationSettings,
) -> _Sheet:
    values: dict[str, list[float | None]] = {}
    curve: list[tuple[int, list[float | None]]] = []
    ks = [k for k in CURVE if k <= settings.depth]
    if judged is not None:
        figures = _judged(one, asked, judged, [*settings.judged, *(f"Success@{k}" for k in ks)])
        values |= {name: figures[name] for name in settings.judged}
        curve = [(k, figures[f"Success@{k}"]) for k in ks]
    ranks: list[int | None] = []
    if any(matchers):
        ranks = [
            None if matcher is None else _first_match(matcher, hits)
            for matcher, hits in zip(matchers, one.hits, strict=True)
        ]
        for k in (k for k in settings.accuracy if k <= settings.depth):
            values[f"accuracy@{k}"] = _within(ranks, k)
        curve = [(k, _within(ranks, k)) for k in ks]
    deepest = one.reading.passages if one.reading else 0
    depths = (*(d for d in READ_DEPTHS if d < deepest), deepest)
    read = _read(one, asked, ranks, depths) if one.readings else []
    if read:  # of what can be answered; questions that cannot count in SQuAD 2.0's figures
        known = [bool(q.answers) for q in asked.questions]
        values["EM"] = [r.exact if k else None for r, k in zip(read, known, strict=True)]
        values["F1"] = [r.f1 if k else None for r, k in zip(read, known, strict=True)]
    return _Sheet(values, curve, read, depths)


def _depth_of(measure: str) -> int:
    """The k of a measure such as nDCG@10; 0 for one that has none."""
    k = measure.rpartition("@")[2]
    return int(k) if "@" in measure and k.isdigit() else 0


def _judged(
    one: Found, asked: QuestionSet, judged: Judged, names: Sequence[str]
) -> dict[str, list[float | None]]:
    run = {
        question.id: scores(
            hits, judged.level, asked.judgements.get(question.id, {}), ordered=one.kind != "run"
        )
        for question, hits in zip(asked.questions, one.hits, strict=True)
    }
    figures = judge(run, asked.judgements, list(dict.fromkeys(names)))
    return {
        name: [figures[name].get(question.id) for question in asked.questions] for name in names
    }


def _first_match(matcher: Matcher, hits: Sequence[Hit]) -> int:
    """The place, from 1, of the first passage that holds an accepted answer; 0 for none."""
    return next((n for n, hit in enumerate(hits, 1) if matcher.matches(hit.passage.text)), 0)


def _within(ranks: Sequence[int | None], k: int) -> list[float | None]:
    return [None if rank is None else float(0 < rank <= k) for rank in ranks]


def _read(
    one: Found, asked: QuestionSet, ranks: Sequence[int | None], depths: Sequence[int]
) -> list[ReadQuestion]:
    assert one.reading is not None
    free = replace(one.reading, no_answer_below=0.0, answers=CANDIDATES)
    found = []
    for number, (question, readings) in enumerate(zip(asked.questions, one.readings, strict=True)):
        place = {hit.passage.id: rank for rank, hit in enumerate(one.hits[number], 1)}
        by_depth = [
            combine([pair for pair in readings if place[pair[0].passage.id] <= depth], free)
            for depth in depths
        ]
        rank = ranks[number] if ranks else None
        found.append(
            ReadQuestion(
                question.answers,
                question.unanswerable,
                tuple(Given(a[0].text, a[0].score) if a else None for a in by_depth),
                tuple(answer.text for answer in by_depth[-1]),
                rank is not None and 0 < rank <= depths[-1],
            )
        )
    return found


def _system(one: Found, sheet: _Sheet, statistics: StatisticsSettings) -> System:
    def mean(values: Sequence[float | None]) -> Estimate:
        return estimate([value for value in values if value is not None], statistics)

    known = [read for read in sheet.read if read.accepted or read.unanswerable]
    threshold = one.reading.no_answer_below if one.reading else 0.0
    return System(
        name=one.name,
        kind=one.kind,
        settings=one.settings | ({"reading": asdict(one.reading)} if one.reading else {}),
        cost=one.cost,
        measures={name: mean(values) for name, values in sheet.values.items()},
        curve=tuple((k, mean(values)) for k, values in sheet.curve),
        reading=reading(known, sheet.depths, threshold, statistics) if known else None,
    )


def _examples(
    found: Sequence[Found],
    asked: QuestionSet,
    sheets: Mapping[str, _Sheet],
    matchers: Sequence[Matcher | None],
    comparisons: Sequence[Comparison],
    main: str,
    settings: EvaluationSettings,
) -> list[Example]:
    pairs = [(one.system, one.other) for one in comparisons if one.measure == main]
    names = {name for pair in pairs for name in pair}

    def right(number: int, hit: Hit) -> bool:
        grades = asked.judgements.get(asked.questions[number].id, {})
        matcher = matchers[number]
        return any(grades.get(one, 0) > 0 for one in scores([hit], "document", grades)) or bool(
            not grades and matcher and matcher.matches(hit.passage.text)
        )

    def spans(number: int, text: str) -> list[tuple[int, int]]:
        matcher = matchers[number]
        return matcher.spans(text) if matcher else []

    return [
        example
        for pair in pairs
        for example in examples(
            asked.questions,
            main,
            {name: sheet.values[main] for name, sheet in sheets.items() if name in names},
            {one.name: one.hits for one in found},
            {name: [r.answer for r in sheet.read] for name, sheet in sheets.items() if sheet.read},
            pair,
            right,
            spans,
            settings.examples,
        )
    ]


def _notes(
    found: Sequence[Found], judged: Judged | None, settings: EvaluationSettings
) -> tuple[str, ...]:
    notes = [note for one in found for note in one.notes]
    if settings.regex:
        notes.append("Answers are patterns; what the reader answers is not measured by patterns.")
    if judged is None:
        return tuple(notes)
    if judged.absent:
        notes.append(
            f"{judged.absent:,} of the {judged.total:,} relevant {judged.level}s are not in what "
            "was indexed; no system can find them."
        )
    if judged.level == "document" and judged.cut:
        notes.append(
            "Judgements are about documents: a document ranks where its best passage does."
        )
    open_ended = [name for name in settings.judged if not _depth_of(name)]
    if open_ended and any(one.kind != "run" for one in found):
        notes.append(
            f"{', '.join(open_ended)} {'looks' if len(open_ended) == 1 else 'look'} at what was "
            f"found within depth {settings.depth:,}."
        )
    return tuple(notes)


def _about(asked: QuestionSet, source: str) -> dict[str, Any]:
    digest = hashlib.sha256()
    for question in asked.questions:
        row = [question.id, question.text, question.answers, question.unanswerable]
        row.append(sorted(asked.judgements.get(question.id, {}).items()))
        digest.update(json.dumps(row).encode())
    return {
        "name": asked.name,
        "source": source,
        "count": len(asked.questions),
        "with_answers": sum(bool(q.answers) for q in asked.questions),
        "unanswerable": sum(q.unanswerable for q in asked.questions),
        "judged": sum(q.id in asked.judgements for q in asked.questions),
        "sha256": digest.hexdigest(),
    }


def _environment() -> dict[str, Any]:
    return {
        "dpr": version("dense-passage-retrieval"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
    }
