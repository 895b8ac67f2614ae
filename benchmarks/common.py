"""What the benchmarks of models share: texts, twin models, FLOP accounts, the machine's own rate.

Peer and ours get one checkpoint, of random weights: speed does not depend on what they have
learnt. Passages are SQuAD's test paragraphs, questions those of Natural Questions in QED, read in
place.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from dpr.errors import CheckpointError
from dpr.models import DPRConfig
from dpr.shipped import find_models
from dpr.tokens import DPRQuestionEncoderTokenizer

SIZES: dict[str, dict[str, int]] = {
    "base": {},  # 12 x 768
    "mini": {
        "hidden_size": 384,
        "num_hidden_layers": 7,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
}


def arguments(description: str | None, **count: int) -> argparse.ArgumentParser:
    """The options that the benchmarks share; ``count``: the name and default of one more."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="base", help="12 x 768 or 7 x 384")
    parser.add_argument("--rounds", type=int, default=3, help="turns that each system takes")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--tokenizer", type=Path, help="a model folder with the vocabulary; default: dpr-mini's"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    for name, default in count.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser


def squad_paragraphs(data: Path, count: int) -> tuple[list[str], list[str]]:
    """Titles and texts of ``count`` paragraphs, evenly spread over SQuAD's test file."""
    articles = json.loads((data / "squad" / "test.json").read_text("utf-8"))["data"]
    pairs = [(a["title"], p["context"]) for a in articles for p in a["paragraphs"]]
    pairs = spread([(title.replace("_", " "), text) for title, text in pairs], count)
    return [title for title, _ in pairs], [text for _, text in pairs]


def natural_questions(data: Path, count: int) -> list[str]:
    """``count`` questions that people asked of a search engine, evenly spread over QED's."""
    articles = json.loads((data / "qed" / "natural-questions.json").read_text("utf-8"))["data"]
    paragraphs = (p for a in articles for p in a["paragraphs"])
    return spread([qa["question"].strip() for p in paragraphs for qa in p["qas"]], count)


def spread(items: list[Any], count: int) -> list[Any]:
    return [items[i * len(items) // count] for i in range(min(count, len(items)))]


def save_twin(model_class: Any, size: str, tokenizer: Path | None, folder: Path) -> None:
    """Writes Transformers' model of random weights, with a tokenizer, for both sides to load."""
    try:
        place = tokenizer or Path(find_models().question)
    except CheckpointError as error:
        raise SystemExit(f"{error}\ngive a model folder with a vocabulary: --tokenizer") from None
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.manual_seed(0)
    model_class(transformers.DPRConfig(**SIZES[size])).save_pretrained(folder)
    DPRQuestionEncoderTokenizer.from_pretrained(place).save_pretrained(folder)


def flops(lengths: Sequence[int], config: DPRConfig) -> int:
    """Floating-point operations executed for the vectors of sequences of these lengths.

    Two for each multiply-and-add of the linears and of both attention products, over real tokens.
    The last layer computes keys and values of all tokens, and all else of [CLS] only. Softmax,
    GELU, LayerNorm, sums and the embeddings are not counted.
    """
    hidden, inner = config.hidden_size, config.intermediate_size
    tokens, sequences = sum(lengths), len(lengths)
    squares = sum(length * length for length in lengths)
    linears = 2 * (4 * hidden * hidden + 2 * hidden * inner)
    whole = linears * tokens + 4 * hidden * squares
    keys_values = 4 * hidden * hidden
    last = keys_values * tokens + (linears - keys_values) * sequences + 4 * hidden * tokens
    projection = 2 * sequences * hidden * config.projection_dim
    return (config.num_hidden_layers - 1) * whole + last + projection


class Sgemm:
    """The machine's own rate of float32 products, by the best of the ways that torch has.

    Plain (MKL) and packed (oneDNN) products of the shapes that a batch of this model has, and a
    plain one of 2048 x 2048 x 2048; each way's rate is the median of its turns.
    """

    def __init__(self, config: DPRConfig) -> None:
        hidden, inner = config.hidden_size, config.intermediate_size
        self.ways: dict[str, tuple[int, Callable[[], Any]]] = {}
        for k, n in ((hidden, inner), (inner, hidden)):
            x, weight = torch.randn(1536, k), torch.randn(n, k)
            packed = torch.ops.mkldnn._reorder_linear_weight(weight)
            work = 2 * 1536 * k * n
            self.ways[f"plain 1536x{k}x{n}"] = (
                work,
                lambda x=x, weight=weight: torch.nn.functional.linear(x, weight),
            )
            self.ways[f"packed 1536x{k}x{n}"] = (
                work,
                lambda x=x, packed=packed: torch.ops.mkldnn._linear_pointwise(
                    x, packed, None, "none", [], "none"
                ),
            )
        a, b = torch.randn(2048, 2048), torch.randn(2048, 2048)
        self.ways["plain 2048x2048x2048"] = (2 * 2048**3, lambda: a @ b)
        self.turns: dict[str, list[float]] = {name: [] for name in self.ways}

    def turn(self, seconds: float = 0.15) -> None:
        """Measures each way for about so long."""
        with torch.inference_mode():
            for name, (work, product) in self.ways.items():
                product()
                calls, begin = 0, time.perf_counter()
                while (spent := time.perf_counter() - begin) < seconds:
                    product()
                    calls += 1
                self.turns[name].append(calls * work / spent)

    def rates(self) -> dict[str, float]:
        """GFLOP/s of each way."""
        return {name: statistics.median(turns) / 1e9 for name, turns in self.turns.items()}


def check_agreement(vectors: dict[str, np.ndarray[Any, Any]], peer: str) -> dict[str, float]:
    """The largest relative difference of each system's vectors from the peer's; stops at 1e-4."""
    expected = vectors[peer]
    norms = np.linalg.norm(expected, axis=1)
    differences = {
        name: float((np.linalg.norm(got - expected, axis=1) / norms).max())
        for name, got in vectors.items()
    }
    for name, difference in differences.items():
        if not difference < 1e-4:
            raise SystemExit(f"{name}: vectors differ from those of {peer} by {difference:.1e}")
    return differences


def machine() -> dict[str, Any]:
    """What the figures were made on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "date": time.strftime("%Y-%m-%d"),
    }


def report(result: dict[str, Any], path: Path | None) -> None:
    if path is not None:
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"written: {path}")
