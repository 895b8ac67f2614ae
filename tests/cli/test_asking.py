"""``search`` and ``ask``: what programs and people get, from every way of asking."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from dpr.cli import asking

from .conftest import DOCUMENTS, Run

ROOT = Path(__file__).resolve().parents[2]

QUESTIONS = ["who wrote a song?", "what is paris", "the old city"]
ANY = ("--no-answer-below", 0)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def check_hits(hits: list[dict[str, Any]]) -> None:
    assert hits
    for hit in hits:
        assert set(hit) == {
            *("id", "document", "title", "section", "text", "source", "start", "end", "metadata"),
            *("score", "dense_score", "dense_rank", "bm25_score", "bm25_rank"),
        }
        assert hit["document"] == hit["id"].partition("#")[0]
        document = DOCUMENTS[hit["id"].partition("#")[0]]
        assert document[hit["start"] : hit["end"]] == hit["text"]
    scores = [hit["score"] for hit in hits]
    assert scores == sorted(scores, reverse=True)


def test_search_gives_hits_whose_offsets_are_those_of_the_document(
    run: Run, collection: Path
) -> None:
    result = run("search", collection, QUESTIONS[0], "--k", 3, "--json")
    (found,) = lines(result.stdout)
    assert (found["id"], found["question"]) == ("1", QUESTIONS[0])
    assert "answers" not in found
    assert len(found["hits"]) == 3
    check_hits(found["hits"])


def test_ask_gives_answers_whose_offsets_are_those_of_passage_and_document(
    run: Run, collection: Path
) -> None:
    (found,) = lines(run("ask", collection, QUESTIONS[0], "--json", *ANY).stdout)
    check_hits(found["hits"])
    passages = {hit["id"]: hit for hit in found["hits"]}
    assert found["answers"]
    for answer in found["answers"]:
        passage = passages[answer["passage_id"]]
        assert passage["text"][answer["start"] : answer["end"]] == answer["text"]
        document = DOCUMENTS[answer["passage_id"].partition("#")[0]]
        assert document[answer["document_start"] : answer["document_end"]] == answer["text"]
        assert 0 <= answer["score"] <= 1


def test_no_answer_is_an_empty_list(run: Run, collection: Path) -> None:
    result = run("ask", collection, QUESTIONS[0], "--json", "--no-answer-below", 1)
    (found,) = lines(result.stdout)
    assert found["answers"] == []
    assert found["hits"]
    assert "no answer" in run("ask", collection, QUESTIONS[0], "--no-answer-below", 1).stdout


def test_questions_of_a_file_come_back_in_its_order_whatever_the_batch(
    run: Run, collection: Path, tmp_path: Path
) -> None:
    file = tmp_path / "questions.txt"
    file.write_text("\n\n".join(QUESTIONS * 3), encoding="utf-8")
    for batch in (2, 64):
        result = run(
            "search", collection, "--questions", file, "--json", "--k", 2, "--batch", batch
        )
        found = lines(result.stdout)
        assert [one["question"] for one in found] == QUESTIONS * 3
        assert [one["id"] for one in found] == [str(1 + 2 * place) for place in range(9)]


def test_beir_queries_keep_their_ids(run: Run, collection: Path, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    rows = [{"_id": f"q{n}", "text": text, "metadata": {}} for n, text in enumerate(QUESTIONS)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = lines(run("ask", collection, "--questions", file, "--json").stdout)
    assert [one["id"] for one in found] == ["q0", "q1", "q2"]
    assert [one["question"] for one in found] == QUESTIONS


@pytest.mark.parametrize("name", ["nq.qa.csv", "nq.tsv", "nq.TSV.gz"])
def test_of_dprs_table_only_the_questions_are_searched_for(
    run: Run, collection: Path, tmp_path: Path, name: str
) -> None:
    rows = "".join(f"{text}\t['stone', \"x'\"]\n" for text in QUESTIONS).encode()
    file = tmp_path / name
    file.write_bytes(gzip.compress(rows) if name.endswith(".gz") else rows)
    found = lines(run("search", collection, "--questions", file, "--json").stdout)
    assert [one["question"] for one in found] == QUESTIONS
    assert [one["id"] for one in found] == ["0", "1", "2"]  # as evaluating reads it
    more = ("--output", tmp_path / "results.json", "--format", "results")
    assert run("search", collection, "--questions", file, *more).exit_code == 0
    written = json.loads((tmp_path / "results.json").read_text())
    assert [one["answers"] for one in written] == [["stone", "x'"]] * 3
    file.with_name("plain.tsv").write_text("one question\n")
    refused = run("search", collection, "--questions", file.with_name("plain.tsv"))
    assert refused.exit_code == 1
    assert "plain.tsv:1: 1 fields" in refused.stderr


def test_piped_questions_are_answered_a_line_each(run: Run, collection: Path) -> None:
    piped = run("ask", collection, "--json", *ANY, input="\n".join(QUESTIONS)).stdout
    assert [one["question"] for one in lines(piped)] == QUESTIONS
    dashed = run("ask", collection, "--questions", "-", "--json", *ANY, input="\n".join(QUESTIONS))
    assert dashed.stdout == piped


def test_a_prompt_asks_until_the_end_of_input(
    run: Run, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["the old city", "  ", "what is bread"])

    class Terminal:
        """A stdin that people type into."""

        def isatty(self) -> bool:
            return True

    def type_line(prompt: str = "") -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(asking, "input", type_line, raising=False)
    real = asking.sys

    class System:
        stdin = Terminal()

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    monkeypatch.setattr(asking, "sys", System())
    result = run("search", collection, "--json", "--k", 1)
    assert [one["question"] for one in lines(result.stdout)] == ["the old city", "what is bread"]
    assert "question> " in result.stderr  # stdout is no terminal here


def test_people_see_the_answer_first_and_then_marked_in_its_passage(
    run: Run, collection: Path
) -> None:
    (found,) = lines(run("ask", collection, QUESTIONS[0], "--json", *ANY).stdout)
    shown = run("ask", collection, QUESTIONS[0], *ANY).stdout
    best = found["answers"][0]
    assert " ".join(best["text"].split()) in shown.splitlines()[0]
    marked = f"«{' '.join(best['text'].split())}»"
    place = next(n for n, h in enumerate(found["hits"], 1) if h["id"] == best["passage_id"])
    section = shown[shown.index(f"\n{place:>2}  ") :].split("\n\n")[0]
    assert marked in " ".join(section.split())
    assert "\x1b" not in shown


def test_usage_errors_exit_with_2_before_anything_is_loaded(run: Run, collection: Path) -> None:
    assert run("ask", collection, "").exit_code == 2
    assert run("ask", collection, "a", "--questions", "b").exit_code == 2
    assert run("ask", collection, "a", "--k", 0).exit_code == 2
    assert run("ask").exit_code == 2


def test_errors_are_one_line_on_stderr_and_exit_with_1(
    run: Run, collection: Path, tmp_path: Path
) -> None:
    result = run("ask", tmp_path / "nothing", "a")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert "dpr index" in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""

    file = tmp_path / "queries.jsonl"
    file.write_text('{"_id": "a", "text": "x"}\n{"_id": "b"}\n', encoding="utf-8")
    result = run("search", collection, "--questions", file, "--json")
    assert result.exit_code == 1
    assert f"{file}:2:" in result.stderr


def test_another_model_than_the_collections_own_is_refused(
    run: Run, collection: Path, model: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    (other / "encoder").mkdir(parents=True)
    for file in (model / "ctx_encoder").iterdir():
        (other / "encoder" / file.name).write_bytes(file.read_bytes())
    result = run("search", collection, "a", "--model", other)
    assert result.exit_code == 1
    assert "fingerprint" in result.stderr


def test_a_reader_is_taken_from_its_folder_or_the_model_around_it(
    run: Run, collection: Path, model: Path
) -> None:
    plain = run("ask", collection, QUESTIONS[0], "--json", *ANY).stdout
    for place in (model, model / "reader"):
        assert run("ask", collection, QUESTIONS[0], "--json", *ANY, "--reader", place).stdout == (
            plain
        )


def test_modes_filters_and_grouping_narrow_the_search(run: Run, collection: Path) -> None:
    def found(*options: object) -> dict[str, Any]:
        done = run("search", collection, "bread of the queen", "--json", *options)
        assert done.exit_code == 0, done.output
        (one,) = lines(done.stdout)
        return one

    assert found()["hits"] == found("--mode", "hybrid")["hits"]
    assert found()["version"] == 1
    both = [hit for hit in found()["hits"] if hit["bm25_rank"]]
    assert {hit["document"] for hit in both} == {"bread"}
    assert all(hit["dense_rank"] and hit["bm25_score"] > 0 for hit in both)
    dense = found("--mode", "dense")["hits"]
    assert all(hit["dense_score"] == hit["score"] and hit["bm25_rank"] is None for hit in dense)
    assert [hit["dense_rank"] for hit in dense] == list(range(1, len(dense) + 1))
    words = found("--mode", "bm25")["hits"]
    assert {hit["document"] for hit in words} == {"bread"}
    assert all(hit["bm25_score"] == hit["score"] and hit["dense_score"] is None for hit in words)
    some = found("--where", "document=france|stone", "--where", "title!=Stone")["hits"]
    assert {hit["document"] for hit in some} == {"france"}
    spread = found("--per-document", 1)["hits"]
    assert sorted(hit["document"] for hit in spread) == sorted(DOCUMENTS)
    (asked,) = lines(
        run("ask", collection, "bread", "--json", "--where", "document=bread", *ANY).stdout
    )
    assert {hit["document"] for hit in asked["hits"]} == {"bread"}
    assert asked["version"] == 1


def test_what_makes_no_sense_is_told_before_anything_is_loaded(run: Run, tmp_path: Path) -> None:
    wrong = run("search", tmp_path / "nothing", "a", "--where", "lang==en")
    assert wrong.exit_code == 1
    assert "write one =" in wrong.stderr
    assert run("search", tmp_path / "nothing", "a", "--mode", "words").exit_code == 2
    assert run("ask", tmp_path / "nothing", "a", "--per-document", 0).exit_code == 2


def test_people_see_both_scores_and_ranks_and_the_version(run: Run, collection: Path) -> None:
    shown = run("search", collection, "bread of the queen").stdout
    (found,) = lines(run("search", collection, "bread of the queen", "--json").stdout)
    heads = [line for line in shown.splitlines() if "dense" in line]
    for hit, head in zip(found["hits"], heads, strict=True):
        assert f"{hit['score']:.2f}  dense {hit['dense_score']:.2f} (#{hit['dense_rank']})" in head
        rank = f" (#{hit['bm25_rank']})" if hit["bm25_rank"] else ""
        assert head.endswith(f"bm25 {hit['bm25_score']:.2f}{rank}")
    assert any(hit["bm25_rank"] for hit in found["hits"])
    assert "version 1 of the collection" in shown
    several = run("search", collection, input="bread\nstone\n").stdout
    assert several.count("version 1 of the collection") == 1


@pytest.mark.parametrize("format", ["trec", "results", "jsonl"])
def test_hits_are_written_to_a_file(
    run: Run, collection: Path, tmp_path: Path, format: str
) -> None:
    from dpr.questions import read_results, read_run

    file, output = tmp_path / "questions.txt", tmp_path / "hits"
    file.write_text("\n".join(QUESTIONS), encoding="utf-8")
    arguments = ("search", collection, "--questions", file, "--batch", 2)
    shown = lines(run(*arguments, "--json").stdout)
    done = run(*arguments, "--output", output, "--format", format)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{output}: the hits of 3 questions\n"
    if format == "trec":
        run_of = {
            str(n): {h["id"]: h["score"] for h in one["hits"]} for n, one in enumerate(shown, 1)
        }
        assert read_run(output) == run_of
        assert output.read_text(encoding="utf-8").splitlines()[0].endswith(" docs")
    elif format == "results":
        written = read_results(output)
        assert [one.question.text for one in written] == QUESTIONS
        ids = [[hit.passage.id for hit in one.hits] for one in written]
        assert ids == [[hit["id"] for hit in one["hits"]] for one in shown]
    else:
        assert lines(output.read_text(encoding="utf-8")) == shown
    told = json.loads(run(*arguments, "--output", output, "--json").stdout)
    assert told == {"path": str(output), "format": "trec", "questions": 3}


@pytest.mark.parametrize(
    "page",
    [
        "docs/collections.md",
        *(f"src/dpr/cli/{name}.py" for name in ("asking", "search", "remove")),
    ],
)
def test_the_patterns_that_are_shown_find_what_lies_in_a_folder(
    run: Run, model: Path, tmp_path: Path, page: str
) -> None:
    shown = re.findall(r"'(\w+~(\w+)/\*)'", (ROOT / page).read_text(encoding="utf-8"))
    assert shown
    for condition, name in shown:
        folder = tmp_path / "docs"
        (folder / name).mkdir(parents=True)
        for place in (f"{name}/leave.md", "other.md"):
            (folder / place).write_text("The old city of Paris.", encoding="utf-8")
        made = run("index", folder, "--to", tmp_path / "c", "--model", model)
        assert made.exit_code == 0, made.output
        found = run("search", tmp_path / "c", "paris", "--where", condition, "--json")
        hits = json.loads(found.stdout)["hits"]
        assert [hit["document"] for hit in hits] == [f"{name}/leave.md"]
