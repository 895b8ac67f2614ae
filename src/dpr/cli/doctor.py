"""``dpr doctor``: what is wrong in training data, shown with examples, and a copy without it.

Takes files, gives findings and an exit code. Knows nothing of how they are found.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from dpr.cli import terminal
from dpr.cli.evaluate import telling
from dpr.cli.options import Json, Overwrite, with_settings
from dpr.cli.running import FAILED
from dpr.samples.doctor import DoctorSettings

if TYPE_CHECKING:
    from dpr.samples.findings import Diagnosis, Finding, Found, Kind
    from dpr.tokens import DPRTokenizer

Files = Annotated[
    list[Path],
    typer.Argument(
        metavar="FILE...",
        help="Samples to train on: DPR JSON or JSON lines, SQuAD JSON, or a BEIR folder.",
        show_default=False,
    ),
]
TestFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--test",
        metavar="PATH",
        help="What must not be trained on: likewise, or any set of questions; repeatable.",
    ),
]
Clean = Annotated[
    Path | None,
    typer.Option(metavar="OUT.jsonl", help="Write the samples without what is faulty."),
]
Examples = Annotated[int, typer.Option(min=0, help="Findings of each kind to show.")]
TokenModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="PLACE",
        help="Count tokens with its tokenizer: a model of the package, a folder or a hub id.",
    ),
]


@with_settings
def doctor(
    settings: DoctorSettings,
    files: Files,
    test: TestFiles = None,
    clean: Clean = None,
    examples: Examples = 3,
    model: TokenModel = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Look for faults in training data: false negatives, leaks into the test, broken records.

    Faults make the command exit with 1, and are left out of the copy; remarks do neither. What
    each kind means is in docs/doctor.md.

    [bold]Examples[/]

      dpr doctor train.json --test test.json

      dpr doctor mined.jsonl --test nq-test.tsv --clean mined.clean.jsonl
    """
    from dpr.samples.doctor import diagnose

    if overwrite and clean is None:
        raise typer.BadParameter(
            "--overwrite is of the copy; give --clean OUT.jsonl, or leave it out"
        )
    tokenizer = None if model is None else _tokenizer(model)
    with telling() as tell:
        found = diagnose(
            files,
            settings,
            test or [],
            clean=clean,
            examples=examples,
            tokenizer=tokenizer,
            tell=tell,
            overwrite=overwrite,
        )
    if as_json:
        terminal.json_line(shape(found))
    else:
        show(found)
    if found.faults:
        raise typer.Exit(FAILED)


def _tokenizer(place: str) -> DPRTokenizer:
    from dpr.errors import CheckpointError
    from dpr.shipped import find_models
    from dpr.tokens import DPRQuestionEncoderTokenizer

    with suppress(CheckpointError):  # a tokenizer's own folder, or a hub id
        place = find_models(place).question
    return DPRQuestionEncoderTokenizer.from_pretrained(place)


def shape(found: Diagnosis) -> dict[str, Any]:
    """The diagnosis as JSON."""
    return {**asdict(found), "faults": found.faults, "remarks": found.remarks}


def show(found: Diagnosis) -> None:
    """The diagnosis for people: kinds with their counts and examples, faults first."""
    counted = f"{found.samples:,} samples, {found.positives:,} positives, {found.negatives:,} "
    tested = f"; a test of {found.test_questions:,} questions" if found.test_files else ""
    terminal.line(f"{', '.join(found.files)}: {counted}negatives{tested}")
    for one in found.found:
        _kind(one, found)
    if lengths := found.lengths:
        terminal.line()
        terminal.line(
            f"cut: {_share(lengths.questions_cut, lengths.questions)} of the questions at "
            f"{lengths.question_length} tokens, {_share(lengths.passages_cut, lengths.passages)} "
            f"of the passages at {lengths.passage_length}"
        )
    terminal.line()
    terminal.line(f"{found.faults:,} faults, {found.remarks:,} remarks")
    if copy := found.cleaned:
        terminal.line(
            f"{copy.path}: {copy.samples:,} samples; left out {copy.samples_dropped:,} samples, "
            f"{copy.positives_dropped:,} positives and {copy.negatives_dropped:,} negatives"
        )


def _kind(one: Found, found: Diagnosis) -> None:
    word, style = ("fault", "bold red") if one.kind.fault else ("remark", "yellow")
    whole = _whole(one.kind, found)
    share = f" ({_share(one.count, whole)} of the {one.kind.part}s)" if whole else ""
    terminal.line()
    terminal.out().print(
        Text.assemble((word, style), "  ", (one.kind.name, "bold"), f"  {one.count:,}{share}"),
        soft_wrap=True,
    )
    terminal.line(f"  {one.kind.means}")
    for example in one.examples:
        _example(example)


def _whole(kind: Kind, found: Diagnosis) -> int:
    wholes = {
        "sample": found.samples,
        "positive": found.positives,
        "negative": found.negatives,
        "passage": found.positives + found.negatives,
    }
    return wholes.get(kind.part, 0)


def _share(count: int, whole: int) -> str:
    return f"{100 * count / whole:.2f}%" if whole else "0%"


def _example(finding: Finding) -> None:
    part = f", {finding.part}" if finding.part else ""
    terminal.line(f"  {finding.file}, {finding.place}{part}: {finding.what}")
    for text in finding.excerpts:
        terminal.out().print(Text(f"      {terminal.clean(text)}", style="dim"), soft_wrap=True)
