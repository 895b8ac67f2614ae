"""One question at a time, from text to vector: Transformers and ours in one run.

Natural questions, about ten tokens each, through Transformers' DPRQuestionEncoder and ours:
``QuestionEncoder`` as loaded (prepared for inference), ``DPRQuestionEncoder`` after
``prepare_for_inference``, and ``DPRQuestionEncoder`` as it is where only the import line was
changed. The systems take turns in blocks of ten questions. The vectors must agree to 1e-4.

    python benchmarks/question_latency.py --size base --questions 30 --json latency.json
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from common import arguments, check_agreement, machine, natural_questions, report, save_twin

from dpr.encoding import QuestionEncoder
from dpr.models import DPRQuestionEncoder
from dpr.tokens import DPRQuestionEncoderTokenizer

BLOCK = 10
System = Callable[[str], np.ndarray[Any, Any]]


def by_call(model: Any, tokenizer: Any) -> System:
    """The calls of Transformers' documentation, which are also ours."""

    def encode(question: str) -> np.ndarray[Any, Any]:
        with torch.inference_mode():
            batch = tokenizer(question, return_tensors="pt")
            out = model(batch["input_ids"], attention_mask=batch["attention_mask"])
            return np.asarray(out.pooler_output[0])

    return encode


def main() -> None:
    options = arguments(__doc__, questions=50).parse_args()
    torch.set_num_threads(options.threads)
    questions = natural_questions(options.data, options.questions)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_twin(transformers.DPRQuestionEncoder, options.size, options.tokenizer, folder)
        peer_model = transformers.DPRQuestionEncoder.from_pretrained(folder).eval()
        peer_tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        encoder = QuestionEncoder.from_pretrained(folder)
        tokenizer = DPRQuestionEncoderTokenizer.from_pretrained(folder)
        plain = DPRQuestionEncoder.from_pretrained(folder)
    print("ours:", encoder.linears)
    systems: dict[str, System] = {
        "Transformers": by_call(peer_model, peer_tokenizer),
        "ours, QuestionEncoder": lambda question: encoder.encode([question])[0],
        "ours, prepared DPRQuestionEncoder": by_call(encoder.model, tokenizer),
        "ours, only the import line changed": by_call(plain, tokenizer),
    }
    peer = next(iter(systems))
    vectors = {name: np.stack([f(q) for q in questions]) for name, f in systems.items()}
    differences = check_agreement(vectors, peer)
    times: dict[str, list[float]] = {name: [] for name in systems}
    for _ in range(options.rounds):
        for at in range(0, len(questions), BLOCK):
            for name, encode in systems.items():
                for question in questions[at : at + BLOCK]:
                    begin = time.perf_counter()
                    encode(question)
                    times[name].append((time.perf_counter() - begin) * 1e3)

    tokens = [len(tokenizer(question)["input_ids"]) for question in questions]
    print(f"{len(questions)} questions of {statistics.mean(tokens):.1f} tokens on average; ms")
    print(f"{'':36} {'p50':>7} {'p90':>7} {'best':>7} {'p50 / peer':>11} {'differs':>8}")
    rows = {}
    for name, spent in times.items():
        p50, p90 = statistics.median(spent), float(np.percentile(spent, 90))
        share = p50 / statistics.median(times[peer])
        rows[name] = {
            "p50_ms": p50,
            "p90_ms": p90,
            "best_ms": min(spent),
            "p50_of_peer": share,
            "largest_relative_difference": differences[name],
        }
        print(
            f"{name:36} {p50:7.2f} {p90:7.2f} {min(spent):7.2f} {share:11.2f} "
            f"{differences[name]:8.0e}"
        )
    result = {"machine": machine(), "size": options.size, "tokens": statistics.mean(tokens)}
    report({**result, "systems": rows}, options.json)


if __name__ == "__main__":
    main()
