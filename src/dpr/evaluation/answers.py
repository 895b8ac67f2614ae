"""Answer measures: exact match and token F1 as SQuAD defines them. Strings in, figures out.

Rajpurkar et al. 2016, §6.1: lower-case, drop punctuation, then articles, then extra white space;
the best over the accepted answers counts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalize_answer(text: str) -> str:
    """The form in which two answers are compared."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, accepted: Sequence[str]) -> float:
    """1.0 where the answer equals an accepted one after normalisation, else 0.0."""
    given = normalize_answer(answer)
    return float(any(given == normalize_answer(one) for one in accepted))


def f1(answer: str, accepted: Sequence[str]) -> float:
    """The best token F1 with an accepted answer; 0.0 where none is accepted."""
    return max((_f1(answer, one) for one in accepted), default=0.0)


def _f1(answer: str, accepted: str) -> float:
    given, wanted = normalize_answer(answer).split(), normalize_answer(accepted).split()
    if not given or not wanted:
        return float(given == wanted)
    common = sum((Counter(given) & Counter(wanted)).values())
    return 2 * common / (len(given) + len(wanted)) if common else 0.0
