"""Two processes against one that has the whole batch: the same loss and the same gradients, in
float64, so that what is not the same is not rounding."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from safetensors.torch import load_file, save_file

from dpr.models import DPRContextEncoder, DPRQuestionEncoder, DPRReader
from dpr.samples.files import Context, TrainingSample
from dpr.tokens import DPRQuestionEncoderTokenizer, DPRReaderTokenizer
from dpr.training.processes import Processes
from dpr.training.reader import ReaderTask
from dpr.training.retriever import RetrieverTask
from dpr.training.settings import ReaderSettings, RetrieverSettings
from dpr.training.task import Step

WITHOUT_CHANCE: dict[str, Any] = {
    "dtype": "float64",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
TEXT = "the old king lives in a castle by the rhine and the king did it"


def make_samples() -> list[TrainingSample]:
    samples = []
    for number in range(7):
        gold = Context(f"{TEXT} {'a ' * number}", f"tale {number // 2}")
        negatives = tuple(Context(f"a dog and a cat {n}", "dog") for n in range(number, number + 3))
        samples.append(TrainingSample(f"who is {number}", ("king",), (gold,), (), negatives))
    return samples


def make_task(folder: Path, what: str, processes: Processes) -> Any:
    samples = make_samples()
    if what == "one passage":  # the first process has none to encode, the second one question
        samples = [replace(one, positives=samples[0].positives) for one in samples[:3]]
    if what == "reader":
        reader = DPRReader.from_pretrained(folder / "reader", **WITHOUT_CHANCE)
        tokenizer = DPRReaderTokenizer.from_pretrained(folder / "reader")
        settings = ReaderSettings(passages=3, pack_tokens=60)
        return ReaderTask(reader, tokenizer, samples, [], settings, 0, processes=processes)
    return RetrieverTask(
        DPRQuestionEncoder.from_pretrained(folder / "encoder", **WITHOUT_CHANCE),
        DPRContextEncoder.from_pretrained(folder / "encoder", **WITHOUT_CHANCE),
        DPRQuestionEncoderTokenizer.from_pretrained(folder / "encoder"),
        samples,
        samples,
        RetrieverSettings(
            batch_size=8,
            hard_negatives=0 if what == "one passage" else 2,
            pack_tokens=40,
            cached=what == "cached",
            distillation=0.5 if what == "teachers" else 0.0,
            teachers="bm25=1,start=1" if what == "teachers" else "",
            hybrid=0.5 if what == "teachers" else 0.0,
        ),
        0,
        processes=processes,
    )


def gradients(task: Any, processes: Processes, to: Path) -> None:
    parameters = [p for module in task.modules.values() for p in module.parameters()]
    (batch,) = task.batches(0)
    figures = task.step(batch, Step())
    processes.add_gradients(parameters)
    together = processes.add(torch.stack([torch.as_tensor(v) for v in figures.values()]))
    measures = task.evaluate()
    if processes.rank == 0:
        found = {str(n): p.grad for n, p in enumerate(parameters) if p.grad is not None}
        save_file(found, to / "gradients.safetensors")
        (to / "figures.json").write_text(json.dumps([together.tolist(), measures]))


def one_of_two(rank: int, folder: Path, what: str, to: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{to}/store", rank=rank, world_size=2)
    processes = Processes(rank, 2)
    gradients(make_task(folder, what, processes), processes, to)
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["plain", "cached", "reader", "one passage", "teachers"])
def test_two_processes_are_one(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    gradients(make_task(tiny_model, what, Processes()), Processes(), one)
    mp.spawn(one_of_two, (tiny_model, what, two), nprocs=2)  # type: ignore[no-untyped-call]
    expected, found = (load_file(folder / "gradients.safetensors") for folder in (one, two))
    assert expected.keys() <= found.keys()
    for name, gradient in expected.items():
        # What the start encodes is kept in float32.
        rtol, atol = (1e-6, 1e-7) if what == "teachers" else (1e-9, 1e-12)
        torch.testing.assert_close(found[name], gradient, rtol=rtol, atol=atol)
    figures, measures = json.loads((two / "figures.json").read_text())
    alone, measured = json.loads((one / "figures.json").read_text())
    assert figures == pytest.approx(alone, rel=1e-5, abs=1e-6)
    assert measures == pytest.approx(measured)


def test_parts_are_disjoint_and_whole() -> None:
    for count in (1, 2, 3, 8):
        for total in (0, 1, 2, 7, 8, 100):
            parts = [list(Processes(rank, count).own(total)) for rank in range(count)]
            assert [row for part in parts for row in part] == list(range(total))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
