"""Memory and time of a step with and without the gradient cache.

    python benchmarks/gradient_cache.py --data ../shared/data

dpr-mini's encoder learns from SQuAD's train questions with random other paragraphs as hard
negatives, 160 tokens a passage. Each line is a process of its own: the most memory it held
(resident, its start included), and seconds a step. First batches of 16 as usual; then 1,024, whose
vectors are computed in parts with the cache; and, with ``--whole``, 1,024 with all graphs kept.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from common import machine

CASES = {"16": (16, False), "1024 cached": (1024, True), "1024 whole": (1024, False)}


def one(case: str, data: Path, steps: int, threads: int) -> dict[str, float]:
    """Steps of one case, in this process."""
    import torch

    from dpr.models import DPRContextEncoder, DPRQuestionEncoder
    from dpr.samples.files import read_samples
    from dpr.shipped import find_models
    from dpr.tokens import DPRQuestionEncoderTokenizer
    from dpr.training.engine import keep_freed_memory
    from dpr.training.retriever import RetrieverTask, tie
    from dpr.training.settings import RetrieverSettings
    from dpr.training.task import Step

    torch.set_num_threads(threads)
    keep_freed_memory()  # as every run does
    size, cached = CASES[case]
    rng = random.Random(0)
    samples = list(read_samples(data / "squad" / "train.json", on_error="skip"))
    passages = list({one.positives[0].key: one.positives[0] for one in samples}.values())
    chosen = [
        replace(one, hard_negatives=(rng.choice(passages),))
        for one in rng.sample(samples, size * steps)
    ]
    place = find_models().question
    question = DPRQuestionEncoder.from_pretrained(place, dtype="float32")
    context = DPRContextEncoder.from_pretrained(place, dtype="float32")
    tie(question, context)
    question.train()
    settings = RetrieverSettings(
        batch_size=size, passage_length=160, pack_tokens=4096, cached=cached
    )
    tokenizer = DPRQuestionEncoderTokenizer.from_pretrained(place)
    task = RetrieverTask(question, context, tokenizer, chosen, [], settings, 0)
    began = time.perf_counter()
    for number, batch in enumerate(task.batches(0)):
        question.zero_grad(set_to_none=True)
        task.step(batch, Step(number, number))
    seconds = (time.perf_counter() - began) / steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"peak MiB": round(peak), "seconds a step": round(seconds, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--whole", action="store_true", help="also without the cache; takes 40 GB")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.case:
        steps = 4 if args.case == "16" else 1
        print(json.dumps(one(args.case, args.data, steps, args.threads)))
        return
    result: dict[str, object] = {}
    for case in CASES if args.whole else [name for name in CASES if "whole" not in name]:
        command = [sys.executable, __file__, "--case", case, "--data", str(args.data)]
        done = subprocess.run(
            [*command, "--threads", str(args.threads)], check=True, capture_output=True, text=True
        )
        result[case] = json.loads(done.stdout)
        print(case, result[case], flush=True)
    peaks = [one["peak MiB"] for one in result.values() if isinstance(one, dict)]
    result["times the memory of 16"] = round(peaks[1] / peaks[0], 2)
    result["machine"] = machine()
    print(json.dumps(result, indent=1))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
