"""recipes/natural-questions on a miniature of its inputs, in the original's formats."""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from dpr.collection import Collection
from dpr.corpus.sources import read_documents
from dpr.encoding import ContextEncoder
from dpr.questions import read_question_set
from dpr.records import Hit, Passage, Question
from dpr.training.samples import read_samples

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "natural-questions"
STEPS = [
    *("download", "check", "train-1", "encode-1", "mine", "train-2", "encode-2", "tune", "search"),
    *("evaluate", "reader-samples", "train-reader", "calibrate", "answer"),
]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"natural_questions_{name}", RECIPE / name)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


# The miniature: places of whose king one passage tells; of every second place another passage names
# another one, who is the accepted one of half of these among the dev and test questions: so some
# answers are wrong, and less sure, which calibration needs.

PLACES = ["".join(pair) for pair in product(("bal", "dor", "fen", "gil", "hum"), ("ka", "lo", "mi",
    "nu", "pe", "ri", "so", "tu"))]  # fmt: skip
KINGS = [f"{place[::-1]}x" for place in PLACES]
OTHERS = [f"{place[::-1]}z" for place in PLACES]
TEMPLATES = {
    "train": ["who was king of {}", "the name of king {}"],
    "dev": ["who ruled as king {}", "king name of the {}", "who was the king {}"],
    "test": ["the king who ruled {}"],
}
WORDS = "who was king of the name ruled as old and river wide song snow bread".split()


def passages() -> list[dict[str, str]]:
    rows = []
    for number, (place, king, other) in enumerate(zip(PLACES, KINGS, OTHERS, strict=True)):
        rows += [
            {"title": place, "text": f"the king was {king} who ruled {place} ."},
            {"title": place, "text": f"{place} was old and the river was wide ."},
            {"title": place, "text": f"the king was {other} who ruled {place} ."}
            if number % 2
            else {"title": place, "text": f"the song of {place} was of snow and bread ."},
        ]
    return [row | {"passage_id": str(number)} for number, row in enumerate(rows, 1)]


def asked(part: str) -> list[tuple[str, int, str]]:
    """Questions, numbers of places, and answers."""
    return [
        (template.format(place), number, OTHERS[number] if swapped else KINGS[number])
        for number, place in enumerate(PLACES)
        for template in TEMPLATES[part]
        for swapped in [part != "train" and number % 4 == 3]
    ]


