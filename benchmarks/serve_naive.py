"""A naive server over a collection, to compare ours with: FastAPI, and a forward pass a question.

The server that one writes in ten minutes: no batching, no limits, no cache. ``pipeline`` searches
with this project's own encoder and index, ``transformers`` with Transformers' DPRQuestionEncoder
and a product with all vectors in NumPy. Started by ``serve_load.py``, in a process of its own.
"""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

Search = Callable[[str, int], list[dict[str, Any]]]


class Question(BaseModel):
    question: str
    k: int = 10


def with_pipeline(folder: Path) -> Search:
    import dpr

    opened = dpr.open(folder)

    def search(question: str, k: int) -> list[dict[str, Any]]:
        hits = opened.search(question, k, mode="dense")
        return [{**asdict(hit.passage), "score": hit.score} for hit in hits]

    return search


def with_transformers(folder: Path) -> Search:
    import torch
    import transformers

    from dpr.collection import Collection
    from dpr.shipped import find_models

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    place = find_models().question
    tokenizer = transformers.DPRQuestionEncoderTokenizerFast.from_pretrained(place)
    model = transformers.DPRQuestionEncoder.from_pretrained(place).eval()
    collection = Collection.open(folder)
    vectors = np.concatenate(collection.vectors).astype(np.float32)
    passages = [asdict(passage) for passage in collection]

    def search(question: str, k: int) -> list[dict[str, Any]]:
        given = tokenizer(question, return_tensors="pt", truncation=True, max_length=256)
        with torch.inference_mode():
            vector = model(**given).pooler_output[0].numpy()
        scores = vectors @ vector
        best = np.argpartition(-scores, k)[:k]
        best = best[np.argsort(-scores[best])]
        return [{**passages[row], "score": float(scores[row])} for row in best]

    return search


def create_app(search: Search) -> FastAPI:
    app, one_at_a_time = FastAPI(), threading.Lock()

    @app.get("/ready")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    @app.post("/v1/search")
    def searching(body: Question) -> dict[str, Any]:
        # Without the lock threads of the pool share the core, and each question takes longer.
        with one_at_a_time:
            return {"hits": search(body.question, body.k)}

    return app


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--with", choices=["pipeline", "transformers"], default="pipeline")
    given = vars(parser.parse_args())
    make = {"pipeline": with_pipeline, "transformers": with_transformers}[given["with"]]
    search = make(given["folder"])
    search("who", 10)
    uvicorn.run(create_app(search), port=given["port"], access_log=False, log_level="warning")
