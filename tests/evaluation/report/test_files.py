"""JSON, CSV, Markdown and the model card: what is written can be read, by others too."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from dpr.errors import InputError
from dpr.evaluation.records import Evaluation
from dpr.evaluation.report import (
    model_card,
    read_json,
    to_markdown,
    write_csv,
    write_json,
    write_report,
)

from . import sample


@pytest.fixture(scope="module")
def full() -> Evaluation:
    return sample.evaluation(120)


@pytest.mark.parametrize("make", [sample.evaluation, sample.hostile, sample.bare])
def test_json_reads_back_as_it_was(make: Callable[[], Evaluation], tmp_path: Path) -> None:
    one = make()
    path = write_json(one, tmp_path / "evaluation.json")
    assert read_json(path) == one
    json.loads(path.read_text(encoding="utf-8"))  # strict UTF-8, whatever the texts are


def test_json_keeps_what_json_has_no_number_for(full: Evaluation, tmp_path: Path) -> None:
    values = (float("inf"), float("-inf"), float("nan"))
    compared = tuple(replace(full.comparisons[0], effect=value) for value in values)
    path = write_json(replace(full, comparisons=compared), tmp_path / "e.json")
    text = path.read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    effects = [one.effect for one in read_json(path).comparisons]
    assert effects[:2] == list(values[:2]) and math.isnan(effects[2])


BROKEN: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (
        lambda values: values.update(format="dpr-evaluation/9"),
        "dpr-evaluation/9.*reads.*evaluation/1",
    ),
    (lambda values: values.pop("format"), "format None"),
    (lambda values: values.pop("title"), "/title: missing"),
    (lambda values: values.update(tittle="x"), "/tittle: unknown; known are title"),
    (lambda values: values.update(title=3), "/title: 3 is not a string"),
    (lambda values: values.update(systems={}), "/systems: {} is not a list"),
    (
        lambda values: values["systems"][0].update(cost=[]),
        r"/systems/0/cost: \[\] is not an object",
    ),
    (
        lambda values: values["comparisons"][1].update(wins=1.5),
        "/comparisons/1/wins: 1.5 is not a whole number",
    ),
    (
        lambda values: values["comparisons"][1].update(p=True),
        "/comparisons/1/p: true is not a number",
    ),
    (
        lambda values: values["examples"][0].update(values=[1]),
        r"/examples/0/values: \[1\] is not a list of 2",
    ),
]


@pytest.mark.parametrize(("breaks", "message"), BROKEN)
def test_a_file_that_is_none_is_refused(
    breaks: Callable[[dict[str, Any]], object], message: str, full: Evaluation, tmp_path: Path
) -> None:
    path = write_json(full, tmp_path / "e.json")
    values = json.loads(path.read_text(encoding="utf-8"))
    breaks(values)
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(InputError, match=f"e.json: .*{message}"):
        read_json(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff", "[" * 100_000])
def test_text_that_is_no_evaluation_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "e.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"e\.json"):
        read_json(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_json(tmp_path / "none.json")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize("make", [sample.evaluation, sample.hostile])
def test_csv_holds_every_figure_in_full(make: Callable[[], Evaluation], tmp_path: Path) -> None:
    one = make()
    one = replace(one, examples=())
    measures, comparisons, questions = (rows(path) for path in write_csv(one, tmp_path))
    given = {(row["system"], row["measure"], row["depth"]): row for row in measures}
    for system in one.systems:
        for name, value in system.measures.items():
            row = given[system.name, name, ""]
            assert float(row["value"]) == value.value and float(row["low"]) == value.low
        if system.reading is not None:
            for depth in system.reading.depths:
                row = given[system.name, "EM", str(depth.depth)]
                assert float(row["value"]) == depth.exact.value
    assert [float(row["p_holm"]) for row in comparisons] == [c.p_holm for c in one.comparisons]
    assert len(questions) == len(one.question_ids) * len(one.per_question)
    system = one.systems[2].name
    for place, row in enumerate(row for row in questions if row["system"] == system):
        assert row["question"] == one.question_ids[place]
        assert float(row["nDCG@10"]) == one.per_question[system]["nDCG@10"][place]


def test_an_unknown_value_is_empty_in_csv(full: Evaluation, tmp_path: Path) -> None:
    one = replace(full, question_ids=("a", "b"), per_question={"s": {"m": (None, 0.5)}})
    assert [row["m"] for row in rows(write_csv(one, tmp_path)[2])] == ["", "0.5"]


def test_markdown_says_it_in_one_table(full: Evaluation) -> None:
    text = to_markdown(full)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(full.systems)
    assert len({line.replace(r"\|", "").count("|") for line in table}) == 1
    value = full.systems[0].measures["accuracy@20"]
    assert f"{100 * value.value:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]" in table[2]
    assert "▼" in table[5] and "**" in table[4]
    last = text.splitlines()[-1]
    for said in (
        "120 questions of FairytaleQA",
        "95% intervals",
        "bm25",
        "2026-03-14",
        "dpr 0.1.0",
    ):
        assert said in last


def test_hostile_markdown_stays_a_table() -> None:
    table = [line for line in to_markdown(sample.hostile()).splitlines() if line.startswith("|")]
    assert len(table) == 6
    assert len({line.replace(r"\|", "").count("|") for line in table}) == 1
    assert "<script" not in "".join(table).replace(r"\<", "")


@pytest.mark.parametrize("make", [sample.evaluation, sample.hostile, sample.bare])
def test_the_hub_reads_the_model_card(make: Callable[[], Evaluation]) -> None:
    one = make()
    card = ModelCard(model_card(one))
    results = card.data.eval_results
    assert results
    system = one.systems[0]
    assert card.data.model_name == system.name
    found = {result.metric_type: result for result in results}
    for name, value in system.measures.items():
        assert found[name].metric_value == value.value
        assert found[name].task_type == "information-retrieval"
    if system.reading is not None:
        last = system.reading.depths[-1]
        assert found["exact_match"].metric_value == last.exact.value
        assert found["exact_match"].task_type == "question-answering"
    assert "## Evaluation" in card.text


def test_the_card_is_of_the_system_that_was_asked_for(full: Evaluation) -> None:
    assert 'name: "dpr-mini + bm25"' in model_card(full, "dpr-mini + bm25")
    with pytest.raises(InputError, match=r"'none'.*dpr-mini, bm25"):
        model_card(full, "none")
    with pytest.raises(InputError, match="has: none"):
        model_card(replace(full, systems=()))


def test_a_report_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    full = sample.bare()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be written"):
        write_report(full, tmp_path / "file" / "folder")
    (tmp_path / "evaluation.json").mkdir()
    with pytest.raises(InputError, match=r"evaluation\.json: cannot be written"):
        write_json(full, tmp_path / "evaluation.json")
    assert not list(tmp_path.glob(".*.tmp"))
