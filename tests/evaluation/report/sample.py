"""Evaluations to report on: made up, but consistent, with texts that try to break a page."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from dpr.evaluation.records import (
    Bin,
    Comparison,
    Cost,
    Depth,
    Estimate,
    Evaluation,
    Example,
    Reading,
    Shown,
    System,
)

SCRIPT = "<script>alert('x')</script>"
HOSTILE = (
    SCRIPT,
    '"><img src=x onerror=alert(1)>',
    "</style><b>bold</b> {{ 7 * 7 }} {% raw %}",
    "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 4,
    "من كتب هذه القصة؟",
    "多瑙河发源于哪里?",
    "🐉 who tamed the dragon? 👩‍👩‍👧",
    "control \x00\x07\x1b characters \ud800 and \u202e overrides",
    "$x^2$ \\frac | pipes | `code` &amp; &lt;",
)
STORY = (
    "Once upon a time there lived in the old forest a woodcutter, who had two children and little "
    "bread. In the evening the younger one put white pebbles into his pocket, so that they would "
    "find the way home by the light of the moon. The old witch of the house of bread had red eyes "
    "and could not see far, but she smelt the children when they came near."
)
NAMES = ("dpr-mini", "bm25", "dpr-mini + bm25", "untrained")
KINDS = ("collection", "bm25", "run", "untrained")
SKILL = (1.1, 0.75, 1.45, -0.8)
DEPTHS = (1, 2, 5, 10, 20, 50, 100)
MEASURES = ("accuracy@20", "accuracy@1", "accuracy@5", "accuracy@100", "nDCG@10", "RR@10")


def estimate(values: np.ndarray) -> Estimate:
    """A mean and its normal interval; the report does not ask how it was made."""
    mean, half = float(values.mean()), 1.96 * float(values.std()) / len(values) ** 0.5
    return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half), len(values))


def scores(questions: int, seed: int = 0) -> dict[str, dict[str, np.ndarray]]:
    """Per question figures of every system, by system and measure."""
    generator = np.random.default_rng(seed)
    hard = generator.normal(0, 1.3, questions)
    found = {}
    for name, skill in zip(NAMES, SKILL, strict=True):
        rank = np.exp(2.2 * (hard - skill + generator.normal(0, 0.8, questions)) + 1.4)
        rank = np.floor(rank)
        measures = {f"accuracy@{k}": (rank < k).astype(float) for k in (1, 5, 20, 100)}
        gain = np.where(rank < 10, 1 / np.log2(rank + 2), 0.0)
        measures["nDCG@10"] = gain * generator.uniform(0.8, 1, questions)
        measures["RR@10"] = np.where(rank < 10, 1 / (rank + 1), 0.0)
        measures["rank"] = rank
        found[name] = {key: measures[key] for key in (*MEASURES, "rank")}
    return found


def comparison(
    measure: str, system: str, other: str, found: dict[str, dict[str, np.ndarray]], count: int
) -> Comparison:
    """A comparison whose figures follow from its differences; p by a normal approximation."""
    from scipy.stats import norm

    differences = found[system][measure] - found[other][measure]
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    error = max(spread / len(differences) ** 0.5, 1e-12)
    p = float(2 * norm.sf(abs(mean) / error))
    return Comparison(
        measure=measure,
        system=system,
        other=other,
        difference=mean,
        low=mean - 1.96 * error,
        high=mean + 1.96 * error,
        p=p,
        p_holm=min(1.0, p * count),
        effect=mean / spread if spread else float("inf"),
        wins=int((differences > 0).sum()),
        losses=int((differences < 0).sum()),
        ties=int((differences == 0).sum()),
        differences=tuple(differences.tolist()),
    )


def reading(rank: np.ndarray, skill: float, generator: np.random.Generator) -> Reading:
    """What a reader made of it: better with more passages up to a point, and too sure of itself."""
    questions = len(rank)
    sure = generator.uniform(0, 1, questions)
    right = (sure * 0.8 + 0.1 * skill - generator.uniform(0, 1, questions) > 0) & (rank < 50)
    depths = []
    for depth in (1, 2, 5, 10, 20, 50):
        exact = (right & (rank < depth)).astype(float)
        depths.append(Depth(depth, estimate(exact), estimate(np.minimum(1, exact * 0.9 + 0.08))))
    exact = right.astype(float)
    bins = []
    for step in range(10):
        inside = (sure > step / 10) & (sure <= (step + 1) / 10)
        count = int(inside.sum())
        mean = float(sure[inside].mean()) if count else 0.0
        true = float(exact[inside].mean()) if count else 0.0
        bins.append(Bin(step / 10, (step + 1) / 10, count, mean, true))
    order = np.argsort(-sure)
    running = np.cumsum(exact[order]) / np.arange(1, questions + 1)
    places = np.unique(np.linspace(questions // 50, questions - 1, 100).astype(int))
    return Reading(
        depths=tuple(depths),
        oracle=estimate((rank < 50).astype(float)),
        outcomes={
            "answered": int(exact.sum()),
            "not retrieved": int((rank >= 50).sum()),
            "not read": int(((rank < 50) & ~right & (sure < 0.4)).sum()),
            "not chosen": int(((rank < 50) & ~right & (sure >= 0.4)).sum()),
        },
        threshold=-2.375,
        squad2={
            "exact": float(exact.mean()),
            "f1": float(exact.mean()) + 0.05,
            "best_exact": float(exact.mean()) + 0.01,
            "best_exact_threshold": -1.5,
            "HasAns_total": float(questions),
        },
        calibration=tuple(bins),
        calibration_error=sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / questions,
        coverage=tuple(((place + 1) / questions, float(running[place])) for place in places),
    )


def evaluation(questions: int = 400, hostile: bool = True, examples: int = 3) -> Evaluation:
    """Four systems, two of them with a reader, all comparisons with bm25, examples, notes."""
    generator = np.random.default_rng(1)
    found = scores(questions)
    systems = []
    for place, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True)):
        rank = found[name].pop("rank")
        systems.append(
            System(
                name=name,
                kind=kind,
                settings={
                    "model": {"name": name, "sha256": "9f86d081884c7d65" * 4, "pooling": "cls"},
                    "k": 100,
                    "files": [f"{name}.jsonl", {"bytes": 12345}],
                    "normalised": False,
                },
                cost=Cost(
                    index_bytes=(52_428_800, 8_123_456, 60_552_256, None)[place],
                    encode_seconds=(312.4, 4.21, None, 308.9)[place],
                    passages=23_456,
                    latencies=tuple(
                        np.exp(
                            generator.normal((2.6, 1.1, 2.9, 2.6)[place], 0.35, questions)
                        ).tolist()
                    ),
                    reading=tuple(generator.uniform(90, 400, questions).tolist())
                    if place in (0, 2)
                    else (),
                ),
                measures={key: estimate(found[name][key]) for key in MEASURES},
                curve=tuple((k, estimate((rank < k).astype(float))) for k in DEPTHS),
                reading=reading(rank, SKILL[place], generator) if place in (0, 2) else None,
            )
        )
    pairs = [(NAMES[0], "bm25"), (NAMES[2], "bm25"), ("bm25", "untrained"), (NAMES[2], NAMES[0])]
    compared = [
        comparison(measure, system, other, found, len(pairs))
        for measure in MEASURES[:2] + MEASURES[4:5]
        for system, other in pairs
    ]
    best = max(systems, key=lambda one: one.measures["accuracy@20"].value)
    return Evaluation(
        title="Fairy tales: which retriever finds the answer?",
        created="2026-03-14T15:09:26+00:00",
        questions={
            "name": "FairytaleQA validation",
            "source": "fairytales/validation.jsonl",
            "count": questions,
            "with_answers": questions,
            "judged": questions,
            "sha256": "d7a8fbb307d78094" * 4,
        },
        settings={"measures": list(MEASURES), "resamples": 10_000, "seed": 0, "reader_top_k": 50},
        environment={"dpr": "0.1.0", "python": "3.11.2", "torch": "2.13.0", "cores": 2},
        baseline="bm25",
        main_measure="accuracy@20",
        systems=tuple(systems),
        comparisons=tuple(compared),
        examples=_examples(hostile, examples),
        summary=(
            f"{best.name} finds the answer within 20 passages for "
            f"{100 * best.measures['accuracy@20'].value:.1f}% of the questions, clearly more than "
            "bm25 alone.",
            "Reading more than 20 passages no longer helps: the answer is there, and the reader "
            "chooses another.",
        ),
        notes=(
            "Accuracy counts a passage as right when an accepted answer stands in it, which can "
            "happen by chance for short answers.",
            "All systems saw the same passages.",
        ),
        question_ids=tuple(f"q{number}" for number in range(questions)),
        per_question={
            name: {key: tuple(values.tolist()) for key, values in of.items()}
            for name, of in found.items()
        },
    )


def _examples(hostile: bool, count: int) -> tuple[Example, ...]:
    start = STORY.index("white pebbles")
    marks = ((start, start + 5), (start + 2, start + 13), (400, 9999), (-5, 0), (7, 7))
    questions = (
        "What did the younger child put into his pocket?",
        "Why could the witch not see the children from far away?",
        "Who lived in the old forest?",
    )
    made = []
    for place in range(count):
        win = place % 3 != 2
        made.append(
            Example(
                kind="win" if win else "loss",
                measure="accuracy@20",
                system=NAMES[0],
                other="bm25",
                question=questions[place % 3],
                answers=("white pebbles", "pebbles"),
                values=(1.0, 0.0) if win else (0.0, 1.0),
                found=Shown(3, f"hansel-{place}", "Hansel and Gretel", STORY, marks),
                instead=Shown(1, "moon", "The Moon", STORY[90:330]) if place % 3 else None,
                answer="white pebbles" if place % 2 == 0 else "",
            )
        )
    for place, text in enumerate(HOSTILE if hostile else ()):
        made.append(
            Example(
                kind="win",
                measure="accuracy@20",
                system=NAMES[2],
                other="bm25",
                question=text,
                answers=(text, text[:20]),
                values=(1.0, 0.0),
                found=Shown(1, text, text, f"{text} {STORY} {text}", ((0, len(text)),)),
                instead=Shown(place + 1, text, text, text),
                answer=text,
            )
        )
    return tuple(made)


def hostile() -> Evaluation:
    """The evaluation whose every text from outside tries to break the page."""
    from dataclasses import replace

    one = evaluation(60)
    names = dict(zip(NAMES, HOSTILE[1:5], strict=True))
    return replace(
        one,
        title=HOSTILE[2] + SCRIPT,
        baseline=names["bm25"],
        main_measure=SCRIPT,
        questions={**one.questions, "name": HOSTILE[8], SCRIPT: SCRIPT, "made": True},
        settings={SCRIPT: list(HOSTILE)},
        environment={"dpr": SCRIPT, "long": HOSTILE[3]},
        systems=tuple(
            replace(
                system,
                name=names[system.name],
                kind=SCRIPT,
                settings={"model": HOSTILE[place], SCRIPT: HOSTILE[3]},
                measures={_renamed(key): value for key, value in system.measures.items()},
            )
            for place, system in enumerate(one.systems)
        ),
        comparisons=tuple(
            replace(
                compared,
                system=names[compared.system],
                other=names[compared.other],
                measure=_renamed(compared.measure),
            )
            for compared in one.comparisons
        ),
        examples=tuple(
            replace(
                example,
                measure=SCRIPT,
                system=names[example.system],
                other=names[example.other],
            )
            for example in one.examples
        ),
        summary=(HOSTILE[3], *HOSTILE),
        notes=HOSTILE,
        question_ids=tuple(f"{SCRIPT}{number}" for number in range(60)),
        per_question={names[name]: values for name, values in one.per_question.items()},
    )


def _renamed(measure: str) -> str:
    return SCRIPT if measure == "accuracy@20" else measure


def bare() -> Evaluation:
    """As little as there can be: one run, one measure, nothing else."""
    return Evaluation(
        title="One run",
        created="2026-03-14T15:09:26+00:00",
        questions={},
        settings={},
        environment={},
        baseline="",
        main_measure="nDCG@10",
        systems=(System("run", "run", {}, Cost(), {"nDCG@10": Estimate(0.4567, 0.41, 0.5, 50)}),),
    )


def plain(one: Evaluation) -> Any:
    """An evaluation as the JSON that a reader of the file sees, by way of the standard library."""
    from dataclasses import asdict

    return json.loads(json.dumps(asdict(one)))
