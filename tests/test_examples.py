"""The examples of README.md and docs/ run as they stand there.

A fenced block of Python that follows the line ``<!-- example -->`` is an example. The examples of a
file run from top to bottom in one namespace, in an empty folder. Comments ``# -> text`` in a block
say, in order, the lines that it prints; ``...`` in one stands for anything. A block without such
comments may print what it likes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [path for path in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))] if path.exists()]
MARK = "<!-- example -->"


class Example(NamedTuple):
    """One block: its code, the line that it starts on, and what it should print."""

    code: str
    line: int
    expected: list[str]


def read_examples(text: str) -> list[Example]:
    """The marked blocks of a page.

    Raises:
        ValueError: a mark that no block of Python follows, or a block that does not end.
    """
    lines = text.splitlines()
    examples = []
    for number, line in enumerate(lines):
        if line.strip() != MARK:
            continue
        if lines[number + 1 : number + 2] != ["```python"]:
            raise ValueError(f"line {number + 1}: {MARK} without ```python in the next line")
        start = number + 2
        code = lines[start : lines.index("```", start)]
        expected = [found[1] for one in code if (found := re.search(r"# -> ?(.*)$", one))]
        examples.append(Example("\n".join(code), start + 1, expected))
    return examples


def run_example(
    example: Example, page: str, names: dict[str, object], capture: pytest.CaptureFixture[str]
) -> None:
    """Runs one block; an error in it names the page and the line."""
    capture.readouterr()
    exec(compile("\n" * (example.line - 1) + example.code, page, "exec"), names)
    printed = capture.readouterr().out.splitlines()
    if example.expected:
        where = f"{page}:{example.line} printed:\n" + "\n".join(printed)
        assert len(printed) == len(example.expected), where
        for line, expected in zip(printed, example.expected, strict=True):
            pattern = ".*".join(re.escape(part) for part in expected.rstrip().split("..."))
            assert re.fullmatch(pattern, line.rstrip()), f"{where}\nexpected: {expected}"


def run_page(text: str, page: str, capture: pytest.CaptureFixture[str]) -> None:
    """Runs the examples of a page in the current folder."""
    names: dict[str, object] = {"__name__": "__example__"}
    for example in read_examples(text):
        run_example(example, page, names, capture)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if MARK in page.read_text(encoding="utf-8").splitlines()],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_examples_run(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(page.read_text(encoding="utf-8"), page.name, capsys)


# The mechanism itself.


def page_of(*blocks: str) -> str:
    return "".join(f"Text.\n\n{MARK}\n```python\n{block}\n```\n" for block in blocks)


def test_blocks_share_their_names_and_their_output_is_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = page_of("x = 2", "for n in range(x):\n    print(n)\n# -> 0\n# -> 1")
    run_page(page, "page.md", capsys)


@pytest.mark.parametrize("expected", ["2", "0.50 and more", "0.5", ""])
def test_other_output_fails(expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError, match=r"page\.md:5 printed:\n *0\.51 and more"):
        run_page(page_of(f"print('0.51 and more')  # -> {expected}"), "page.md", capsys)


@pytest.mark.parametrize("expected", ["0.51 and more", "0.5... and more", "..."])
def test_dots_stand_for_anything(expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_page(page_of(f"print('0.51 and more')  # -> {expected}"), "page.md", capsys)


def test_missing_and_additional_lines_fail(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssertionError):
        run_page(page_of("print(1)\nprint(2)  # -> 2"), "page.md", capsys)
    with pytest.raises(AssertionError):
        run_page(page_of("pass  # -> 1"), "page.md", capsys)


def test_an_error_names_the_line_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run_page(page_of("x = 1", "y = 2\nx / 0"), "page.md", capsys)
    last = caught.traceback[-1]
    assert (str(last.path).endswith("page.md"), last.lineno + 1) == (True, 12)


def test_unmarked_blocks_do_not_run(capsys: pytest.CaptureFixture[str]) -> None:
    run_page("```python\n1 / 0\n```\n", "page.md", capsys)


def test_a_mark_without_a_block_is_an_error() -> None:
    with pytest.raises(ValueError, match="line 1: "):
        read_examples(f"{MARK}\n\n```python\n```\n")
