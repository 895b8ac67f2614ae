"""``dpr tune``: the index and the weights of a collection, chosen by measuring.

Takes what a person wants of the index, gives a table and what was chosen. Knows nothing of how.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from dpr.cli import terminal
from dpr.cli.options import CollectionFolder, Json, Model
from dpr.cli.running import FAILED

if TYPE_CHECKING:
    from dpr.pipeline.tuning import Tuning
    from dpr.search.choosing import Targets, Trial

Recall = Annotated[
    float | None,
    typer.Option(
        min=0.01, max=1.0, show_default="what was wanted last, else 0.95",
        help="Of the exact best K passages, the share that is found at least.",
    ),
]  # fmt: skip
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", show_default="what was wanted last, else any",
        help="At most, such as 500MB or 2GB, or any.",
    ),
]  # fmt: skip
Latency = Annotated[
    str | None,
    typer.Option(
        metavar="TIME", show_default="what was wanted last, else any",
        help="For 95 of 100 questions, encoding included, such as 20ms, or any.",
    ),
]  # fmt: skip
Questions = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Real questions to measure with; with the passages that answer them, also to weigh "
        "vectors and words. [dim]\\[default: made from the passages][/]",
    ),
]
RecallAt = Annotated[
    int | None,
    typer.Option(
        "--recall-at", min=1, show_default="what was wanted last, else 100",
        help="K: how many passages.",
    ),
]  # fmt: skip
_SIZES = {"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2**10, "mib": 2**20}
_SIZES |= {"gib": 2**30, "tib": 2**40, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_TIMES = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


def tune(
    collection: CollectionFolder,
    recall: Recall = None,
    memory: Memory = None,
    latency: Latency = None,
    recall_at: RecallAt = None,
    questions: Questions = None,
    even: Annotated[
        bool,
        typer.Option(
            "--even",
            help="Of --questions, weigh those that vectors answer better as much as those that "
            "words do: for questions that were made up while reading the passages.",
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Only measure what is there against what was wanted."),
    ] = False,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Choose the index of a collection: the quickest that finds enough in the memory allowed.

    Indexes are built and measured on questions, never on passages taken for questions. What is
    wanted is kept, and measured again by `dpr tune --check`. Exits with 1 where no index does it.

    [bold]Examples[/]

      dpr tune docs.dpr --recall 0.98 --memory 2GB --latency 20ms

      dpr tune docs.dpr --questions questions.jsonl

      dpr tune docs.dpr --check
    """
    from dpr.pipeline.tuning import recheck

    if check:
        others = {
            "--recall": recall, "--memory": memory, "--latency": latency, "--recall-at": recall_at,
            "--questions": questions, "--even": even or None,
        }  # fmt: skip
        if given := [name for name, value in others.items() if value is not None]:
            raise typer.BadParameter(
                f"{', '.join(given)} with --check, which measures what was wanted last; "
                "leave out one or the other"
            )
        _checked(recheck(collection, model=model, tell=_tell()), as_json)
        return
    if even and questions is None:
        raise typer.BadParameter("--even is for weighing by questions; give them as --questions")
    wanted = targets(recall, memory, latency, recall_at, collection)
    done = run_tuning(collection, wanted, questions, model, as_json, even)
    if as_json:
        terminal.json_line(tuning_shape(done))
    if done.choice.trial is None:
        raise typer.Exit(FAILED)


def run_tuning(
    folder: Path,
    wanted: Targets | None,
    questions: Path | None,
    model: str | None,
    as_json: bool,
    even: bool = False,
) -> Tuning:
    """Chooses an index, and shows how unless programs are to read it."""
    from dpr.pipeline.tuning import tune as choose

    done = choose(
        folder,
        targets=wanted,
        questions=questions,
        model=model,
        weights="even" if even else True,
        tell=_tell(),
    )
    if not as_json:
        show_tuning(done)
    return done


def _tell() -> Callable[[str], None]:
    return terminal.note if terminal.err().is_terminal else (lambda text: None)


