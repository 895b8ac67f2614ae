"""What an evaluation found, as small frozen records: what the report shows and the JSON holds.

Takes and gives plain values; knows nothing of how they are measured or shown. All shares are
between 0 and 1, all times in milliseconds unless the name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FORMAT = "dpr-evaluation/1"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over questions with its bootstrap interval."""

    value: float
    low: float
    high: float
    questions: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What a system costs, as far as it is known.

    Attributes:
        index_bytes: of what is searched: vectors, or the words' lists; texts apart.
        encode_seconds: to make the index.
        passages: in the index.
        latencies: of each question asked by itself, without the reader.
        reading: of each question, reader included.
    """

    index_bytes: int | None = None
    encode_seconds: float | None = None
    passages: int | None = None
    latencies: tuple[float, ...] = ()
    reading: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Depth:
    """Answers read from the first ``depth`` passages: SQuAD's exact match and token F1."""

    depth: int
    exact: Estimate
    f1: Estimate


@dataclass(frozen=True, slots=True)
class Bin:
    """Answers whose confidence is in (low, high]: their mean confidence and how many are right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader made of a system's hits.

    Attributes:
        depths: by number of passages read, ascending; the last is what the rest is about.
        oracle: share of questions for which an accepted answer stands in a passage that was read.
        outcomes: number of questions by what became of them: "answered", "not retrieved" (no
            passage read holds an accepted answer), "not read" (one does, and no candidate answer
            matches), "not chosen" (a candidate matches, and another came first).
        threshold: confidence below which there is no answer, as the reader has it.
        squad2: with that threshold and with the best one in hindsight, by SQuAD 2.0's rule:
            "exact", "f1", "best_exact", "best_exact_threshold", "best_f1", "best_f1_threshold",
            and "HasAns_exact", "NoAns_exact" and so on where there are unanswerable questions.
        calibration: confidence of the best answer against exact match, in bins.
        calibration_error: expected calibration error over these bins.
        coverage: points (share of questions answered, exact match among them) as the threshold
            falls.
    """

    depths: tuple[Depth, ...]
    oracle: Estimate
    outcomes: dict[str, int]
    threshold: float
    squad2: dict[str, float]
    calibration: tuple[Bin, ...]
    calibration_error: float
    coverage: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class System:
    """One system: a collection, a run, a model or a baseline.

    Attributes:
        kind: "collection", "run", "results", "bm25" or "untrained".
        settings: what it takes to repeat it: fingerprints, model, split and so on.
        measures: by name, as ir_measures names them; answer accuracy is "accuracy@k".
        curve: accuracy@k, or Success@k where only judgements are known, for rising k.
        reading: None where no reader was asked.
    """

    name: str
    kind: str
    settings: dict[str, Any]
    cost: Cost
    measures: dict[str, Estimate]
    curve: tuple[tuple[int, Estimate], ...] = ()
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two systems by one measure, over the questions that both have.

    Attributes:
        system, other: ``difference`` is the mean of system minus other, with its interval.
        p: of the paired test; ``p_holm`` corrected for all comparisons by this measure.
        effect: mean difference over the standard deviation of the differences (Cohen's d_z).
        wins, losses, ties: questions on which ``system`` is better, worse, the same.
        differences: per question, in the order of the questions.
    """

    measure: str
    system: str
    other: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    effect: float
    wins: int
    losses: int
    ties: int
    differences: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """A passage as an example shows it: ``marks`` are (start, end) characters of accepted answers
    in ``text``; ``rank`` is counted from 1."""

    rank: int
    id: str
    title: str
    text: str
    marks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """A question that one system does better on: its best hit, and what the other had instead.

    Attributes:
        kind: "win" (of ``system``) or "loss".
        values: the measure of ``system`` and of ``other`` for this question.
        found: the first right passage of the better one, or its first passage.
        instead: the first passage of the worse one; None where it found nothing.
        answer: what the reader answered with the better one, "" where none was asked.
    """

    kind: str
    measure: str
    system: str
    other: str
    question: str
    answers: tuple[str, ...]
    values: tuple[float, float]
    found: Shown | None
    instead: Shown | None
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that one evaluation found.

    Attributes:
        title: of the report.
        created: the time, ISO 8601.
        questions: "name", "source", "count", "with_answers", "judged", "sha256", and "made" where
            the questions were made from the documents and not asked by people.
        settings: of the evaluation.
        environment: versions and machine, for whoever repeats it.
        baseline: the name of the system that the others are compared with; "" for none.
        main_measure: what the summary and the examples go by.
        summary: a few sentences in words, the most important first.
        notes: what a reader must know to not misread the figures.
        per_question: by system and measure, a value a question (None where not measured); the
            questions are in the order of ``question_ids``.
        question_texts: likewise, or empty.
        confidence: of all intervals.
        alpha: a difference is called real where its corrected p is below this.
    """

    title: str
    created: str
    questions: dict[str, Any]
    settings: dict[str, Any]
    environment: dict[str, Any]
    baseline: str
    main_measure: str
    systems: tuple[System, ...]
    comparisons: tuple[Comparison, ...] = ()
    examples: tuple[Example, ...] = ()
    summary: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    question_ids: tuple[str, ...] = ()
    per_question: dict[str, dict[str, tuple[float | None, ...]]] = field(default_factory=dict)
    question_texts: tuple[str, ...] = ()
    confidence: float = 0.95
    alpha: float = 0.05
    format: str = FORMAT
