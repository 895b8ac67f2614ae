"""``train``: from samples to a model that indexes and answers."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from typer.testing import CliRunner

from dpr.cli import app, following
from dpr.cli.options import attribute_texts
from dpr.collection import Collection
from dpr.errors import MissingExtraError
from dpr.models import DPRContextEncoder, DPRQuestionEncoder
from dpr.tokens import DPRQuestionEncoderTokenizer
from dpr.training.settings import LoopSettings, ReaderSettings, RefreshSettings, RetrieverSettings

from .conftest import Run

PLACES = ["paris", "france", "river", "stone", "bread", "song", "queen", "city"]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "train.json"
    rows = [
        {
            "question": f"who wrote of {word}?",
            "answers": [word],
            "positive_ctxs": [{"title": word, "text": f"the {word} is old"}],
            "hard_negative_ctxs": [{"title": other, "text": f"in the {other}"}],
        }
        for word, other in zip(PLACES, PLACES[1:] + PLACES[:1], strict=True)
    ]
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def arguments(verb: str, samples: Path, model: Path, to: Path, *more: object) -> list[str]:
    given = [
        *("train", verb, "--train", samples, "--dev", samples, "--start", model, "--to", to),
        *("--batch-size", 4, "--epochs", 4, "--learning-rate", 1e-3, "--log-steps", 1, *more),
    ]
    return [str(one) for one in given]


def weights(run: Path) -> dict[str, bytes]:
    return {
        f"{file.parent.name}/{name}": array.tobytes()
        for file in sorted((run / "last").glob("*/model.safetensors"))
        for name, array in load_file(file).items()
    }


def test_a_trained_retriever_indexes(
    run: Run, samples: Path, model: Path, documents: Path, tmp_path: Path
) -> None:
    trained = run(*arguments("retriever", samples, model, tmp_path / "run", "--passage-length", 40))
    assert trained.exit_code == 0, trained.stderr
    assert "mean R@5" in trained.stdout
    assert f"model: {tmp_path / 'run' / 'best'}" in trained.stdout
    assert (tmp_path / "run" / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert "step 8: mean R@5" in trained.stderr

    best = tmp_path / "run" / "best"
    made = run("index", documents, "--to", tmp_path / "c", "--model", best, "--json")
    assert made.exit_code == 0, made.stderr
    assert json.loads(made.stdout)["max_length"] == 40
    assert run("search", tmp_path / "c", "who wrote a song?").exit_code == 0


def test_tied_towers_are_one(run: Run, samples: Path, model: Path, tmp_path: Path) -> None:
    plain = model / "question_encoder"  # as a BERT: one folder for both towers
    for flag, parts in (
        ("--tied", ["encoder"]),
        ("--untied", ["ctx_encoder", "question_encoder"]),
    ):
        to = tmp_path / flag
        trained = run(*arguments("retriever", samples, plain, to, flag, "--epochs", 1, "--json"))
        assert trained.exit_code == 0, trained.stderr
        told = json.loads(trained.stdout)
        assert sorted(one.name for one in Path(told["best"]).iterdir()) == ["README.md", *parts]
        assert told["measures"]


def test_a_trained_reader_answers(
    run: Run, samples: Path, model: Path, collection: Path, tmp_path: Path
) -> None:
    trained = run(*arguments("reader", samples, model, tmp_path / "run", "--passages", 2))
    assert trained.exit_code == 0, trained.stderr
    assert "EM" in trained.stdout
    best = tmp_path / "run" / "best"
    asked = run("ask", collection, "who wrote a song?", "--reader", best, "--json")
    assert asked.exit_code == 0, asked.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_run_goes_on_to_the_same_weights(
    run: Run, samples: Path, model: Path, tmp_path: Path
) -> None:
    # Few evaluations: what takes its time here is drawing the curve after each.
    more = ("--checkpoint-seconds", 0, "--batch-size", 1, "--epochs", 5, "--tied")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    torch.set_num_threads(1)
    assert run(*arguments("retriever", samples, model, whole, *more)).exit_code == 0

    command = [sys.executable, "-m", "dpr", *arguments("retriever", samples, model, killed, *more)]
    process = subprocess.Popen(
        command,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    checkpoint = killed / "checkpoint.safetensors"
    until = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "last").exists()

    resumed = run(*arguments("retriever", samples, model, killed, *more))
    assert resumed.exit_code == 0, resumed.stderr
    assert "going on after step" in resumed.stderr
    assert weights(killed) == weights(whole)

    other = run(*arguments("retriever", samples, model, killed, *more, "--seed", 1))
    assert other.exit_code == 1
    assert "other settings" in other.stderr


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--refresh-beside", "--no-refresh-beside"])
def test_negatives_are_found_anew_and_a_kill_changes_nothing(
    run: Run, samples: Path, model: Path, tmp_path: Path, how: str
) -> None:
    more = ("--refresh-every", 1, how, "--refresh-last-rank", 4, "--tied", "--seed", 3)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    torch.set_num_threads(1)
    done = run(*arguments("retriever", samples, model, whole, *more))
    assert done.exit_code == 0, done.stderr
    # Those of the last epoch and of the one before: older ones are deleted.
    numbers = (1, 2) if how == "--refresh-beside" else (2, 3)
    files = [f"negatives-{number}.jsonl" for number in numbers]
    assert sorted(one.name for one in (whole / "negatives").glob("negatives-*.jsonl")) == files
    assert not list((whole / "negatives").glob("model-*"))
    first = json.loads((whole / "negatives" / files[0]).read_text().splitlines()[0])
    assert len(first["hard_negative_ctxs"]) > 1

    command = [sys.executable, "-m", "dpr", *arguments("retriever", samples, model, killed, *more)]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    until = time.monotonic() + 120
    while not (killed / "negatives" / "model-2").exists() and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = run(*arguments("retriever", samples, model, killed, *more))
    assert resumed.exit_code == 0, resumed.stderr
    assert weights(killed) == weights(whole)
    for one in (whole / "negatives").glob("negatives-*.jsonl"):
        assert (killed / "negatives" / one.name).read_bytes() == one.read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="torchrun")
def test_two_processes_train_what_one_trains(
    run: Run, samples: Path, model: Path, tmp_path: Path
) -> None:
    start = tmp_path / "start"
    for name in ("question_encoder", "ctx_encoder"):
        kind = DPRQuestionEncoder if name == "question_encoder" else DPRContextEncoder
        without_chance = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        kind.from_pretrained(model / name, **without_chance).save_pretrained(start / name)
        tokenizer = DPRQuestionEncoderTokenizer.from_pretrained(model / name)
        tokenizer.save_pretrained(start / name)
    more = ("--cached", "--epochs", 2, "--learning-rate", 1e-4)
    assert run(*arguments("retriever", samples, start, tmp_path / "one", *more)).exit_code == 0
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "-m",
        "dpr",
        "--",
    ]
    done = subprocess.run(
        [*command, *arguments("retriever", samples, start, tmp_path / "two", *more)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 processes on cpu, float32" in done.stderr
    assert done.stdout.count("model: ") == 1  # the first process speaks for both
    for name in ("question_encoder", "ctx_encoder"):
        before, one, two = (
            load_file(tmp_path / folder / name / "model.safetensors")
            for folder in ("start", "one/last", "two/last")
        )
        # Together: where a weight has no gradient but rounding's, AdamW moves it all the same.
        apart = np.concatenate([(two[key] - one[key]).ravel() for key in one])
        moved = np.concatenate([(one[key] - before[key]).ravel() for key in one])
        assert np.linalg.norm(apart) <= 0.02 * np.linalg.norm(moved)


def test_figures_go_to_tensorboard(run: Run, samples: Path, model: Path, tmp_path: Path) -> None:
    more = ("--track", "tensorboard", "--epochs", 1)
    trained = run(*arguments("retriever", samples, model, tmp_path / "run", *more))
    assert trained.exit_code == 0, trained.stderr
    assert list((tmp_path / "run").glob("events.out.tfevents.*"))
    assert not (tmp_path / "run" / "run").exists()


def test_a_pool_and_accumulation(
    run: Run, samples: Path, model: Path, documents: Path, tmp_path: Path
) -> None:
    more = ("--pool", documents, "--pool-size", 2, "--accumulate", 2, "--epochs", 1)
    trained = run(*arguments("retriever", samples, model, tmp_path / "run", *more))
    assert trained.exit_code == 0, trained.stderr
    assert "the passages of its own 4 as negatives" in trained.stderr
    assert "--cached --batch-size 8" in trained.stderr
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["data"]["pool"][0]["name"] == "2 passages"
    card = (tmp_path / "run" / "best" / "README.md").read_text()
    assert settings["data"]["train"][0]["sha256"] in card
    assert "measured on 8 questions among 18 passages (--pool adds passages)" in trained.stderr
    assert "\nMeasured on 8 questions among 18 passages.\n" in card
    assert "| loop.accumulate | 2 |" in card


def test_a_pool_that_is_a_collection_gives_its_passages(
    run: Run, samples: Path, model: Path, collection: Path, tmp_path: Path
) -> None:
    more = ("--pool", collection, "--epochs", 1, "--passage-length", 8, "--learning-rate", 1e-6)
    trained = run(*arguments("retriever", samples, model, tmp_path / "run", *more))
    assert trained.exit_code == 0, trained.stderr
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    passages = len(Collection.open(str(collection)))
    assert settings["data"]["pool"][0]["name"] == f"{passages} passages"
    assert "among which dev questions are searched" in trained.stderr
    assert "2 steps at a learning rate of at most 1e-06 change next to nothing" in trained.stderr


def test_options_that_do_nothing_are_told(
    run: Run, samples: Path, model: Path, tmp_path: Path
) -> None:
    more = ("--pool-size", 2, "--hybrid-weight", 1, "--refresh-share", 0.9, "--epochs", 1)
    trained = run(*arguments("retriever", samples, model, tmp_path / "run", *more))
    assert trained.exit_code == 0, trained.stderr
    for text in (
        "--pool-size does nothing without --pool",
        "--hybrid-weight does nothing without --hybrid",
        "--refresh-share does nothing without --refresh-every",
    ):
        assert f"note: {text}\n" in trained.stderr


def test_a_reader_without_dev_samples_says_what_does_nothing(
    run: Run, samples: Path, model: Path, tmp_path: Path
) -> None:
    trained = run("train", "reader", "--train", samples, "--start", model, "--to", tmp_path / "run",
                  "--epochs", 1, "--batch-size", 8, "--patience", 2)  # fmt: skip
    assert trained.exit_code == 0, trained.stderr
    assert "without --dev nothing is measured: --patience does nothing" in trained.stderr


def test_every_setting_is_an_option_with_its_default_and_a_text() -> None:
    for verb, kinds in (
        ("retriever", (LoopSettings, RetrieverSettings, RefreshSettings)),
        ("reader", (LoopSettings, ReaderSettings)),
    ):
        shown = CliRunner().invoke(app, ["train", verb, "--help"], env={"COLUMNS": "500"}).stdout
        for kind in kinds:
            for field in fields(kind):
                (line,) = [
                    one
                    for one in shown.splitlines()
                    if one.startswith(f"│ --{field.name.replace('_', '-')} ")
                ]
                if field.default not in ("", None):
                    assert "[default: " in line
                    assert isinstance(field.default, bool) or f"[default: {field.default}]" in line
                assert len(line.split("default")[0].split()) > 4


def test_settings_that_a_text_names_are_options_of_the_same_verb() -> None:
    retriever = (LoopSettings, RetrieverSettings, RefreshSettings)
    every = {field.name for kind in (*retriever, ReaderSettings) for field in fields(kind)}
    for kinds in (retriever, (LoopSettings, ReaderSettings)):
        own = {field.name for kind in kinds for field in fields(kind)}
        for kind in kinds:
            for name, text in attribute_texts(kind.__doc__ or "").items():
                assert every & set(re.findall(r"'(\w+)'", text)) <= own, name


def test_a_folder_that_is_none_of_beirs_is_told_of_them(run: Run, tmp_path: Path) -> None:
    refused = run("train", "retriever", "--train", tmp_path, "--to", tmp_path / "run")
    assert refused.exit_code == 1
    assert "is a folder; give a DPR training JSON, a SQuAD JSON, or a BEIR" in refused.stderr


def test_impossible_settings_and_samples_are_told(
    run: Run, samples: Path, model: Path, tmp_path: Path
) -> None:
    for more, said in (
        (("--epochs", 0), "epochs=0"),
        (("--batching", "sorted"), "'neighbours'"),
        (("--passage-length", 513), "--passage-length 512"),
    ):
        result = run(*arguments("retriever", samples, model, tmp_path / "run", *more))
        assert (result.exit_code, said in result.stderr) == (1, True), result.stderr
    plain = tmp_path / "plain.json"
    row = {"question": "who?", "answers": ["queen"], "positive_ctxs": [{"text": "a song"}]}
    plain.write_text(json.dumps([row]), encoding="utf-8")
    result = run("train", "reader", "--train", plain, "--start", model, "--to", tmp_path / "run")
    assert "there is nothing to train on" in result.stderr
    assert "steps" not in result.stderr  # nor to give more of them
    empty = tmp_path / "empty.json"
    empty.write_text("[]", encoding="utf-8")
    result = run("train", "retriever", "--train", empty, "--start", model)
    assert result.exit_code == 1
    assert "no sample" in result.stderr


def test_without_matplotlib_training_goes_on_and_says_so_once(
    run: Run, samples: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(folder: Path) -> Path:
        raise MissingExtraError("matplotlib", "train", "drawing the loss curve")

    monkeypatch.setattr(following, "draw_curve", missing)
    result = run(*arguments("retriever", samples, model, tmp_path / "run"))
    assert result.exit_code == 0
    assert result.stderr.count("note: no loss.png") == 1
    assert "dense-passage-retrieval[train]" in result.stderr


def write_beir(folder: Path, **splits: range) -> Path:
    """A folder of questions, each judged in the splits that hold its number."""
    (folder / "qrels").mkdir(parents=True)
    for name in ("corpus", "queries"):
        rows = [{"_id": str(n), "text": f"the {word}"} for n, word in enumerate(PLACES)]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    for name, numbers in splits.items():
        judged = ["query-id\tcorpus-id\tscore", *(f"{n}\t{n}\t1" for n in numbers)]
        (folder / "qrels" / f"{name}.tsv").write_text("\n".join(judged) + "\n", encoding="utf-8")
    return folder


def test_the_splits_of_a_beir_folder_are_chosen_by_role(
    run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    folder = write_beir(tmp_path / "set", train=range(5), dev=range(4, 7), test=range(6, 8))
    for name in ("queries", "corpus"):
        with (folder / f"{name}.jsonl").open("a", encoding="utf-8") as file:
            file.write('{"_id": "7", "text": "the song again"}\n')
    told = "1 of 3 dev questions are training questions too, such as 'the bread'"
    pool = ("--pool", folder)
    for verb, more in (("retriever", pool), ("reader", ())):
        given = arguments(verb, folder, tiny_model, tmp_path / verb, "--epochs", 1, *more)
        refused = run(*given)
        assert refused.exit_code == 1
        assert "'7' is also that of line 8" in refused.stderr
        assert told in run(*given, "--on-error", "skip").stderr
    kept = json.loads((tmp_path / "retriever" / "settings.json").read_text(encoding="utf-8"))
    assert kept["data"]["pool"][0]["name"] == f"{len(PLACES)} passages"
    curve = ("--start", tiny_model, "--to", tmp_path / "curve", "--sizes", "all", "--k", 2)
    small = ("--fewest-steps", 1, "--batch-size", 4, "--epochs", 1, "--json", "--on-error", "skip")
    done = run("learning-curve", "--train", folder, "--test", folder, *curve, *small)
    assert done.exit_code == 0, done.stderr
    assert f"note: {folder / 'queries.jsonl'}:9: the question id '7'" in done.stderr
    assert json.loads(done.stdout)["figures"]["untrained"]["set"]["questions"] == 1


def test_a_file_is_no_run(run: Run, samples: Path, model: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent.json"  # what is read is not looked at first
    for verb in (["train", "retriever"], ["train", "reader"], ["learning-curve", "--test", absent]):
        done = run(*verb, "--train", absent, "--start", model, "--to", samples)
        assert done.exit_code == 1
        assert done.stderr.startswith(f"error: {samples} is a file, and a run is kept in a folder")


def test_a_beir_folder_is_trained_on_and_known_again(
    run: Run, tiny_model: Path, tmp_path: Path
) -> None:
    folder, to = write_beir(tmp_path / "set", train=range(len(PLACES))), tmp_path / "run"
    trained = run(*arguments("retriever", folder, tiny_model, to, "--epochs", 1))
    assert trained.exit_code == 0, trained.stderr
    kept = json.loads((to / "settings.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in kept["data"]["train"]] == [
        "corpus.jsonl", "train.tsv", "queries.jsonl",
    ]  # fmt: skip
    with (folder / "corpus.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"_id": "more", "text": "a stone"}\n')
    again = run(*arguments("retriever", folder, tiny_model, to, "--epochs", 1))
    assert again.exit_code == 1
    assert "data" in again.stderr