def targets(
    recall: float | None,
    memory: str | None,
    latency: str | None,
    k: int | None = None,
    folder: Path | None = None,
) -> Targets | None:
    """What is wanted; None where nothing was said. What was not said is as the collection in
    ``folder`` keeps it."""
    from dataclasses import replace

    from dpr.search.choosing import Targets

    said: dict[str, Any] = {} if recall is None else {"recall": recall}
    if memory is not None:
        size = _number(memory, _SIZES, "500MB, 2GB or any", "--memory")
        said["memory"] = None if size is None else int(size)
    if latency is not None:
        said["latency"] = _number(latency, _TIMES, "20ms, 1s or any", "--latency")
    if k is not None:
        said["k"] = k
    if not said:
        return None
    return replace(Targets() if folder is None else _wanted_last(folder), **said)


def _wanted_last(folder: Path) -> Targets:
    from dpr.collection import read_manifest
    from dpr.pipeline.tuning import KEY
    from dpr.search.choosing import Targets

    kept = read_manifest(folder).search.get(KEY)
    return Targets(**kept["targets"]) if kept else Targets()


def _number(text: str, units: dict[str, float], example: str, option: str) -> float | None:
    if text.strip().lower() == "any":
        return None
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", text)
    if match is None or match[2].lower() not in units:
        raise typer.BadParameter(f"{option} is {text!r}; write for example {example}")
    return float(match[1]) * units[match[2].lower()]


def tuning_shape(done: Tuning) -> dict[str, Any]:
    """What is chosen, as JSON."""
    from dataclasses import asdict

    from dpr.pipeline.weighing import mode_of

    fusion = done.fusion
    return {
        "chosen": None if done.choice.trial is None else asdict(done.choice.trial),
        "why": done.choice.why,
        "trials": [asdict(trial) for trial in done.trials],
        "fusion": None
        if fusion is None
        else {
            **asdict(fusion.settings),
            "ndcg@10": fusion.ndcg.value,
            "worthwhile": fusion.worthwhile,
            "mode": mode_of(fusion),
        },
        "version": done.manifest.version,
        "notes": list(done.notes),
    }


def show_tuning(done: Tuning) -> None:
    """What was measured, and what was chosen."""
    from dpr.pipeline.weighing import mode_of

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("index", "recall", "interval", "p50", "p95", "memory", "built in", "answers"):
        first = name == "index"
        table.add_column(name, justify="left" if first else "right", no_wrap=not first)
    for trial in done.trials:
        style = "bold green" if trial == done.choice.trial else ""
        table.add_row(*_row(trial), style=style)
    terminal.out().print(table)
    terminal.line("")
    terminal.line(done.choice.why)
    if fusion := done.fusion:
        terminal.line(
            f"Searched by {mode_of(fusion)} from now on. Hybrid search: "
            f"{fusion.settings.method}, weight {fusion.settings.weight:g}"
            + (f", power {fusion.settings.power:g}" * (fusion.settings.method == "normalised"))
            + f"; held-out nDCG@10 {fusion.ndcg.value:.3f}"
            + (
                ""
                if fusion.worthwhile
                else "; no better than one part alone, as far as can be told"
            )
        )
    for note in done.notes:
        terminal.line(note)


def _row(trial: Trial) -> list[str]:
    exact = trial.exact
    return [
        terminal.clean(trial.name),
        f"{trial.recall:.3f}",
        "exact" if exact else f"{trial.low:.3f}–{trial.high:.3f}",
        f"{1e3 * trial.p50:.2f} ms",
        f"{1e3 * trial.p95:.2f} ms",
        terminal.size(trial.bytes),
        terminal.duration(trial.seconds),
        "" if trial.accuracy is None else f"{100 * trial.accuracy:+.1f} %",
    ]


def _checked(found: tuple[Trial, list[str]] | None, as_json: bool) -> None:
    from dataclasses import asdict

    from dpr.errors import CollectionError

    if found is None:
        raise CollectionError("no index was chosen for this collection yet; run `dpr tune` on it")
    trial, missed = found
    if as_json:
        terminal.json_line({"measured": asdict(trial), "missed": missed})
    else:
        terminal.line("  ".join(_row(trial)))
        terminal.line(f"misses: {', '.join(missed)}; run `dpr tune`" if missed else "as wanted")
    if missed:
        raise typer.Exit(FAILED)
