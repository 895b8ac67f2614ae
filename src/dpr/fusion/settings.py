"""Settings of fusion: plain values, checked when they are made, kept with the collection.

Takes what a person or tuning chose; gives a frozen record. Knows nothing of scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from dpr.errors import SettingsError

Method = Literal["normalised", "weighted", "rrf"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, slots=True)
class FusionSettings:
    """How the scores of dense search and of BM25 become one; see ``dpr.fusion.fuse``.

    Attributes:
        method: "normalised" adds both scores in units of their spread over a question's candidates,
            "weighted" adds them as they are (the paper's), "rrf" adds reciprocal ranks.
        weight: of dense search. For "weighted" 0 or more, times the dense score, while BM25's
            counts once: it depends on the size of the encoder's scores. For the others a share from
            0 (BM25 alone decides) to 1 (dense search alone decides); with 0.5 "rrf" is reciprocal
            rank fusion as it was published.
        rank_constant: what "rrf" adds to ranks; the larger, the less the first ranks stand out.
        power: of "normalised", from 1 to 10. 1 adds both scores; the larger, the more that of
            both decides which is further from its mean (after the p-norm of Salton, Fox & Wu 1983),
            so that a passage that one way of searching is sure of is not lost by the other's
            doubts.
        depth: how long the list of either way of searching is.

    The defaults need no tuning: they do not depend on the size of an encoder's scores, and were
    chosen so that questions of both kinds gain, those that vectors answer better and those that
    words do, whichever will be asked more.

    Raises:
        SettingsError: a value outside what is allowed.
    """

    method: Method = "normalised"
    weight: float = 0.7
    rank_constant: int = 60
    depth: int = 200
    power: float = 1.75

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SettingsError(
                f"fusion method {self.method!r}; choose one of {', '.join(map(repr, METHODS))}"
            )
        weight = self.weight
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise SettingsError(f"fusion weight {weight!r}; give a number")
        most = math.inf if self.method == "weighted" else 1.0
        if not (0 <= weight <= most and math.isfinite(weight)):
            allowed = "a finite number of 0 or more" if math.isinf(most) else "a number from 0 to 1"
            raise SettingsError(
                f"fusion weight {weight} with the method {self.method!r}; give {allowed}"
            )
        power = self.power
        if isinstance(power, bool) or not isinstance(power, int | float) or not 1 <= power <= 10:
            raise SettingsError(f"fusion power {power!r}; give a number from 1 to 10")
        for name, least in (("rank_constant", 0), ("depth", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise SettingsError(
                    f"fusion {name} {value!r}; give a whole number of {least} or more"
                )
