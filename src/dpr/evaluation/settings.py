"""Settings of an evaluation's statistics, where a command line's options can have them cheaply."""

from __future__ import annotations

from dataclasses import dataclass

from dpr.errors import SettingsError

TESTS = ("randomization", "bootstrap")


@dataclass(frozen=True, slots=True)
class StatisticsSettings:
    """How sure is sure.

    Attributes:
        confidence: of the intervals.
        resamples: drawn for an interval, and for a test that is not exact.
        seed: of all draws.
        test: "randomization" or "bootstrap"; see ``paired_test``.
    """

    confidence: float = 0.95
    resamples: int = 5000
    seed: int = 0
    test: str = "randomization"

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise SettingsError(
                f"confidence={self.confidence}; give a share between 0 and 1, such as 0.95"
            )
        if self.resamples < 100:
            raise SettingsError(f"resamples={self.resamples}; give at least 100")
        if self.seed < 0:
            raise SettingsError(f"seed={self.seed}; give 0 or more")
        if self.test not in TESTS:
            raise SettingsError(f"test={self.test!r}; give one of {', '.join(TESTS)}")
