"""``index``, ``verify`` and ``info``: from documents to a folder, and what is said of it."""

from __future__ import annotations

import inspect
import json
import shutil
from importlib import import_module
from pathlib import Path

import pytest

from dpr.cli import progress
from dpr.cli.progress import count_passages
from dpr.cli.sources import Format, VectorType, words_settings
from dpr.collection import BuildSettings, Collection
from dpr.collection.manifest import DTYPES
from dpr.corpus import DuplicateSettings, SourceSettings, SplitSettings
from dpr.corpus.settings import FORMATS
from dpr.indexes.words import WordsSettings
from dpr.shipped import DEFAULT

from .conftest import Run

verb = import_module("dpr.cli.index")  # beside the function of the same name


def test_the_options_are_those_of_the_library() -> None:
    assert tuple(one.value for one in Format) == FORMATS
    parameters = inspect.signature(verb.index).parameters
    assert parameters["shard_size"].default == BuildSettings().shard_size
    assert parameters["dtype"].default == BuildSettings().dtype
    assert parameters["split"].default == str(SplitSettings())
    assert parameters["model"].default == DEFAULT
    assert {one.value for one in VectorType} == set(DTYPES)
    assert words_settings(parameters["words"].default, parameters["pairs"].default) == (
        WordsSettings()
    )
    for language, stop_words in (("english", "english"), ("plain", None)):
        own = words_settings(language, pairs=False)
        assert own is not None
        assert (own.stop_words, own.pairs) == (stop_words, False)
    assert DuplicateSettings.parse(parameters["duplicates"].default) is None


def test_what_was_skipped_is_counted_and_listed(run: Run, model: Path, tmp_path: Path) -> None:
    table = tmp_path / "docs.jsonl"
    table.write_text('{"id": "a", "text": "paris"}\n{"id": "b"}\nnonsense\n', encoding="utf-8")
    arguments = ("index", table, "--to", tmp_path / "c", "--model", model)
    stopped = run(*arguments)
    assert stopped.exit_code == 1
    assert f"{table}:2" in stopped.stderr

    told = run(*arguments, "--on-error", "skip", "--json")
    assert told.exit_code == 0, told.stderr
    summary = json.loads(told.stdout)
    assert (summary["passages"], summary["skipped"]) == (1, 2)
    assert [item["source"] for item in summary["skipped_items"]] == [f"{table}:2", f"{table}:3"]
    assert told.stderr == ""  # no progress where nobody watches

    shown = run(*arguments, "--on-error", "skip", "--overwrite")
    assert "1 passages" in shown.stdout
    assert f"{table}:3" in shown.stdout


