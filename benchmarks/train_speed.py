"""Training beside sentence-transformers' trainer: samples a second, and what is learned from them.

    python benchmarks/train_speed.py --data ../shared/data --minilm DIR

Both begin with the same model (the start of dpr-mini: 7 layers, [CLS], inner product), and see the
same triples of question, passage and BM25 negative of SQuAD's and FairytaleQA's train splits, in
batches of the same size, with the same loss (in-batch negatives and one hard negative; there
MultipleNegativesRankingLoss), learning rate, schedule, clipping, dropout and lengths, in float32
and in bfloat16. Then R@5 of each over the pool of ``pool.py``. Short runs of each alternate, so
that a busy moment falls on all; a run is timed from the end of its first step, in a process of its
own.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import machine
from datasets import Dataset
from pool import load_pool, load_tests
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers import SentenceTransformerTrainingArguments as PeerSettings
from sentence_transformers.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import dot_score
from transformers import TrainerCallback

from dpr.encoding import ContextEncoder, EncodingSettings, QuestionEncoder
from dpr.evaluation.measures import gold_ranks, success
from dpr.interchange.exporting import export_sentence_transformers
from dpr.models import DPRContextEncoder, DPRQuestionEncoder
from dpr.records import Passage
from dpr.samples.files import TrainingSample, read_samples
from dpr.tokens import DPRContextEncoderTokenizer, DPRQuestionEncoderTokenizer
from dpr.training.loop import Run
from dpr.training.retriever import RetrieverTask, tie
from dpr.training.settings import LoopSettings, RetrieverSettings

LENGTH = 256
RATE, WARMUP, CLIP = 3e-5, 0.1, 2.0
PEER = "sentence-transformers"
PEERS = {f"{PEER} {precision}": precision for precision in ("float32", "bfloat16")}
CASES = (*PEERS, "float32", "bfloat16")
RECIPE = Path(__file__).resolve().parents[1] / "recipes" / "dpr-mini"


def samples_of(data: Path, count: int, folder: Path) -> list[TrainingSample]:
    """So many training samples with a BM25 negative, drawn at random."""
    sys.path.insert(0, str(RECIPE))
    import prepare

    made = folder / "retriever-train.jsonl"
    if not made.exists():
        sys.argv = ["prepare.py", "--data", str(data), "--to", str(folder)]
        prepare.main()
    samples = [one for one in read_samples(made) if one.hard_negatives]
    return random.Random(0).sample(samples, min(count, len(samples)))


class Clock(TrainerCallback):
    """Seconds from the end of the first step to the end of the last."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *args: Any, **more: Any) -> None:
        self.ends.append(time.perf_counter())

    def rate(self, batch: int) -> float:
        return batch * (len(self.ends) - 1) / (self.ends[-1] - self.ends[0])


def train_peer(
    samples: list[TrainingSample], start: Path, to: Path, batch: int, precision: str
) -> float:
    model = SentenceTransformer(str(start), device="cpu")
    model.max_seq_length = LENGTH
    rows = Dataset.from_list(
        [
            {
                "anchor": one.question,
                "positive": pair(one.positives[0].title, one.positives[0].text),
                "negative": pair(one.hard_negatives[0].title, one.hard_negatives[0].text),
            }
            for one in samples
        ]
    )
    clock = Clock()
    settings = PeerSettings(
        output_dir=str(to / "runs"),
        num_train_epochs=1,
        per_device_train_batch_size=batch,
        learning_rate=RATE,
        warmup_ratio=WARMUP,
        max_grad_norm=CLIP,
        weight_decay=0.0,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        dataloader_drop_last=True,
        use_cpu=True,
        bf16=precision == "bfloat16",
    )
    loss = MultipleNegativesRankingLoss(model, scale=1.0, similarity_fct=dot_score)
    SentenceTransformerTrainer(
        model=model, args=settings, train_dataset=rows, loss=loss, callbacks=[clock]
    ).train()
    model.save(str(to / "peer"))
    return clock.rate(batch)


def pair(title: str, text: str) -> str:
    return f"{title} {text}"