def sample(question: str, number: int, answer: str) -> dict[str, Any]:
    """A record with the keys of the original's training files."""
    rows = [row | {"score": 9.5, "title_score": 0} for row in passages()]
    own = rows[3 * number : 3 * number + 3]
    return {
        "dataset": "nq_train_psgs_w100",
        "question": question,
        "answers": [answer],
        "positive_ctxs": [one | {"score": 1000} for one in own if answer in one["text"]],
        "negative_ctxs": [rows[(3 * number + 31) % len(rows)], rows[(3 * number + 62) % len(rows)]],
        "hard_negative_ctxs": own[1:2],
    }


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All six files, under the original's names."""
    folder = tmp_path_factory.mktemp("nq-data")
    for part in TEMPLATES:
        with (folder / f"nq-{part}.qa.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, delimiter="\t")
            rows.writerows([text, repr([answer])] for text, _, answer in asked(part))
    for part, few in (("train", 80), ("dev", 60)):
        records = [sample(*one) for one in asked(part)[:few]]
        with gzip.open(folder / f"biencoder-nq-{part}.json.gz", "wt", encoding="utf-8") as file:
            json.dump(records, file, indent=4)
    with gzip.open(folder / "psgs_w100.tsv.gz", "wt", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, delimiter="\t")
        rows.writerow(["id", "text", "title"])
        rows.writerows([row["passage_id"], row["text"], row["title"]] for row in passages())
    return folder


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain BERT with random weights that knows the words."""
    import torch

    from dpr.models import DPRConfig, DPRQuestionEncoder
    from dpr.tokens import DPRQuestionEncoderTokenizer

    folder = tmp_path_factory.mktemp("nq-bert") / "bert-tiny"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *WORDS, *PLACES, *KINGS, *OTHERS]
    config = DPRConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,  # so that a model as small as this learns in a few steps
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    torch.manual_seed(0)
    DPRQuestionEncoder(config).save_pretrained(folder)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    DPRQuestionEncoderTokenizer(vocabulary).save_pretrained(folder)
    return folder


SMALL = {
    "NQ_RETRIEVER": "--epochs 4 --batch-size 8 --learning-rate 2e-3 --passage-length 24 "
    "--question-length 24 --checkpoint-seconds 0.2",
    "NQ_MINE": "--negatives 4 --last-rank 20",
    "NQ_READER_SAMPLES": "--depth 40",
    "NQ_READER": "--epochs 2 --batch-size 8 --passages 4 --max-length 32 --stride 8 "
    "--learning-rate 2e-3 --evaluations 1",
    "NQ_EVALUATE": "--resamples 200",
    "NQ_ANSWER": "--resamples 200 --read 10",
}


@dataclass
class Runner:
    """Runs the recipe in one folder."""

    to: Path
    data: Path
    start: Path
    more: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: object) -> tuple[list[str], dict[str, str]]:
        places = ["--to", self.to, "--data", self.data, "--start", self.start]
        quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DPR_DEVICE": "cpu"}
        environment = os.environ | SMALL | quiet | {"PYTHON": sys.executable} | self.more
        return [str(one) for one in (RECIPE / "run.sh", *places, *arguments)], environment

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command, environment = self.command(*arguments)
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def kill_when(self, there: Path) -> None:
        """Starts the recipe, and kills all of it once something is there."""
        command, environment = self.command()
        process = subprocess.Popen(
            command,
            env=environment,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 120
        while not there.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        assert there.exists()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


Experiment = tuple[Runner, list[subprocess.CompletedProcess[str]]]


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


# Downloading, from a server on this machine.


class Served(BaseHTTPRequestHandler):
    """Gives one file, its parts too; may break off."""

    content = b""
    tag = '"one"'
    break_after: int | None = None
    ranges: list[str | None]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        type(self).ranges.append(wanted)
        start = 0
        if wanted and self.headers.get("If-Range") == self.tag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if wanted and start >= len(self.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(self.content)}")
            self.end_headers()
            return
        body = self.content[start:]
        self.send_response(206 if start else 200)
        if start:
            last = len(self.content) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{len(self.content)}")
        self.send_header("ETag", self.tag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.break_after])
        type(self).break_after = None

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[type[Served], str]]:
    kind = type("ServedHere", (Served,), {"ranges": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield kind, f"http://127.0.0.1:{serving.server_port}/file"
        serving.shutdown()
        thread.join()


def test_a_download_goes_on_where_it_stood(
    server: tuple[type[Served], str], tmp_path: Path
) -> None:
    kind, url = server
    kind.content, kind.break_after = os.urandom(300_000), 100_000
    module = load("download.py")
    part = module.fetch(url, tmp_path / "file", wait=0)
    assert part.read_bytes() == kind.content
    assert kind.ranges == [None, "bytes=100000-"]
    # All bytes are there, and the process died before it knew.
    (tmp_path / "file.part.mark").write_text(kind.tag)
    kind.ranges.clear()
    assert module.fetch(url, tmp_path / "file", wait=0).read_bytes() == kind.content
    assert kind.ranges == ["bytes=300000-"]


def test_a_file_that_changed_is_downloaded_anew(
    server: tuple[type[Served], str], tmp_path: Path
) -> None:
    kind, url = server
    kind.content = os.urandom(200_000)
    (tmp_path / "file.part").write_bytes(b"of another version")
    (tmp_path / "file.part.mark").write_text('"old"')
    module = load("download.py")
    assert module.fetch(url, tmp_path / "file", wait=0).read_bytes() == kind.content


def test_what_is_downloaded_is_checked(
    server: tuple[type[Served], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, url = server
    kind.content = gzip.compress(b"id\ttext\ttitle\n1\tx\ty\n")
    module = load("download.py")
    digest = hashlib.sha256(kind.content).hexdigest()
    known = {"url": url, "what": "passages", "lines": 2, "sha256": None}
    assert module.get("a.tsv.gz", known, tmp_path) == digest
    assert "no other is known" in capsys.readouterr().out
    with pytest.raises(module.Failed, match="has 2 lines, known are 3"):
        module.get("b.tsv.gz", known | {"lines": 3}, tmp_path)
    with pytest.raises(module.Failed, match="known is 00"):
        module.get("c.tsv.gz", known | {"sha256": "00"}, tmp_path)
    with pytest.raises(module.Failed, match="known is 00"):  # one that is there, too
        module.get("a.tsv.gz", known | {"sha256": "00"}, tmp_path)
    kind.content = kind.content[:-4]
    with pytest.raises(module.Failed, match="cannot be read to its end"):
        module.get("d.tsv.gz", known, tmp_path)
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {"a.tsv.gz", "b.tsv.gz.wrong", "c.tsv.gz.wrong", "d.tsv.gz.wrong"}


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    module = load("download.py")
    with pytest.raises(module.Failed, match=r"127\.0\.0\.1:9.*run it again.*file itself at"):
        module.fetch("http://127.0.0.1:9/file", tmp_path / "file", tries=2, wait=0)


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
