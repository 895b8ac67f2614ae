"""Judged measures of a ranking: nDCG@10, R@100, RR@10, AP and whatever else ir_measures knows.

Takes runs and judgements as mappings, gives a value a measure and question. Needs the extra
``evaluate`` (ir_measures, which hands most measures to trec_eval's own code). Knows nothing of
files, text or models.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from dpr.errors import InputError, MissingExtraError, SettingsError

EXAMPLES = ("nDCG@10", "R@100", "RR@10", "AP", "P@5", "Success@5")
_NAMES = ", ".join(EXAMPLES)
MAX_GRADE = 1_000_000


def judge(
    run: Mapping[str, Mapping[str, float]],
    judgements: Mapping[str, Mapping[str, int]],
    measures: Sequence[str],
) -> dict[str, dict[str, float]]:
    """The measures of a run, for every judged question.

    Args:
        run: by question, the score of each passage found; higher is better.
        judgements: by question, the grade of each judged passage; 1 and more is relevant unless
            the measure says otherwise (``AP(rel=2)``).
        measures: names as ir_measures has them: see ``EXAMPLES``.

    Returns:
        By measure, under the name given, and question, in the order of the judgements. A judged
        question that the run lacks counts 0, as with ``trec_eval -c``, and so does one without a
        relevant passage; a question of the run that is not judged, or has an empty mapping of
        judgements, is left out.

    Passages of equal score are ranked as trec_eval ranks them: the id that sorts last comes first.
    Its code holds scores in 32 bits, so that doubles closer than these can tell are equal. RR with
    a cutoff, which trec_eval lacks, is MS MARCO's in ir_measures: there the id that sorts first
    comes first.

    Raises:
        SettingsError: a measure that ir_measures does not know or cannot compute here.
        InputError: a score that is not a number, a grade above ``MAX_GRADE``, or an id that is no
            valid Unicode.
        MissingExtraError: ir_measures is not installed.
    """
    parsed = {name: _parse(name) for name in measures}
    graded = {
        question: _grades(question, grades) for question, grades in judgements.items() if grades
    }
    values = {name: dict.fromkeys(graded, 0.0) for name in parsed}
    if not parsed or not graded:
        return values
    scores = {
        question: _scores(question, hits)
        for question, hits in run.items()
        if question in graded and hits
    }
    by_measure = {
        str(measure): [values[name] for name, one in parsed.items() if one == measure]
        for measure in parsed.values()
    }
    for metric in _ir_measures().iter_calc(parsed.values(), graded, scores):
        for wanted in by_measure[str(metric.measure)]:
            wanted[metric.query_id] = float(metric.value)
    return values


def measure_name(name: str) -> str:
    """The name under which ir_measures reports a measure: ``RR@10`` for ``MRR@10``.

    Raises:
        SettingsError: a measure that ir_measures does not know or cannot compute here.
        MissingExtraError: ir_measures is not installed.
    """
    return str(_parse(name))


def _scores(question: str, hits: Mapping[str, float]) -> dict[str, float]:
    _check_ids(question, hits)
    scores = {passage: float(score) for passage, score in hits.items()}
    if any(map(math.isnan, scores.values())):
        passage = next(one for one, score in scores.items() if math.isnan(score))
        raise InputError(
            f"question {question!r}: the score of passage {passage!r} is nan; give a number"
        )
    return scores


def _grades(question: str, grades: Mapping[str, int]) -> dict[str, int]:
    """Grades that trec_eval's code survives: where all of a question are below -1, it clears a
    table of negative size and ends the process. With 0 instead, nothing is relevant either."""
    _check_ids(question, grades)
    given = {passage: operator.index(grade) for passage, grade in grades.items()}
    highest = max(given.values())
    if highest > MAX_GRADE:  # it makes a table with a place for every grade
        raise InputError(f"question {question!r}: grade {highest}; give at most {MAX_GRADE}")
    return given if highest >= 0 else dict.fromkeys(given, 0)


def _check_ids(question: str, passages: Mapping[str, object]) -> None:
    try:
        "".join([question, *passages]).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"question {question!r}: an id holds {error.object[error.start]!r}, half of a "
            "character; give ids that can be written as UTF-8"
        ) from None


def _parse(name: str) -> Any:
    """The measure of a name ``Name(key=value, ...)@cutoff``, known to be computable here.

    Not ir_measures' own parser, which needs parts of ``ast`` that Python 3.12 deprecates and 3.14
    lacks, and which lets a cutoff of 0 through: trec_eval ends the process at one.
    """
    known = _ir_measures().measures.registry
    try:
        node = ast.parse(name.strip(), mode="eval").body
        at, options = None, {}
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            at, node = ast.literal_eval(node.right), node.left
        if isinstance(node, ast.Call) and not node.args:
            options = {str(one.arg): ast.literal_eval(one.value) for one in node.keywords}
            node = node.func
    except (SyntaxError, ValueError):
        raise _unknown(name, known) from None
    if not isinstance(node, ast.Name) or node.id not in known:
        raise _unknown(name, known)
    measure = known[node.id]
    if at is not None:
        options[measure.AT_PARAM] = at
    return _checked(name, measure(**options))


def _checked(name: str, measure: Any) -> Any:
    """The measure itself, where one of ir_measures' providers computes it."""
    known = measure.SUPPORTED_PARAMS
    for option, value in measure.params.items():
        if option not in known:
            raise SettingsError(
                f"measure {name!r}: no option {option!r}; it has {', '.join(known)}"
            )
        if option in ("cutoff", "rel") and (type(value) is not int or not 0 < value < 1 << 31):
            raise SettingsError(
                f"measure {name!r}: {option} {value!r}; give a whole number above 0"
            )
    for option, about in known.items():
        if about.required and option not in measure.params:
            how = f"{name}@10" if option == measure.AT_PARAM else f"{name}({option}=...)"
            raise SettingsError(f"measure {name!r} needs a {option}, as in {how}")
    try:
        _ir_measures().DefaultPipeline.evaluator([measure], {})
    except (AssertionError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise SettingsError(f"measure {name!r}: {reason}; name one such as {_NAMES}") from None
    return measure


def _unknown(name: str, known: Mapping[str, Any]) -> SettingsError:
    base, at, cutoff = name.strip().partition("@")
    end = at and f"@{cutoff if cutoff.isdigit() else 10}"
    spellings = {spelling.lower(): str(measure) for spelling, measure in known.items()}
    near = difflib.get_close_matches(base.lower(), spellings, 3)
    if base.lower() in near:
        near = [base.lower()]
    meant = " or ".join(dict.fromkeys(spellings[one] + end for one in near))
    return SettingsError(
        f"unknown measure {name!r}{f'; did you mean {meant}?' if near else '.'} "
        f"Measures are named as ir_measures names them: {_NAMES}"
    )


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError:
        raise MissingExtraError("ir_measures", "evaluate", "judging a run") from None
    return ir_measures
