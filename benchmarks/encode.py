"""Passages to vectors in bulk: Transformers, sentence-transformers and ours in one run.

From title and text to vectors, tokenizing included, at most 256 tokens, on SQuAD's test
paragraphs. Transformers takes batches of 32 in input order, padded; sentence-transformers sorts by
length first and pads batches of 32; ours is ``ContextEncoder`` as loaded. The three take turns;
figures are medians over the rounds. The vectors must agree to 1e-4.

GFLOP/s counts what ours executes (see ``common.flops``); the machine's own rate is measured between
the turns.

    python benchmarks/encode.py --size base --passages 64 --json encode.json
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
from common import (
    SIZES,
    Sgemm,
    arguments,
    check_agreement,
    flops,
    machine,
    report,
    save_twin,
    squad_paragraphs,
)

from dpr.encoding import ContextEncoder, EncodingSettings
from dpr.models import DPRConfig
from dpr.records import Passage
from dpr.tokens import DPRContextEncoderTokenizer, passage_ids

Texts = list[str]
System = Callable[[], np.ndarray[Any, Any]]


def transformers_way(folder: Path, titles: Texts, texts: Texts) -> System:
    model = transformers.DPRContextEncoder.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    def encode() -> np.ndarray[Any, Any]:
        parts = []
        with torch.inference_mode():
            for at in range(0, len(texts), 32):
                batch = tokenizer(
                    titles[at : at + 32],
                    texts[at : at + 32],
                    truncation="only_second",
                    max_length=256,
                    padding=True,
                    return_tensors="pt",
                )
                # Segments stay zero, as DPR was trained.
                out = model(batch["input_ids"], attention_mask=batch["attention_mask"])
                parts.append(out.pooler_output.numpy())
        return np.concatenate(parts)

    return encode


def sentence_transformers_way(folder: Path, titles: Texts, texts: Texts) -> System:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    dpr = transformers.DPRContextEncoder.from_pretrained(folder)
    names = {**dpr.config.to_dict(), "model_type": "bert"}
    bert = transformers.BertModel(transformers.BertConfig(**names), add_pooling_layer=False)
    bert.load_state_dict(dpr.ctx_encoder.bert_model.state_dict())
    bert.save_pretrained(folder / "bert")
    transformers.BertTokenizerFast.from_pretrained(folder).save_pretrained(folder / "bert")
    body = Transformer(str(folder / "bert"), max_seq_length=256)
    model = SentenceTransformer(
        modules=[body, Pooling(body.get_embedding_dimension(), "cls")], device="cpu"
    )
    # Written out, [SEP] is read as the token, which gives the same ids with segments of zero.
    joined = [f"{title} [SEP] {text}" for title, text in zip(titles, texts, strict=True)]
    return lambda: model.encode(joined, batch_size=32, show_progress_bar=False)


def our_way(folder: Path, titles: Texts, texts: Texts, batch_tokens: int) -> System:
    settings = EncodingSettings(batch_tokens=batch_tokens) if batch_tokens else EncodingSettings()
    encoder = ContextEncoder.from_pretrained(folder, settings)
    print("ours:", encoder.linears)
    passages = [Passage(str(n), x, t) for n, (t, x) in enumerate(zip(titles, texts, strict=True))]
    return lambda: encoder.encode(passages)


def main() -> None:
    parser = arguments(__doc__, passages=128)
    parser.add_argument("--batch-tokens", type=int, default=0, help="0: the default of the library")
    parser.add_argument("--without-sentence-transformers", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    titles, texts = squad_paragraphs(options.data, options.passages)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_twin(transformers.DPRContextEncoder, options.size, options.tokenizer, folder)
        systems = {"Transformers, 32, input order": transformers_way(folder, titles, texts)}
        if not options.without_sentence_transformers:
            systems["sentence-transformers, 32, by length"] = sentence_transformers_way(
                folder, titles, texts
            )
        systems["ours"] = our_way(folder, titles, texts, options.batch_tokens)
        tokenizer = DPRContextEncoderTokenizer.from_pretrained(folder)
    ids, cut = passage_ids(tokenizer, titles, texts, 256)
    lengths = [len(one) for one in ids]
    config = DPRConfig(**SIZES[options.size])
    work = flops(lengths, config)
    sgemm = Sgemm(config)
    print(f"{len(ids)} passages, {sum(lengths)} tokens, {cut} cut at 256")

    peer = next(iter(systems))
    vectors, times = {}, {name: [] for name in systems}
    for _ in range(options.rounds):
        for name, encode in systems.items():
            sgemm.turn()
            begin = time.perf_counter()
            vectors[name] = encode()
            times[name].append(time.perf_counter() - begin)
    differences = check_agreement(vectors, peer)

    rates = sgemm.rates()
    best = max(rates.values())
    rows = {}
    print(f"{'':38} {'passages/s':>10} {'x':>6} {'GFLOP/s':>8} {'of sgemm':>9} {'differs':>8}")
    for name, spent in times.items():
        seconds = statistics.median(spent)
        rows[name] = {
            "passages_per_second": len(ids) / seconds,
            "times_peer": statistics.median(times[peer]) / seconds,
            "gflops": work / seconds / 1e9,
            "of_sgemm": work / seconds / 1e9 / best,
            "largest_relative_difference": differences[name],
            "seconds": spent,
        }
        row = rows[name]
        print(
            f"{name:38} {row['passages_per_second']:10.2f} {row['times_peer']:6.2f} "
            f"{row['gflops']:8.1f} {row['of_sgemm']:9.2f} {differences[name]:8.0e}"
        )
    for name, rate in rates.items():
        print(f"sgemm {name:32} {rate:26.1f}")
    result = {"machine": machine(), "size": options.size, "tokens": sum(lengths), "flops": work}
    report({**result, "sgemm_gflops": rates, "systems": rows}, options.json)


if __name__ == "__main__":
    main()
