"""recipes/natural-questions on a miniature of its inputs, in the original's formats."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpr.collection import Collection
from dpr.corpus.sources import read_documents
from dpr.encoding import ContextEncoder, EncodingSettings
from dpr.questions import read_question_set
from dpr.records import Hit, Passage, Question
from dpr.samples.files import read_samples
from dpr.settings import save_settings

from .miniature import RECIPE, STEPS, Runner, load, write_bert, write_data

Experiment = tuple[Runner, list[subprocess.CompletedProcess[str]]]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("nq-data"))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("nq-bert") / "bert-tiny")


@pytest.fixture(scope="session")
def experiment(data: Path, bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """The whole experiment, killed once on its way."""
    runner = Runner(tmp_path_factory.mktemp("nq") / "run", data, bert)
    runner.kill_when(runner.to / "retriever-1" / "checkpoint.safetensors")
    # All that is encoded by several processes is the second collection.
    first = STEPS.index("encode-2")
    runs = [runner(*STEPS[:first]), runner("--gpus", 2, STEPS[first]), runner()]
    told = [one.stdout + one.stderr for one in runs if one.returncode]
    assert not told, told[0]
    return runner, runs


@pytest.mark.slow
def test_the_whole_experiment(experiment: Experiment, data: Path) -> None:
    runner, (done, *_) = experiment
    to = runner.to
    assert sorted(path.name for path in (to / "done").iterdir()) == sorted(STEPS)
    # The first two were done before the kill, the third goes on.
    assert "== download: done before\n== check: done before\n== train-1\n" in done.stdout
    assert "going on after step" in done.stderr
    kept = json.loads((data / "downloaded.json").read_text())
    tests = data / "nq-test.qa.csv"
    assert kept["nq-test.qa.csv"] == hashlib.sha256(tests.read_bytes()).hexdigest()
    assert "80 samples" in (to / "doctor.txt").read_text()
    assert 0 < len(list(read_samples(to / "train.clean.jsonl"))) <= 80

    settings = json.loads((to / "retriever-1" / "settings.json").read_text())
    assert settings["tied"] is False
    assert settings["loop"]["warmup_steps"] == 1237 and settings["loop"]["clip_norm"] == 2.0
    second = json.loads((to / "retriever-2" / "settings.json").read_text())
    names = [one["name"] for one in second["data"]["train"]]
    assert names == ["biencoder-nq-train.json.gz", "mined.jsonl"]
    assert second["start"] == settings["start"]
    for mined in read_samples(to / "mined.jsonl"):
        assert 0 < len(mined.hard_negatives) <= 4
        assert not any(mined.answers[0] in one.text for one in mined.hard_negatives)
    assert "weight" in (to / "tune.txt").read_text()


@pytest.mark.slow
def test_the_reports(experiment: Experiment) -> None:
    to = experiment[0].to
    found = json.loads((to / "report-passages" / "evaluation.json").read_text())
    systems = {one["name"]: one["measures"] for one in found["systems"]}
    assert list(systems) == ["dpr-1", "dpr-2", "hybrid", "bm25"]
    assert found["baseline"] == "bm25"
    for measures in systems.values():
        assert {"accuracy@20", "accuracy@100"} <= set(measures)
        assert measures["accuracy@20"]["value"] <= measures["accuracy@100"]["value"] <= 1
    # Words find the place, in three passages of 120: a miniature that is not broken finds the king.
    assert systems["bm25"]["accuracy@20"]["value"] == 1
    assert systems["dpr-1"]["accuracy@20"]["value"] > 0.5
    answers = json.loads((to / "report-answers" / "evaluation.json").read_text())
    (reader,) = answers["systems"]
    assert 0 <= reader["measures"]["EM"]["value"] <= reader["measures"]["F1"]["value"] <= 1
    for folder in ("report-passages", "report-answers"):
        assert (to / folder / "report.html").stat().st_size


@pytest.mark.slow
def test_reader_samples(experiment: Experiment) -> None:
    made = list(read_samples(experiment[0].to / "reader-train.jsonl"))
    assert len(made) > 40
    for one in made:
        assert one.positives and all(one.answers[0] in gold.text for gold in one.positives)
        assert one.hard_negatives
        assert not any(one.answers[0] in other.text for other in one.hard_negatives)
        scores = [other.score or 0.0 for other in one.hard_negatives]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.slow
def test_a_step_alone_and_nothing_twice(experiment: Experiment) -> None:
    runner, _ = experiment
    (runner.to / "done" / "reader-samples").unlink()
    done = runner("reader-samples")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("== reader-samples\n") and done.stdout.count("==") == 1
    again = runner()
    assert again.returncode == 0
    assert again.stdout == "".join(f"== {step}: done before\n" for step in STEPS)


@pytest.mark.slow
def test_passages_have_their_vectors(experiment: Experiment, data: Path) -> None:
    """The first collection was encoded by one process, the second by two, each a part."""
    to, before = experiment[0].to, list(read_documents(data / "psgs_w100.tsv.gz"))
    assert not list((to / "parts").glob("2-*"))
    for number in (1, 2):
        encoder = ContextEncoder.from_pretrained(to / f"model-{number}" / "ctx_encoder")
        with Collection.open(to / f"wiki-{number}.dpr") as opened:
            assert [(one.id, one.text, one.title) for one in opened] == [
                (one.id, one.text, one.title) for one in before
            ]
            vectors = np.concatenate([np.asarray(one.vectors) for one in opened.segments])
            assert opened.manifest.encoder_fingerprint == encoder.fingerprint
        expected = encoder.encode([Passage("", one.text, one.title) for one in before])
        assert np.allclose(vectors, expected, rtol=2e-3, atol=2e-3)


def test_wrong_usage(tmp_path: Path, data: Path) -> None:
    runner = Runner(tmp_path / "none", data, tmp_path)
    for arguments, what in ((["trian-1"], "unknown trian-1"), (["--gpus"], "needs a value")):
        done = runner(*arguments)
        assert done.returncode == 2
        assert what in done.stderr
    assert not (tmp_path / "none").exists()


def test_a_step_that_fails_is_not_done(tmp_path: Path, data: Path) -> None:
    runner = Runner(tmp_path, data, tmp_path, {"NQ_DOWNLOAD": "--files none.json"})
    assert runner("download", "check").returncode != 0
    assert not list((tmp_path / "done").iterdir())


# The parts, by themselves.


def hit(text: str, title: str = "t") -> Hit:
    return Hit(Passage(f"{title}/{text}", text, title), 1.0)


def test_positives_are_of_a_gold_title_where_there_are_any() -> None:
    module = load("reader_samples.py")
    selection = module.Selection("dense", 100, 2, 1)
    hits = [
        hit("no"),
        hit("a Bern one", "b"),
        hit("Bern"),
        hit("Bern, too"),
        hit("x"),
        hit("Bern 4"),
    ]
    question = Question("0", "where?", ("bern",))
    made = module.sample_of(question, hits, ["t"], selection)
    assert [one.text for one in made.positives] == ["Bern", "Bern, too"]
    assert [one.text for one in made.hard_negatives] == ["no"]
    made = module.sample_of(question, hits, ["other"], selection)
    assert [one.text for one in made.positives] == ["a Bern one", "Bern"]
    assert module.sample_of(question, [hit("Bernard")], [], selection) is None


def test_batch_tokens_are_set_and_decide_no_vector(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for tower in ("question_encoder", "ctx_encoder"):
        shutil.copytree(bert, tmp_path / "best" / tower)
        settings = EncodingSettings(max_length=24)
        save_settings(settings, tmp_path / "best" / tower / "encoding.json")
    before = ContextEncoder.from_pretrained(tmp_path / "best" / "ctx_encoder")
    places = ["--retriever", str(tmp_path / "best"), "--to", str(tmp_path / "model")]
    monkeypatch.setattr(sys, "argv", ["model.py", *places, "--batch-tokens", "32768"])
    load("model.py").main()
    after = ContextEncoder.from_pretrained(tmp_path / "model" / "ctx_encoder")
    assert after.encoding == replace(settings, batch_tokens=32768)
    assert after.fingerprint == before.fingerprint
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "ctx_encoder",
        "question_encoder",
    ]


def test_gold_titles_are_found_whatever_case_and_spaces(tmp_path: Path) -> None:
    module = load("reader_samples.py")
    path = tmp_path / "train.json"
    rows = [{"question": "Who  is it", "positive_ctxs": [{"title": name}]} for name in ("A", "B")]
    path.write_text(json.dumps(rows))
    assert module.gold_titles(path) == {"who is it": {"A", "B"}}
    assert module.gold_titles(None) == {}


def test_parts_hold_all_passages_once(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "psgs.tsv"
    with source.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(["id", "text", "title"])
        rows.writerows([str(n), f'a "quoted" text\nof {n}', f"title {n}"] for n in range(7))
    module = load("parts.py")
    arguments = ["--passages", str(source), "--parts", "3", "--to", str(tmp_path / "parts")]
    monkeypatch.setattr(sys, "argv", ["parts.py", *arguments])
    module.main()
    parts = [list(read_documents(tmp_path / "parts" / f"{n}.tsv")) for n in range(3)]
    assert [len(one) for one in parts] == [3, 2, 2]
    joined = sorted((one for part in parts for one in part), key=lambda one: one.id)
    assert [(one.id, one.text, one.title) for one in joined] == [
        (one.id, one.text, one.title) for one in read_documents(source)
    ]


def test_the_list_of_files_is_what_the_steps_read(data: Path) -> None:
    known = json.loads((RECIPE / "files.json").read_text())
    assert set(known) == {path.name for path in data.iterdir()} - {"downloaded.json"}
    script = (RECIPE / "run.sh").read_text()
    for name, one in known.items():
        assert name in script
        assert one["url"].startswith("https://") and one["url"].endswith("/" + name)


def test_the_miniature_reads_as_the_original(data: Path) -> None:
    assert len(read_question_set(data / "nq-dev.qa.csv").questions) == 120
    assert read_question_set(data / "biencoder-nq-dev.json.gz").judgements["0"] == {"1": 1}
