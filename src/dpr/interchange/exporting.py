"""Both towers to a folder that sentence-transformers (5 and later) loads, vectors the same.

Takes encoders, gives a folder: safetensors, JSON and text, nothing that could run. Tied towers are
one Transformer with its pooling; others are a Router with the routes ``query`` and ``document``.

Three things make the other library read a text as DPR does. The tokenizer returns no segment ids,
so that a pair of title and text has only segment 0. It reads ``[SEP]`` in a text as characters.
And the query route reads typographic apostrophes as plain ones, which tied towers cannot do for
queries alone: see ``share``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dpr import __version__
from dpr.encoding import ContextEncoder, QuestionEncoder, tokenizer_fingerprint
from dpr.errors import CheckpointError, SettingsError
from dpr.models.config import DPRConfig
from dpr.models.files import write_text
from dpr.models.keys import head_of, map_keys
from dpr.models.weights import write_tensors
from dpr.training.checkpointing import mend_folder, replace_folder

MODULES = "modules.json"
# The older of the module names, which every version from 2 on knows.
TYPES = "sentence_transformers.models."
Encoder = QuestionEncoder | ContextEncoder


def export_sentence_transformers(
    question: QuestionEncoder,
    context: ContextEncoder,
    folder: str | os.PathLike[str],
    *,
    share: bool = True,
) -> Path:
    """Writes both towers as a sentence-transformers model, whole or not at all.

    ``SentenceTransformer(folder)`` then gives our vectors by ``encode_query`` and
    ``encode_document``, in float32. A title goes with its text as the pair ``(title, text)``; where
    there is none, the text stands alone. A title that is longer than its text and does not fit is
    cut there otherwise than here.

    Args:
        question, context: the towers.
        folder: is made; one that is there must be empty.
        share: tied towers become one module. False writes them as two routes, twice the size: only
            so do queries with typographic apostrophes (’) have our vectors too.

    Returns:
        the folder.

    Raises:
        CheckpointError: the folder holds anything else, or cannot be written.
        SettingsError: the towers give vectors of different lengths, or signs for passages.
    """
    if question.dim != context.dim:
        raise SettingsError(
            f"the question encoder gives vectors of {question.dim} numbers, the context encoder "
            f"of {context.dim}; give two towers that were trained together"
        )
    if context.encoding.signs:
        raise SettingsError(
            "the context encoder gives the signs of its vectors, which no module of "
            "sentence-transformers does; train one without hashing"
        )
    shared = share and are_tied(question, context)

    def fill(fresh: Path) -> None:
        if shared:
            names = _write_modules(fresh, context, lambda n, name: f"{n}_{name}" if n else "")
            modules = [(path, name) for path, name in names]
        else:
            _write_router(fresh, question, context)
            modules = [("", "Router")]
        rows = [
            {"idx": n, "name": str(n), "path": path, "type": TYPES + name}
            for n, (path, name) in enumerate(modules)
        ]
        _write_json(fresh / MODULES, rows)
        _write_json(fresh / "config_sentence_transformers.json", _model_settings(question, context))
        write_text(fresh / "README.md", _card(question, context, shared))

    return write_folder(folder, fill)


def are_tied(question: QuestionEncoder, context: ContextEncoder) -> bool:
    """Whether one tower can stand for both: the same weights, tokenizer and way of encoding."""
    names = ("max_length", "pooling", "normalize")
    if any(getattr(question.encoding, n) != getattr(context.encoding, n) for n in names):
        return False
    if tokenizer_fingerprint(question.tokenizer) != tokenizer_fingerprint(context.tokenizer):
        return False
    left, right = bare_weights(question), bare_weights(context)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def bare_weights(encoder: Encoder) -> dict[str, Tensor]:
    """The weights under a plain BERT's names, and the projection's as ``encode_proj.*``."""
    weights = encoder.model.state_dict()
    return {name: weights[key] for name, key in map_keys(weights).keys.items()}


def write_folder(folder: str | os.PathLike[str], fill: Callable[[Path], None]) -> Path:
    """Makes a folder, whole or not at all; one that is there must be empty.

    Args:
        fill: writes into a folder beside it, which then takes its place.

    Raises:
        CheckpointError: the folder is in use, or it cannot be written.
    """
    path = Path(folder).absolute()
    used = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    if used:
        raise CheckpointError(f"{path}: is there and is not empty; give a folder that is not there")

    def whole(fresh: Path) -> None:
        fresh.mkdir(parents=True)
        fill(fresh)

    try:
        replace_folder(path, whole)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        mend_folder(path)  # of a failure nothing is left
    return path


def _write_router(folder: Path, question: QuestionEncoder, context: ContextEncoder) -> None:
    types: dict[str, str] = {}
    structure: dict[str, list[str]] = {}
    for route, encoder in (("query", question), ("document", context)):
        modules = _write_modules(folder, encoder, lambda n, name, r=route: f"{r}_{n}_{name}")  # type: ignore[misc]
        types |= {path: TYPES + name for path, name in modules}
        structure[route] = [path for path, _ in modules]
    parameters = {"default_route": "document", "allow_empty_key": True}
    _write_json(
        folder / "router_config.json",
        {"types": types, "structure": structure, "parameters": parameters},
    )


def _write_modules(
    folder: Path, encoder: Encoder, place: Callable[[int, str], str]
) -> list[tuple[str, str]]:
    """Writes one tower; gives folder and class of each of its modules."""
    settings, weights = encoder.encoding, bare_weights(encoder)
    config = encoder.model.config
    names = ["Transformer", "Pooling"]
    names += ["Dense"] * (config.projection_dim > 0) + ["Normalize"] * settings.normalize
    paths = [place(n, name) for n, name in enumerate(names)]
    for path, name in zip(paths, names, strict=True):
        target = folder / path
        target.mkdir(exist_ok=True)
        if name == "Transformer":
            _write_transformer(target, encoder, weights)
        elif name == "Pooling":
            _write_json(target / "config.json", _pooling(config.hidden_size, settings.pooling))
        elif name == "Dense":
            dense = {
                "in_features": config.hidden_size,
                "out_features": config.projection_dim,
                "bias": True,
                "activation_function": "torch.nn.modules.linear.Identity",
            }
            _write_json(target / "config.json", dense)
            heads = {f"linear.{n}": _plain(weights[f"encode_proj.{n}"]) for n in ("weight", "bias")}
            write_tensors(target, heads, "5GB")
    return list(zip(paths, names, strict=True))


def _write_transformer(folder: Path, encoder: Encoder, weights: dict[str, Tensor]) -> None:
    body = {name: _plain(value) for name, value in weights.items() if head_of(name) is None}
    write_tensors(folder, body, "5GB")
    config = encoder.model.config.to_dict()
    for name in ("projection_dim", "model_type", "architectures", "dtype", "torch_dtype"):
        config.pop(name, None)
    config |= {"model_type": "bert", "architectures": ["BertModel"], "dtype": "float32"}
    _write_json(folder / "config.json", config)
    length = encoder.encoding.max_length
    _write_json(
        folder / "sentence_bert_config.json",
        {
            "max_seq_length": length,
            "do_lower_case": False,
            "model_args": {"add_pooling_layer": False},
        },
    )
    encoder.tokenizer.save_pretrained(folder)
    if isinstance(encoder, QuestionEncoder) and encoder.encoding.plain_apostrophes:
        _read_plain_apostrophes(folder / "tokenizer.json")
    settings = {
        # A class that takes tokenizer.json as it is.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": length,
        "model_input_names": ["input_ids", "attention_mask"],
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        **encoder.tokenizer.special_tokens_map,
    }
    _write_json(folder / "tokenizer_config.json", settings)


def _read_plain_apostrophes(path: Path) -> None:
    """Puts before a tokenizer's normaliser what ``question_ids`` does."""
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    replace = {"type": "Replace", "pattern": {"String": "’"}, "content": "'"}
    normalizers = [replace, *filter(None, [tokenizer["normalizer"]])]
    tokenizer["normalizer"] = {"type": "Sequence", "normalizers": normalizers}
    write_text(path, json.dumps(tokenizer, ensure_ascii=False))