def test_truncated_passages_are_counted(run: Run, model: Path, tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_text("stone " * 400, encoding="utf-8")
    arguments = ("index", text, "--to", tmp_path / "c", "--model", model, "--split", "none")
    result = run(*arguments)
    assert "of 1 passages only the first 256 tokens were encoded" in result.stdout


def test_a_collection_is_not_replaced_unless_asked(
    run: Run, model: Path, documents: Path, collection: Path
) -> None:
    again = run("index", documents, "--to", collection, "--model", model)
    assert again.exit_code == 1
    assert "overwrite" in again.stderr


def test_both_towers_or_none(run: Run, model: Path, documents: Path, tmp_path: Path) -> None:
    tower = model / "question_encoder"
    one = run("index", documents, "--to", tmp_path / "c", "--question-encoder", tower)
    assert one.exit_code == 2
    both = run(
        *("index", documents, "--to", tmp_path / "c", "--question-encoder", tower),
        *("--context-encoder", model / "ctx_encoder", "--reader", model / "reader"),
    )
    assert both.exit_code == 0, both.stderr
    assert run("ask", tmp_path / "c", "what is paris").exit_code == 0


def test_a_collection_finds_its_model_from_any_folder(
    run: Run, model: Path, documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    made = run("index", documents, "--to", tmp_path / "c", "--model", model.name)
    assert made.exit_code == 0, made.stderr
    monkeypatch.chdir(tmp_path)
    assert run("search", "c", "paris").exit_code == 0


def test_bad_settings_are_told_before_the_model_is_loaded(run: Run, tmp_path: Path) -> None:
    result = run("index", "pydoc", "--to", tmp_path / "c", "--split", "wodrs", "--model", "none")
    assert result.exit_code == 1
    assert "words:N" in result.stderr


def test_counting_gives_up_on_what_is_long_and_leaves_errors_to_the_reading(
    documents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SourceSettings()
    assert count_passages(str(documents), settings, SplitSettings("none")) == 3
    assert count_passages(str(tmp_path / "nothing"), settings, SplitSettings("none")) is None
    monkeypatch.setattr(progress, "COUNT_SECONDS", 0.0)
    assert count_passages(str(documents), settings, SplitSettings("words", 1)) is None


def test_verify_finds_a_flipped_byte(run: Run, collection: Path, tmp_path: Path) -> None:
    whole = run("verify", collection)
    assert (whole.exit_code, whole.stdout) == (0, f"{collection}: whole\n")

    copy = tmp_path / "copy"
    shutil.copytree(collection, copy)
    (file,) = copy.glob("segments/*/vectors.npy")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    damaged = run("verify", copy)
    assert damaged.exit_code == 1
    assert "vectors.npy" in damaged.stdout
    found = run("verify", copy, "--json")
    assert found.exit_code == 1
    (finding,) = json.loads(found.stdout)["findings"]
    assert finding["file"].endswith("vectors.npy")

    nothing = run("verify", tmp_path)
    assert nothing.exit_code == 1
    assert nothing.stderr.startswith("error: ")


def test_info_tells_of_collections_and_models(run: Run, collection: Path, model: Path) -> None:
    told = json.loads(run("info", collection, "--json").stdout)
    with Collection.open(collection) as opened:
        assert (told["kind"], told["rows"]) == ("collection", len(opened))
    assert told["made_from"]["sources"][0]["split"] == "words:8"
    assert "words:8" in run("info", collection).stdout

    told = json.loads(run("info", model, "--json").stdout)
    assert told["kind"] == "model"
    assert {"question_encoder", "ctx_encoder", "reader"} < set(told)
    assert told["reader"]["hidden_size"] == 32
    assert told["reader"]["tokenizer"] is True
    from dpr.models import DPRReader

    assert (
        told["reader"]["parameters"] == DPRReader.from_pretrained(model / "reader").num_parameters()
    )
    assert run("info", model / "nowhere").exit_code == 1


def test_info_is_a_line_a_fact_where_no_terminal_wraps(run: Run, collection: Path) -> None:
    lines = run("info", collection).stdout.splitlines()
    (fingerprint,) = (line for line in lines if line.startswith("encoder · fingerprint"))
    assert len(fingerprint.split()[-1]) == 64


def test_info_of_a_damaged_settings_file_is_an_error(run: Run, model: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(model, tmp_path / "model")
    (copied / "question_encoder" / "encoding.json").write_text("{", encoding="utf-8")
    result = run("info", copied)
    assert result.exit_code == 1
    assert "encoding.json" in result.stderr


def test_as_many_hits_are_shown_as_were_asked_for(run: Run, collection: Path) -> None:
    result = run("ask", collection, "who", "--k", 1, "--passages", 2, "--json")
    assert len(json.loads(result.stdout)["hits"]) == 1


def test_duplicates_are_left_out_and_listed(run: Run, model: Path, tmp_path: Path) -> None:
    table = tmp_path / "docs.jsonl"
    texts = ["the old city of paris", "bread", "The  old city of Paris"]
    rows = [{"id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    arguments = ("index", table, "--to", tmp_path / "c", "--model", model)
    kept = json.loads(run(*arguments, "--json").stdout)
    assert (kept["passages"], kept["duplicates"], kept["documents"]) == (3, 0, 3)
    options = ("--overwrite", "--duplicates", "drop-exact")
    dropped = json.loads(run(*arguments, *options, "--json").stdout)
    assert (dropped["passages"], dropped["duplicates"], dropped["documents"]) == (2, 1, 2)
    assert dropped["duplicate_items"] == [
        {"id": "d2", "of": "d0", "similarity": 1.0, "exact": True}
    ]
    assert "d2 equals d0" in run(*arguments, *options).stdout
    wrong = run(*arguments, "--duplicates", "drop")
    assert wrong.exit_code == 1
    assert "choose keep, drop-exact" in wrong.stderr


def test_words_and_types_of_vectors(run: Run, model: Path, documents: Path, tmp_path: Path) -> None:
    arguments = ("index", documents, "--model", model, "--json")
    without = tmp_path / "without"
    made = json.loads(run(*arguments, "--to", without, "--words", "none", "--dtype", "int8").stdout)
    assert made["dtype"] == "int8"
    assert run("search", without, "paris").exit_code == 0
    by_words = run("search", without, "paris", "--mode", "bm25")
    assert by_words.exit_code == 1
    assert "not counted" in by_words.stderr
    assert run(*arguments, "--to", tmp_path / "plain", "--words", "plain").exit_code == 0
    # "stones" is no form of "stone" where nobody's stems are known.
    for place, count in (("plain", 0), ("english", 1)):
        run(*arguments, "--to", tmp_path / place, "--words", place)
        found = run("search", tmp_path / place, "stones", "--mode", "bm25", "--json").stdout
        assert (len(json.loads(found)["hits"]) > 0) == bool(count)
    finnish = run(*arguments, "--to", tmp_path / "finnish", "--words", "finnish")
    assert finnish.exit_code == 0
    assert "no stop words are known for finnish" in finnish.stderr
    unknown = run(*arguments, "--to", tmp_path / "unknown", "--words", "klingon")
    assert unknown.exit_code == 1
    assert "language is 'klingon'" in unknown.stderr
    assert not (tmp_path / "unknown").exists()
