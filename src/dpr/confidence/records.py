"""What calibrating takes and gives, as frozen records.

Knows nothing of how anything is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass

from dpr.confidence.evidence import Readings
from dpr.evaluation.records import Bin, Estimate
from dpr.reading import ReadingSettings
from dpr.records import Question


@dataclass(frozen=True, slots=True)
class Case:
    """A question with accepted answers, or one that is known to have none, and what was read.

    Attributes:
        found: readings of its best hits, as ``Reader.read_hits`` gives them.
        without: readings of its best hits that answer nothing, where no answer is right.
        about: the document that it is about, and the passage: their questions are alike, and held
            out together; empty where that is not known.
    """

    question: Question
    found: Readings
    without: Readings = ()
    about: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """How good first answers are, and how far their scores can be believed.

    Attributes:
        exact, f1: over the questions that have an answer; all else is over all of them.
        error: expected calibration error of the scores, in bins of a tenth.
        auroc, risk_area: how well scores tell right from wrong.
        half: how many of the surest half are right; ``right``: of all.
        bins, coverage: to draw.
    """

    exact: Estimate
    f1: Estimate
    error: float
    auroc: float
    risk_area: float
    half: float
    right: float
    bins: tuple[Bin, ...]
    coverage: tuple[tuple[float, float], ...]

    @property
    def gain(self) -> float:
        """How many times as often the surest half is right as all are."""
        return self.half / self.right if self.right else 0.0


@dataclass(frozen=True, slots=True)
class Silence:
    """What a threshold does; held out.

    Attributes:
        rule: how it was chosen.
        answered: share of the questions with an answer that are answered.
        kept: share of their F1 that is kept.
        silent: share of questions without their passages that get no answer; None where not known.
        unanswerable: share of the questions known to have no answer that get none; likewise.
    """

    rule: str
    answered: float
    kept: float
    silent: float | None = None
    unanswerable: float | None = None


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What calibrating gives.

    Attributes:
        settings: chosen on all questions; ``start``: those it began with.
        before: of the settings one starts from; ``after``: held out.
        silence: of the threshold, held out.
        weights: for how many folds which weights of relevance, retrieval and rank were chosen.
        questions, unanswerable: how many have an answer, and how many have none.
    """

    settings: ReadingSettings
    start: ReadingSettings
    before: Figures
    after: Figures
    silence: Silence
    weights: dict[tuple[float, float, float], int]
    questions: int
    unanswerable: int
    notes: tuple[str, ...] = ()
