"""Answer measures: exact match and token F1 as SQuAD defines them. Strings in, figures out.

Rajpurkar et al. 2016, §6.1: lower-case, drop punctuation, then articles, then extra white space;
the best over the accepted answers counts. ``squad2`` adds the rule of Rajpurkar et al. 2018 for
questions without an answer. All figures are shares between 0 and 1.
"""

from __future__ import annotations

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

from dpr.errors import InputError

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalize_answer(text: str) -> str:
    """The form in which two answers are compared."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(answer: str, accepted: Sequence[str]) -> float:
    """1.0 where the answer equals an accepted one after normalisation, else 0.0."""
    given = _tokens(answer)
    return float(any(given == _tokens(one) for one in accepted))


def f1(answer: str, accepted: Sequence[str]) -> float:
    """The best token F1 with an accepted answer; 0.0 where none is accepted."""
    given = _tokens(answer)
    return max((_f1(given, _tokens(one)) for one in accepted), default=0.0)


def squad2(
    answers: Sequence[str],
    confidences: Sequence[float],
    accepted: Sequence[Sequence[str]],
    threshold: float,
) -> dict[str, float]:
    """SQuAD 2.0's figures, with a threshold and with the best one in hindsight.

    Args:
        answers: the best answer to each question, "" where there is none.
        confidences: of these answers, the surer the higher. An answer counts as none where its
            confidence is below ``threshold``; at the threshold it is given.
        accepted: answers of each question; none for an unanswerable question.

    Returns:
        "exact" and "f1"; the same over the questions that have an answer ("HasAns_exact",
        "HasAns_f1") and over the others ("NoAns_exact", "NoAns_f1"), where there are such;
        "best_exact" and "best_f1" with the thresholds that give them.

    An unanswerable question is right without an answer. Accepted answers that normalise to nothing
    are left out, unless all do. For the best thresholds, answers are given one by one, the surest
    first and equally sure ones in their order: a best that lies between equally sure answers is
    reached by no threshold. 1.0 is the best threshold where giving no answer at all is best.
    Equal to ``squad_evaluate`` of Transformers 4 with the no-answer probabilities 1 - confidence,
    its percentages and thresholds made ours.

    Raises:
        InputError: there are no questions, not the same number of each, or a confidence is NaN.
    """
    count = len(answers)
    if not count == len(confidences) == len(accepted) or not count:
        raise InputError(
            f"{count} answers, {len(confidences)} confidences and accepted answers of "
            f"{len(accepted)} questions; give one of each for one question or more"
        )
    if any(map(math.isnan, confidences)):
        raise InputError("a confidence is NaN; give numbers, 0 where there is no answer")
    answerable = [bool(some) for some in accepted]
    golds = [[one for one in some if _tokens(one)] or [""] for some in accepted]
    figures: dict[str, float] = {}
    best: dict[str, float] = {}
    measures: tuple[tuple[str, Callable[[str, Sequence[str]], float]], ...]
    measures = (("exact", exact_match), ("f1", f1))
    for name, measure in measures:
        scores = [measure(*pair) for pair in zip(answers, golds, strict=True)]
        kept = [
            score if confidence >= threshold else float(not has)
            for score, confidence, has in zip(scores, confidences, answerable, strict=True)
        ]
        figures[name] = sum(kept) / count
        for part, wanted in (("HasAns", True), ("NoAns", False)):
            some = [value for value, has in zip(kept, answerable, strict=True) if has is wanted]
            if some:
                figures[f"{part}_{name}"] = sum(some) / len(some)
        highest, at = _best_threshold(answers, confidences, scores, answerable)
        best |= {f"best_{name}": highest / count, f"best_{name}_threshold": at}
    return figures | best


def _best_threshold(
    answers: Sequence[str],
    confidences: Sequence[float],
    scores: Sequence[float],
    answerable: Sequence[bool],
) -> tuple[float, float]:
    """The highest sum of scores, and the confidence of the last answer given for it."""
    total = best = float(answerable.count(False))
    threshold = 1.0
    for at in sorted(range(len(answers)), key=lambda at: -confidences[at]):
        # An unanswerable question was right so far, and stays so where no answer is given to it.
        total += scores[at] if answerable[at] else -float(answers[at] != "")
        if total > best:
            best, threshold = total, confidences[at]
    return best, threshold


# An answer is compared with each accepted one, and these with each candidate answer.
@lru_cache(maxsize=4096)
def _tokens(text: str) -> tuple[str, ...]:
    return tuple(normalize_answer(text).split())


def _f1(given: tuple[str, ...], wanted: tuple[str, ...]) -> float:
    if not given or not wanted:
        return float(given == wanted)
    if set(given).isdisjoint(wanted):
        return 0.0
    common = sum((Counter(given) & Counter(wanted)).values())
    precision, recall = common / len(given), common / len(wanted)
    return 2 * precision * recall / (precision + recall)
