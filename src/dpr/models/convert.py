"""Checkpoints of the original DPR code (``*.cp``) to folders that ``from_pretrained`` reads.

Takes such a file, gives folders ``question_encoder`` and ``ctx_encoder``, or ``reader``. Nothing
in the file is ever run: it is read by ``torch.load(weights_only=True)`` or, where it holds
objects which that refuses, by ``dpr.models.inert``. Only conversion reads these files.

Knows nothing of tokenizers beyond the names of their files.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from dpr.errors import CheckpointError, SettingsError
from dpr.models.config import DPRConfig
from dpr.models.dpr import DPRContextEncoder, DPRPreTrainedModel, DPRQuestionEncoder, DPRReader
from dpr.models.inert import LazyTensor, plain, read_inert
from dpr.models.keys import HEADS, map_keys
from dpr.models.loading import empty_weights, fill, resolve_dtype
from dpr.models.weights import is_zip, load_bin

KINDS = ("auto", "biencoder", "reader")
TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"),
    "added_tokens.json",
)

_TOWERS: dict[str, tuple[str, type[DPRPreTrainedModel]]] = {
    "question_model.": ("question_encoder", DPRQuestionEncoder),
    "ctx_model.": ("ctx_encoder", DPRContextEncoder),
}
_HEAD_SIZE = 64  # of every published BERT


def convert_checkpoint(
    path: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    base_config: DPRConfig | str | os.PathLike[str] | None = None,
    kind: str = "auto",
    tokenizer_from: str | os.PathLike[str] | None = None,
) -> list[Path]:
    """Convert a checkpoint of the original DPR code.

    Sizes are taken from the weights. What weights do not show (number of heads, activation,
    padding id) is taken from ``base_config``, else it is BERT's: heads of 64, gelu, 0.

    Args:
        path: the ``.cp`` file.
        to: folder that gets ``question_encoder`` and ``ctx_encoder``, or ``reader``.
        base_config: the configuration, or the folder of it, of the BERT that was trained.
        kind: "biencoder", "reader", or "auto" to go by the names of the weights.
        tokenizer_from: a folder whose tokenizer files are copied beside the weights.

    Returns:
        the folders written.

    Raises:
        CheckpointError: the file is not of this kind, damaged, incomplete, or would run code.
        SettingsError: ``kind`` is none of the above.
    """
    if kind not in KINDS:
        raise SettingsError(f"kind={kind!r}: must be one of {', '.join(KINDS)}")
    source = Path(path)
    weights, settings = _read(source)
    base = _base(base_config)
    tokenizer = _tokenizer_files(tokenizer_from)
    parts = _parts(source, weights, kind)
    models = {
        name: _model(source, model_class, tensors, settings, base)
        for name, (model_class, tensors) in parts.items()
    }
    written = []
    for name, model in models.items():
        folder = Path(to) / name
        model.save_pretrained(folder)
        for file in tokenizer:
            shutil.copyfile(file, folder / file.name)
        written.append(folder)
    return written


def _read(path: Path) -> tuple[dict[str, Tensor | LazyTensor], dict[str, Any]]:
    """The weights by name and the settings of the encoder."""
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    loaded: object = None
    try:
        loaded = load_bin(path)
        refused = False
    except CheckpointError:
        if not is_zip(path):
            raise
        refused = True
    if refused:
        loaded = read_inert(path)
    weights = loaded.get("model_dict") if isinstance(loaded, Mapping) else None
    if not isinstance(loaded, Mapping) or not isinstance(weights, Mapping):
        raise CheckpointError(
            f"{path}: is no checkpoint of the original DPR code, which has a dictionary "
            "'model_dict'; a folder of a saved model needs no conversion"
        )
    for key, value in weights.items():
        if not isinstance(key, str) or not isinstance(value, Tensor | LazyTensor):
            raise CheckpointError(f"{path}: model_dict[{key!r}] is no tensor")
    settings = plain(loaded.get("encoder_params"))
    if not isinstance(settings, dict):
        settings = {}
    encoder = settings.get("encoder")  # where the later generation keeps them
    return dict(weights), {**settings, **(encoder if isinstance(encoder, dict) else {})}


def _parts(
    path: Path, weights: Mapping[str, Tensor | LazyTensor], kind: str
) -> dict[str, tuple[type[DPRPreTrainedModel], dict[str, Tensor | LazyTensor]]]:
    """Folder name to class and weights, of each model in the checkpoint."""
    weights = {key.removeprefix("module."): value for key, value in weights.items()}
    reader = any(key.startswith("qa_") for key in weights)
    towers = [t for t in _TOWERS if any(key.startswith(t) for key in weights)]
    if kind == "auto":
        kind = "reader" if reader and not towers else "biencoder"
    if kind == "reader":
        heads = [head for head in HEADS[1:] if f"{head}.weight" not in weights]
        if heads:
            raise CheckpointError(
                f"{path}: is no reader: it has no {' and no '.join(heads)}"
                + ("; it is a bi-encoder: pass kind='biencoder'" if towers else "")
            )
        return {"reader": (DPRReader, dict(weights))}
    if len(towers) < len(_TOWERS):
        raise CheckpointError(
            f"{path}: is no bi-encoder: it has no weights under "
            f"{' or '.join(repr(t) for t in _TOWERS if t not in towers)}"
            + ("; it is a reader: pass kind='reader'" if reader else "")
        )
    return {
        name: (model_class, {k: v for k, v in weights.items() if k.startswith(tower)})
        for tower, (name, model_class) in _TOWERS.items()
    }


def _model(
    path: Path,
    model_class: type[DPRPreTrainedModel],
    lazy: Mapping[str, Tensor | LazyTensor],
    settings: Mapping[str, Any],
    base: DPRConfig | None,
) -> DPRPreTrainedModel:
    try:
        names = map_keys(lazy)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    wanted = {*names.keys.values(), *names.unexpected}
    tensors = {
        k: v.read() if isinstance(v, LazyTensor) else v for k, v in lazy.items() if k in wanted
    }
    shapes = {name: tuple(tensors[key].shape) for name, key in names.keys.items()}
    config = _infer(path, shapes, settings, base)
    dtype = resolve_dtype("auto", config, tensors)
    with empty_weights():
        model = model_class(config)
    fill(model, tensors, config=config, dtype=dtype, origin=str(path))
    return model


def _infer(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    settings: Mapping[str, Any],
    base: DPRConfig | None,
) -> DPRConfig:
    """The configuration that the shapes of the weights show."""
    _refuse_other_architectures(path, settings)

    def size(name: str, axis: int, default: int | None = None) -> int:
        shape = shapes.get(f"{name}.weight")
        if shape is None and default is not None:
            return default
        if shape is None or len(shape) != 2:
            raise CheckpointError(f"{path}: {name}.weight is missing or no matrix")
        return shape[axis]

    layers = [int(m[1]) for m in (re.match(r"encoder\.layer\.(\d+)\.", n) for n in shapes) if m]
    hidden = size("embeddings.word_embeddings", 1)
    values = {} if base is None else base.to_dict()
    if base is None:
        if hidden % _HEAD_SIZE:
            raise CheckpointError(
                f"{path}: the number of attention heads is not known (hidden size {hidden} is no "
                f"multiple of {_HEAD_SIZE}); pass base_config=DPRConfig(num_attention_heads=...)"
            )
        values["num_attention_heads"] = hidden // _HEAD_SIZE
        dropout = settings.get("dropout")
        if isinstance(dropout, float) and 0 <= dropout < 1:
            values["hidden_dropout_prob"] = values["attention_probs_dropout_prob"] = dropout
    values.pop("dtype", None)
    values.update(
        vocab_size=size("embeddings.word_embeddings", 0),
        hidden_size=hidden,
        num_hidden_layers=max(layers, default=0) + 1,
        intermediate_size=size("encoder.layer.0.intermediate.dense", 0),
        max_position_embeddings=size("embeddings.position_embeddings", 0),
        type_vocab_size=size("embeddings.token_type_embeddings", 0),
        projection_dim=size("encode_proj", 0, default=0),
    )
    try:
        return DPRConfig.from_dict(values)
    except SettingsError as error:
        raise CheckpointError(f"{path}: {error}; pass the base_config that was trained") from error


def _refuse_other_architectures(path: Path, settings: Mapping[str, Any]) -> None:
    for name in ("encoder_model_type", "pretrained_model_cfg"):
        value = settings.get(name)
        if isinstance(value, str) and re.search("roberta|pytext|electra|albert", value.lower()):
            raise CheckpointError(
                f"{path}: {name} is {value!r}; only encoders of BERT's architecture can be "
                "converted, others number positions or name weights differently"
            )


def _base(base_config: DPRConfig | str | os.PathLike[str] | None) -> DPRConfig | None:
    if base_config is None or isinstance(base_config, DPRConfig):
        return base_config
    return DPRConfig.from_pretrained(base_config)


def _tokenizer_files(folder: str | os.PathLike[str] | None) -> list[Path]:
    if folder is None:
        return []
    files = [Path(folder) / name for name in TOKENIZER_FILES]
    present = [file for file in files if file.is_file()]
    if not any(file.name in ("tokenizer.json", "vocab.txt") for file in present):
        raise CheckpointError(f"{folder}: has no tokenizer (tokenizer.json or vocab.txt)")
    return present
