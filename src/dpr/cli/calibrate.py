"""``dpr calibrate``: how far answers can be believed, chosen on questions with known answers.

Takes a collection and questions, gives a table and what was chosen. Knows nothing of how.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from dpr.cli import terminal
from dpr.cli.asking import Mode, SearchMode
from dpr.cli.evaluate import QuestionSplit, asked, telling
from dpr.cli.options import CollectionFolder, Json, Model, ReaderPlace

if TYPE_CHECKING:
    from dpr.pipeline.calibrating import Calibration

Questions = Annotated[
    Path,
    typer.Option(
        metavar="PATH",
        help="100 or more of your own, with the answers that are right: SQuAD JSON, JSON Lines, a "
        "BEIR folder, DPR's QA table.",
    ),
]
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)


def calibrate(
    collection: CollectionFolder,
    questions: Questions,
    question_split: QuestionSplit = "test",
    reader: ReaderPlace = None,
    model: Model = None,
    mode: SearchMode = Mode.auto,
    into_model: Annotated[
        bool,
        typer.Option(
            "--into-model",
            help="Keep it in the reader's folder, for all collections, and not in this one.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be chosen.")
    ] = False,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw reliability and coverage: .png, .svg or .pdf."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make the scores of answers mean what they say: a score of 0.7 is right 7 times in 10.

    Chooses how relevance, retrieval and rank are weighed, how sure an answer is, and below what
    there is none, on questions whose answers are known. The figures shown are of questions held
    out. What is chosen is kept in the collection, for this reader, and used from then on.

    [bold]Examples[/]

      dpr calibrate docs.dpr --questions dev.json --picture scores.png

      dpr calibrate docs.dpr --questions dev.jsonl --reader runs/mine/best --into-model
    """
    if picture is not None:
        from dpr.evaluation.report.calibration import check_picture

        check_picture(picture)
    from dpr.pipeline.calibrating import calibrate as choose

    with telling() as tell:
        done = choose(
            collection,
            asked(questions, question_split, None),
            model=model,
            reader=reader,
            into_model=into_model,
            dry_run=dry_run,
            mode=mode.value,
            source=str(questions.resolve()),
            tell=tell,
        )
    if picture is not None:
        _draw(done, picture)
    if as_json:
        terminal.json_line(calibration_shape(done) | {"picture": str(picture or "")})
    else:
        _show(done)


def _draw(done: Calibration, picture: Path) -> None:
    from dpr.evaluation.report.calibration import draw_confidence

    both = {"before": done.chosen.before, "calibrated": done.chosen.after}
    draw_confidence(picture, {name: (one.bins, one.coverage) for name, one in both.items()})


def calibration_shape(done: Calibration) -> dict[str, Any]:
    """What is chosen and how good it is, as JSON."""
    from dataclasses import asdict

    chosen = done.chosen
    return {
        "settings": asdict(chosen.settings),
        "start": asdict(chosen.start),
        "before": asdict(chosen.before) | {"gain": chosen.before.gain},
        "held_out": asdict(chosen.after) | {"gain": chosen.after.gain},
        "silence": asdict(chosen.silence),
        "weights": [
            dict(zip(("relevance", "retrieval", "rank"), weights, strict=True)) | {"folds": count}
            for weights, count in chosen.weights.items()
        ],
        "questions": chosen.questions,
        "unanswerable": chosen.unanswerable,
        "kept": done.kept,
        "notes": list(done.notes),
    }


def _show(done: Calibration) -> None:
    before, after = done.chosen.before, done.chosen.after
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, name in enumerate(("", "before", "calibrated, held out")):
        table.add_column(name, justify="right" if number else "left")
    for name, value in (("exact match", "exact"), ("F1", "f1")):
        estimates = (getattr(before, value), getattr(after, value))
        table.add_row(name, *(f"{e.value:.3f} ({e.low:.3f}–{e.high:.3f})" for e in estimates))
    for name, value in (
        ("calibration error", "error"),
        ("right above wrong (AUROC)", "auroc"),
        ("wrong over all shares (AURC)", "risk_area"),
        ("right, of all", "right"),
        ("right, of the surest half", "half"),
    ):
        table.add_row(name, *(f"{getattr(one, value):.3f}" for one in (before, after)))
    table.add_row("the half, times all", f"{before.gain:.2f}", f"{after.gain:.2f}")
    terminal.out().print(table)
    terminal.line("")
    terminal.out().print(_bins(done))
    terminal.line("")
    for text in (*_words(done), *done.notes):
        terminal.line(text)


def _bins(done: Calibration) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("score", "answers", "mean score", "right"):
        table.add_column(name, justify="right")
    for one in done.chosen.after.bins:
        table.add_row(
            f"{one.low:.1f}–{one.high:.1f}",
            f"{one.count:,}",
            f"{one.confidence:.2f}",
            f"{one.accuracy:.2f}",
        )
    return table


def _words(done: Calibration) -> list[str]:
    from dpr.reading import MAP

    settings, silence = done.chosen.settings, done.chosen.silence
    told = [
        f"Chosen on {done.chosen.questions:,} questions with answers"
        + (f" and {done.chosen.unanswerable:,} without" if done.chosen.unanswerable else "")
        + f": relevance {settings.relevance_weight:g}, retrieval {settings.retrieval_weight:g}, "
        f"rank {settings.rank_weight:g}; of the map "
        + ", ".join(f"{name} {getattr(settings, f'confidence_{name}'):.3g}" for name in MAP)
        + ".",
        f"No answer below {settings.no_answer_below:g} ({silence.rule}): answers "
        f"{silence.answered:.1%} of the questions with an answer"
        + _share("gives none to {} of those whose passages are taken away", silence.silent)
        + _share("gives none to {} of those without an answer", silence.unanswerable)
        + ".",
    ]
    return [*told, f"Kept in {done.kept}." if done.kept else "Nothing was kept."]


def _share(text: str, value: float | None) -> str:
    return "" if value is None else f", {text.format(f'{value:.1%}')}"