def train_ours(
    samples: list[TrainingSample], start: Path, to: Path, batch: int, precision: str
) -> float:
    question = DPRQuestionEncoder.from_pretrained(start, dtype="float32")
    context = DPRContextEncoder.from_pretrained(start, dtype="float32")
    tie(question, context)
    settings = RetrieverSettings(batch_size=batch, passage_length=LENGTH, pack_tokens=2048)
    tokenizer = DPRQuestionEncoderTokenizer.from_pretrained(start)
    task = RetrieverTask(question, context, tokenizer, samples, [], settings, 0)
    steps = len(task.batches(0))
    loop = LoopSettings(
        epochs=1,
        learning_rate=RATE,
        warmup_steps=round(WARMUP * steps),
        clip_norm=CLIP,
        checkpoint_seconds=1e9,
        log_steps=1,
        precision=precision,
    )
    ends: list[float] = []

    def note(event: dict[str, Any]) -> None:
        if "loss" in event:
            ends.append(time.perf_counter())

    Run(task, loop, to / "run", {}, note)()
    return batch * (len(ends) - 1) / (ends[-1] - ends[0])


def quality(model: Path, data: Path, peer: bool) -> dict[str, float]:
    """R@5 over the pool; the peer's model is asked through its own code."""
    pool = load_pool(data)
    tests = load_tests(data, pool)
    if peer:
        sentences = SentenceTransformer(str(model), device="cpu")
        sentences.max_seq_length = LENGTH
        passages = sentences.encode([pair(*key) for key in pool])
    else:
        settings = EncodingSettings(LENGTH)
        tokenizer = DPRContextEncoderTokenizer.from_pretrained(model)
        context = ContextEncoder(DPRContextEncoder.from_pretrained(model), tokenizer, settings)
        passages = context.encode([Passage("", text, title) for title, text in pool])
        question = QuestionEncoder.from_pretrained(model)
    rows = {key: row for row, key in enumerate(pool)}
    found = {}
    for name, questions in tests.items():
        texts = [one.text for one in questions]
        asked = sentences.encode(texts) if peer else question.encode(texts)
        golds = [[rows[key] for key in one.golds] for one in questions]
        ranks = gold_ranks(np.asarray(asked), np.asarray(passages), golds)
        found[name] = round(success(ranks, 5), 4)
    return found


def timed(case: str, folder: Path, to: Path, count: int, args: argparse.Namespace) -> float:
    """Samples a second of one run, in a process of its own: a process has one precision."""
    command = [sys.executable, "-W", "ignore", __file__, "--case", case, "--folder", str(folder)]
    command += ["--to", str(to), "--samples", str(count), "--batch", str(args.batch)]
    command += ["--threads", str(args.threads), "--data", str(args.data)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def one(args: argparse.Namespace) -> None:
    """What ``timed`` starts."""
    samples = samples_of(args.data, args.samples, args.folder / "data")
    if args.case in PEERS:
        start = args.folder / "peer-start"
        rate = train_peer(samples, start, args.to, args.batch, PEERS[args.case])
    else:
        start = args.folder / "start" / "encoder"
        rate = train_ours(samples, start, args.to, args.batch, args.case)
    print(rate)


def prepare_start(minilm: Path, folder: Path) -> Path:
    """The model that all begin with, in our layout and in the peer's."""
    sys.path.insert(0, str(RECIPE))
    import start

    sys.argv = ["start.py", "--minilm", str(minilm), "--to", str(folder / "start")]
    start.main()
    place = folder / "start" / "encoder"
    towers = QuestionEncoder.from_pretrained(place), ContextEncoder.from_pretrained(place)
    export_sentence_transformers(*towers, folder / "peer-start")
    return place


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--minilm", type=Path, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--samples", type=int, default=1920)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3, help="short runs of each, for the speed")
    parser.add_argument("--round-samples", type=int, default=320)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-quality", action="store_true", help="speed alone")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--to", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.minilm and not args.case:
        parser.error("give --minilm DIR")
    return args


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    if args.case:
        one(args)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        begin = prepare_start(args.minilm, folder)
        samples_of(args.data, 1, folder / "data")
        rates: dict[str, list[float]] = {case: [] for case in CASES}
        for number in range(args.rounds):
            for case in CASES:
                to = folder / f"{case}-{number}"
                rates[case].append(timed(case, folder, to, args.round_samples, args))
            print({case: round(of_one[-1], 2) for case, of_one in rates.items()}, flush=True)
        best = {case: max(of_one) for case, of_one in rates.items()}
        result: dict[str, Any] = {
            "samples/s": {case: round(value, 2) for case, value in best.items()},
            "times the peer": {
                precision: round(best[precision] / best[peer], 2)
                for peer, precision in PEERS.items()
            },
            "machine": machine(),
        }
        if not args.no_quality:
            result["R@5"] = {"start": quality(begin, args.data, peer=False)}
            for case in CASES:
                timed(case, folder, folder / case, args.samples, args)
                last = "peer" if case in PEERS else "run/last/encoder"
                result["R@5"][case] = quality(folder / case / last, args.data, case in PEERS)
    print(json.dumps(result, indent=1))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