def _pooling(size: int, pooling: str) -> dict[str, Any]:
    return {
        "word_embedding_dimension": size,
        "pooling_mode_cls_token": pooling == "cls",
        "pooling_mode_mean_tokens": pooling == "mean",
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
        "pooling_mode_weightedmean_tokens": False,
        "pooling_mode_lasttoken": False,
        "include_prompt": True,
    }


def _model_settings(question: QuestionEncoder, context: ContextEncoder) -> dict[str, Any]:
    return {
        "model_type": "SentenceTransformer",
        "__version__": {"sentence_transformers": "5.0.0", "dense-passage-retrieval": __version__},
        "prompts": {"query": question.encoding.prompt, "document": context.encoding.prompt},
        "default_prompt_name": None,
        "similarity_fn_name": "dot",
    }


def _plain(weight: Tensor) -> Tensor:
    return weight.detach().to("cpu", torch.float32, copy=True).contiguous()


def _write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _card(question: QuestionEncoder, context: ContextEncoder, shared: bool) -> str:
    config: DPRConfig = context.model.config
    lengths = context.encoding.max_length, question.encoding.max_length
    towers = (
        "One Transformer for queries and documents alike (tied towers)."
        if shared
        else "A Router: queries and documents have a Transformer each."
    )
    apostrophes = (
        "\nThe towers share a tokenizer: write plain apostrophes (') in queries, as the models "
        "were trained.\n"
        if shared and question.encoding.plain_apostrophes
        else ""
    )
    return f"""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags: [sentence-transformers, feature-extraction, dense-retrieval, dpr]
---

# A dense passage retriever (DPR)

Exported by dense-passage-retrieval {__version__}. {towers}

- **Vectors**: {context.dim} numbers, compared by inner product (`similarity_fn_name: dot`)
- **Pooling**: {context.encoding.pooling}{", normalised" * context.encoding.normalize}
- **Layers**: {config.num_hidden_layers} of {config.hidden_size}
- **Tokens read**: {lengths[0]} of a document, {lengths[1]} of a query

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("this folder")
queries = model.encode_query(["who wrote the play?"])
documents = model.encode_document([("A title", "A text."), "A text without a title."])
scores = model.similarity(queries, documents)
```

A document with a title is the pair `(title, text)`; without one, the text alone.
{apostrophes}"""
