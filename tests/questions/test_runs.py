"""Runs: against ir_measures and trec_eval, round trips, and what is malformed."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import ir_measures
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpr.errors import InputError
from dpr.questions import read_run, write_run

from .strategies import words

scores = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-3, 3).map(float))
runs = st.dictionaries(
    words, st.dictionaries(words, scores, min_size=1, max_size=5), min_size=1, max_size=4
)


def write(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@given(runs)
def test_a_run_is_read_as_written(
    tmp_path_factory: pytest.TempPathFactory, run: dict[str, dict[str, float]]
) -> None:
    path = tmp_path_factory.mktemp("runs") / "a.run"
    write_run(path, run, tag="t")
    read = read_run(path)
    assert read == run
    for question, found in read.items():
        ranked = sorted(run[question], key=lambda p: p.encode(), reverse=True)
        ranked.sort(key=lambda passage: -run[question][passage])
        assert list(found) == ranked
    # Python's text files end lines at more than line feeds, and ir_measures reads one.
    if all(line.isprintable() for line in path.read_text(encoding="utf-8").split("\n")):
        theirs: dict[str, dict[str, float]] = {}
        for one in ir_measures.read_trec_run(str(path)):
            theirs.setdefault(one.query_id, {})[one.doc_id] = one.score
        assert theirs == read
        write_run(path, theirs, tag="t")
        assert read_run(path) == run


def test_ties_stand_as_trec_eval_orders_them(tmp_path: Path) -> None:
    """A measure that tells ranks apart: only the passage that trec_eval puts first is relevant."""
    run = {"q": {"b": 1.0, "z": 1.0, "a": 1.0, "é": 1.0, "c": 2.0, "B": 1.0}}
    path = tmp_path / "a.run"
    write_run(path, run, tag="t")
    order = list(read_run(path)["q"])
    assert order == ["c", "é", "z", "b", "a", "B"]
    for rank, passage in enumerate(order, 1):
        (found,) = ir_measures.iter_calc([ir_measures.RR], {"q": {passage: 1}}, run)
        assert found.value == 1 / rank


def test_columns_and_lines(tmp_path: Path) -> None:
    text = "q1 Q0 d1 1 2.5 tag\r\n\n \nq2\tQ0\td1\t7\t-1e3\ttag\nq1  0  a\u00a0b  x  .5  t"
    expected = {"q1": {"d1": 2.5, "a\u00a0b": 0.5}, "q2": {"d1": -1000.0}}
    assert read_run(write(tmp_path / "a.run", text)) == expected
    assert read_run(write(tmp_path / "a.run.gz", gzip.compress(text.encode()))) == expected
    assert read_run(write(tmp_path / "b", b"\xef\xbb\xbf" + text.encode())) == expected


GOOD = "q Q0 a 1 2.5 t\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (GOOD + "q Q0 b 1 2.5\n", ":2: 5 columns, 'q Q0 b 1 2.5'; a run has six"),
        (GOOD + "q Q0 b c 1 2.5 t\n", ":2: 7 columns"),
        (GOOD + "q Q0 b 1 high t\n", ":2: the score is 'high'; expected a finite number"),
        (GOOD + "q Q0 b 1 nan t\n", ":2: the score is 'nan'"),
        (GOOD + "q Q0 b 1 -inf t\n", ":2: the score is '-inf'"),
        (GOOD + "q Q0 b 1 1e999 t\n", ":2: the score is '1e999'"),
        (GOOD + "q Q0 b 1 1_000 t\n", ":2: the score is '1_000'"),
        (GOOD + "q Q0 b 1 é t\n", ":2: the score is 'é'"),
        (GOOD + "p Q0 a 1 1 t\nq Q0 a 2 1 t\n", ":3: passage 'a' comes twice for question 'q'"),
        (GOOD.encode() + b"q Q0 \xff 1 1 t\n", ":2: not UTF-8"),
        (GOOD.encode() + b"q Q0 \0 1 1 t\n", ":2: NUL byte"),
        ("\n\n", ": the run is empty"),
        (gzip.compress(GOOD.encode(), mtime=0)[:-9], ":[12]: the gzip data ends too early"),
    ],
)
def test_what_is_malformed(tmp_path: Path, data: str | bytes, told: str) -> None:
    with pytest.raises(InputError, match=rf"a\.run{told}"):
        read_run(write(tmp_path / "a.run", data))


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_run(tmp_path / "a.run")


@pytest.mark.parametrize(
    ("run", "tag", "told"),
    [
        ({"q 1": {"a": 1.0}}, "t", "question id 'q 1' holds white space.*replace it"),
        ({"q": {"A b/0": 1.0}}, "t", "passage id 'A b/0' holds white space.*use results"),
        ({"q": {"a\u00a0b": 1.0}}, "t", "holds white space"),
        ({"q": {"": 1.0}}, "t", "passage id is empty"),
        ({"q": {"a\0": 1.0}}, "t", "NUL character"),
        ({"q": {"\ufeffa": 1.0}}, "t", "begins with U\\+FEFF"),
        ({"q": {"a": math.nan}}, "t", "score of passage 'a' for question 'q' is nan"),
        ({"q": {"a": math.inf}}, "t", "is inf"),
        ({"q": {"a": 1.0}}, "my tag", "the tag 'my tag' holds white space"),
        ({"q": {"a": 1.0}}, "", "the tag is empty"),
    ],
)
def test_what_no_run_can_hold(
    tmp_path: Path, run: dict[str, dict[str, float]], tag: str, told: str
) -> None:
    with pytest.raises(InputError, match=rf"a\.run: .*{told}"):
        write_run(tmp_path / "a.run", run, tag=tag)
    assert not list(tmp_path.iterdir())
