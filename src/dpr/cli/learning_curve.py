"""``dpr learning-curve``: whether to train, and on how many questions.

Takes what a person typed, gives a table, a verdict and a picture. Knows nothing of how it is done.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from dpr.cli import terminal
from dpr.cli.evaluate import telling
from dpr.cli.options import Json, OnError, with_settings
from dpr.cli.train import Misplaced, Tied, TrainFiles
from dpr.errors import InputError, MissingExtraError
from dpr.training.settings import LearningSettings, LoopSettings, RetrieverSettings

if TYPE_CHECKING:
    from dpr.pipeline.learning import Tests
    from dpr.training.efficiency import LearningCurve

TestFiles = Annotated[
    list[Path],
    typer.Option(
        "--test",
        metavar="FILE",
        help="Test questions, read as --train (of a BEIR folder qrels/test.tsv); the first set "
        "decides, others show what training costs outside its domain. Repeatable.",
    ),
]
Pool = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="SOURCE",
        help="What to search among beside the samples' passages: a collection, or documents, each "
        "taken whole; repeatable.",
    ),
]
Start = Annotated[
    str,
    typer.Option(
        metavar="PLACE",
        help="What each size starts from: a model of the package, a model folder, or a BERT "
        "(folder or hub id) for both towers.",
    ),
]
To = Annotated[Path, typer.Option(metavar="DIR", help="The folder of the runs and the picture.")]


@with_settings
def learning_curve(
    settings: LearningSettings,
    loop: LoopSettings,
    retriever: RetrieverSettings,
    train: TrainFiles,
    test: TestFiles,
    pool: Pool = None,
    start: Start = "dpr-mini",
    to: To = Path("runs/learning-curve"),
    tied: Tied = None,
    on_error: Misplaced = OnError.stop,
    as_json: Json = False,
) -> None:
    """Should I train, and on how many questions? Tries, and says so.

    Trains on 100, 300, 1,000, ... of the questions, measures each model on test questions beside
    BM25, the words that collections are searched by, and the untrained start, and draws the curve
    (figure 1 of the paper, for your data). Give the settings that you would train with, such as
    --batch-size 32 --epochs 3 --learning-rate 2e-5; negatives are those of the samples.
    If it is interrupted, run the same command again: it goes on where it stopped.

    [bold]Example[/]

      dpr learning-curve --train train.json --test test.json --test other.json --epochs 3
    """
    from dpr.cli import advice
    from dpr.cli.training import read_all, read_pool
    from dpr.pipeline.learning import learning_curve as make
    from dpr.pipeline.learning import make_tests, plan
    from dpr.training.engine import Engine
    from dpr.training.folder import check_folder

    check_folder(to)
    samples = read_all(train, on_error.value)
    asked = _named(test).items()
    named = {name: read_all([file], on_error.value, split="test") for name, file in asked}
    tests = make_tests(named, samples, read_pool(pool or [], 0, loop.seed, on_error.value))
    runs = plan(samples, loop, retriever, settings)
    speaks = Engine(loop.precision).is_main  # of several processes one
    notes = _notes(start, tests, loop, retriever, settings.k)
    for text in (*notes, *advice.in_curve(runs, loop, retriever, settings)) if speaks else ():
        terminal.note(text)
    try:
        with telling() as tell:
            curve = make(
                samples,
                tests,
                start,
                to,
                loop=loop,
                retriever=retriever,
                settings=settings,
                tied=tied,
                tell=tell if speaks else lambda text: None,
            )
    except KeyboardInterrupt:
        terminal.note("what is done is kept; run the same command again to go on")
        raise
    if speaks:
        _show(curve, to, as_json)


def _notes(
    start: str, tests: Tests, loop: LoopSettings, retriever: RetrieverSettings, k: int
) -> Iterator[str]:
    from dpr.cli import advice
    from dpr.pipeline.models import towers
    from dpr.tokens import DPRQuestionEncoderTokenizer

    names = towers(start)
    yield from advice.idle_in_curve(loop)
    yield from advice.idle_without(retriever)
    yield from advice.other_length(names, retriever)
    tokenizer = DPRQuestionEncoderTokenizer.from_pretrained(names.question)
    passages = {(one.title, one.text) for one in tests.pool}
    length = retriever.passage_length
    yield from advice.cut_in_search(tokenizer, passages, length, "test questions")
    if k >= len(tests.pool):
        yield (
            f"--k {k}: there are {len(tests.pool):,} passages to search, so R@{k} is 1 whatever a "
            "model finds; give a smaller one, or more passages (--pool)"
        )
    if retriever.hashing:
        yield (
            "--hashing: passages are searched by the signs of their vectors, those of the "
            "untrained model too"
        )


def _named(files: list[Path]) -> dict[str, Path]:
    """Test files by their names.

    Raises:
        InputError: one is given twice.
    """
    from dpr.samples.naming import short_names

    named = dict(zip(short_names(files), files, strict=True))
    if len(named) < len(files):
        given = ", ".join(map(str, files))
        raise InputError(f"a test set is given twice (--test {given}); give each once")
    return named


def _show(curve: LearningCurve, to: Path, as_json: bool) -> None:
    from dpr.training.efficiency import draw

    picture: Path | None = None
    try:
        picture = draw(curve, to / "learning-curve.png")
    except MissingExtraError as error:
        terminal.note(f"no picture: {error}")
    figures = curve.figures()
    if as_json:
        shape = {
            name: {test: asdict(one) for test, one in of_one.items()}
            for name, of_one in figures.items()
        }
        terminal.json_line(
            {
                "measure": f"R@{curve.k}",
                "passages": curve.passages,
                "figures": shape,
                "verdict": curve.verdict(),
                "picture": None if picture is None else str(picture),
            }
        )
        return
    table = Table(box=None, pad_edge=False)
    table.add_column(f"R@{curve.k}, 95% interval")
    for test in curve.tests:
        table.add_column(test, justify="right")
    for name, of_one in figures.items():
        cells = [
            f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
            for one in (of_one[test] for test in curve.tests)
        ]
        table.add_row(name, *cells)
    terminal.out().print(table)
    terminal.line(curve.measured_on())
    terminal.line()
    for sentence in curve.verdict():
        terminal.line(sentence)
    if picture is not None:
        terminal.line(f"picture: {picture}")
