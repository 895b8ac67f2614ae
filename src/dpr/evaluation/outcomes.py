"""What became of each question: how well it was answered at each depth, and where it failed.

Takes candidate answers per depth, whether an accepted answer stands in the passages, and the
accepted answers; gives figures per question. Knows nothing of models or of how answers are found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dpr.evaluation.answers import exact_match, f1, squad2
from dpr.evaluation.calibration import calibration_error, coverage_curve, reliability
from dpr.evaluation.records import Depth, Estimate, Reading
from dpr.evaluation.settings import StatisticsSettings
from dpr.evaluation.statistics import estimate

ANSWERED, NOT_RETRIEVED, NOT_READ, NOT_CHOSEN = OUTCOMES = (
    "answered",
    "not retrieved",
    "not read",
    "not chosen",
)


@dataclass(frozen=True, slots=True)
class Given:
    """A candidate answer and its confidence between 0 and 1."""

    text: str
    confidence: float


@dataclass(frozen=True, slots=True)
class ReadQuestion:
    """What reading gave for one question.

    Attributes:
        accepted: answers; empty where none are known.
        unanswerable: whether no passage answers it.
        best: by depth, ascending, the best answer; None where there is none.
        candidates: all candidate answers at the last depth.
        retrieved: whether an accepted answer stands in a passage read at the last depth.
    """

    accepted: tuple[str, ...]
    unanswerable: bool
    best: tuple[Given | None, ...]
    candidates: tuple[str, ...]
    retrieved: bool

    @property
    def answer(self) -> str:
        """The answer at the last depth, "" for none."""
        return self.best[-1].text if self.best[-1] else ""

    @property
    def confidence(self) -> float:
        return self.best[-1].confidence if self.best[-1] else 0.0

    @property
    def exact(self) -> float:
        """SQuAD's exact match."""
        return exact_match(self.answer, self.accepted)

    @property
    def f1(self) -> float:
        return f1(self.answer, self.accepted)

    @property
    def outcome(self) -> str:
        if self.exact:
            return ANSWERED
        if not self.retrieved:
            return NOT_RETRIEVED
        right = any(exact_match(one, self.accepted) for one in self.candidates)
        return NOT_CHOSEN if right else NOT_READ


def reading(
    read: Sequence[ReadQuestion],
    depths: Sequence[int],
    threshold: float,
    statistics: StatisticsSettings,
) -> Reading | None:
    """All that is told of a reader; None where no question has a known answer.

    Questions that no passage answers count in ``squad2`` only; all else is about the others, each
    of them answered as well as can be, whatever the threshold.
    """
    answerable = [one for one in read if one.accepted]
    if not answerable:
        return None
    confidences = [one.confidence for one in answerable]
    right = [bool(one.exact) for one in answerable]
    bins = reliability(confidences, right)
    counts = Counter(one.outcome for one in answerable)
    return Reading(
        depths=tuple(
            _depth(answerable, number, depth, statistics) for number, depth in enumerate(depths)
        ),
        oracle=_share([float(one.retrieved or bool(one.exact)) for one in answerable], statistics),
        outcomes={name: counts[name] for name in OUTCOMES},
        threshold=threshold,
        squad2=squad2(
            [one.answer for one in read],
            [one.confidence for one in read],
            [one.accepted for one in read],
            threshold,
        ),
        calibration=bins,
        calibration_error=calibration_error(bins),
        coverage=coverage_curve(confidences, right),
    )


def _depth(
    read: Sequence[ReadQuestion], number: int, depth: int, statistics: StatisticsSettings
) -> Depth:
    texts = [given.text if (given := one.best[number]) else "" for one in read]
    pairs = list(zip(texts, (one.accepted for one in read), strict=True))
    return Depth(
        depth,
        _share([exact_match(*pair) for pair in pairs], statistics),
        _share([f1(*pair) for pair in pairs], statistics),
    )


def _share(values: Sequence[float], statistics: StatisticsSettings) -> Estimate:
    return estimate(values, statistics)
