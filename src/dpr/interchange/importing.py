"""Both towers from a folder of sentence-transformers, vectors the same.

Takes a folder with ``modules.json``, gives encoders. Reads JSON and weights only, runs no code of
the folder. What DPR's encoders can be is read: a BERT, [CLS] or mean pooling, a linear projection,
vectors of length 1, prompts, one route or two; all else is refused by name.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from dpr.encoding import ContextEncoder, EncodingSettings, Pooling, QuestionEncoder
from dpr.errors import CheckpointError
from dpr.interchange.exporting import MODULES
from dpr.models.checkpoint import NewWeightsWarning
from dpr.models.files import is_plain_name, read_json_object
from dpr.models.hub import HubOptions
from dpr.models.weights import find_weights, read_tensors

Tower = TypeVar("Tower", QuestionEncoder, ContextEncoder)
Route = Literal["query", "document"]

_LOG = logging.getLogger(__name__)
_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_TRANSFORMER_NAME = "sentence_bert_config.json"
# What would have a Transformer read texts otherwise than by its length and tokenizer.
_OTHER_WAYS = ("processing_kwargs", "query_length", "document_length", "query_expansion")
_IDENTITY = ("torch.nn.modules.linear.Identity", "torch.nn.Identity")


@dataclass(frozen=True, slots=True)
class _Module:
    """One of the modules that a folder lists: the last part of its class, and its folder."""

    name: str
    folder: Path


def is_sentence_transformers(folder: str | os.PathLike[str]) -> bool:
    """Whether a folder is a model of sentence-transformers."""
    return (Path(folder) / MODULES).is_file()


def read_sentence_transformers(
    folder: str | os.PathLike[str], *, normalize: bool | None = None
) -> tuple[QuestionEncoder, ContextEncoder]:
    """The towers of a sentence-transformers model, ready for inference.

    The question encoder gives what its ``encode_query`` gives, the context encoder what its
    ``encode_document`` gives.

    Args:
        folder: has ``modules.json``.
        normalize: in place of the model's own: vectors of length 1, or not.

    Raises:
        CheckpointError: not such a folder, damaged, or a model that these encoders cannot be.
    """
    root = Path(folder)
    if not is_sentence_transformers(root):
        raise CheckpointError(f"{root}: has no {MODULES}; give a folder of sentence-transformers")
    path = root / "config_sentence_transformers.json"
    config = read_json_object(path) if path.is_file() else {}
    _refuse_others(path, config, ("truncate_dim",))
    question = _tower(QuestionEncoder, root, "query", config, normalize)
    context = _tower(ContextEncoder, root, "document", config, normalize)
    cosine = config.get("similarity_fn_name") in (None, "cosine")
    if cosine and normalize is None and not context.encoding.normalize:
        _LOG.warning(
            "%s ranks by cosine and its vectors are of any length; here they are compared by "
            "inner product: pass normalize=True to rank as it does",
            root,
        )
    return question, context


def _tower(
    kind: type[Tower], root: Path, route: Route, config: dict[str, Any], normalize: bool | None
) -> Tower:
    modules = _modules(root, route)
    names = [module.name for module in modules]
    if names[:2] != ["Transformer", "Pooling"] or names[2:] not in (
        [],
        ["Dense"],
        ["Normalize"],
        ["Dense", "Normalize"],
    ):
        raise CheckpointError(
            f"{root}: its modules are {', '.join(names) or '(none)'}; supported are Transformer "
            "and Pooling, then perhaps Dense, then perhaps Normalize"
        )
    place = modules[0].folder
    _refuse_others(place, _read(place, _TRANSFORMER_NAME), _OTHER_WAYS)
    dense = next((module for module in modules if module.name == "Dense"), None)
    if dense is None:
        model = kind.model_class.from_pretrained(place, dtype="float32")
    else:
        model = _with_projection(kind, place, dense.folder)
    tokenizer = kind.tokenizer_class.from_pretrained(place)
    limit = model.config.max_position_embeddings
    settings = EncodingSettings(
        max_length=_max_length(place, tokenizer.model_max_length, limit),
        pooling=_pooling(modules[1].folder),
        normalize=names[-1] == "Normalize" if normalize is None else normalize,
        prompt=_prompt(root, config, route),
        plain_apostrophes=False,  # where the tokenizer does not, the model was trained without
    )
    if settings.prompt and not _read(modules[1].folder).get("include_prompt", True):
        raise CheckpointError(
            f"{root}: leaves its prompt {settings.prompt!r} out of the pooling, which is not "
            "supported"
        )
    _refuse_lowercasing(place, tokenizer.do_lower_case)
    encoder = kind(model, tokenizer, settings)
    encoder.linears = model.prepare_for_inference(bulk=kind.bulk)
    return encoder


def _modules(root: Path, route: Route) -> list[_Module]:
    """The modules that a text of one kind goes through."""
    modules = [_module(root, row.get("type"), row.get("path")) for row in _rows(root / MODULES)]
    if not modules or modules[0].name != "Router":
        return modules
    path = modules[0].folder / "router_config.json"
    router = read_json_object(path)
    types, structure = router.get("types"), router.get("structure")
    if not isinstance(types, dict) or not isinstance(structure, dict):
        raise CheckpointError(f"{path}: has no 'types' or no 'structure'; export the model again")
    parameters = router.get("parameters")
    mapped = isinstance(parameters, dict) and parameters.get("route_mappings")
    if mapped or not isinstance(structure.get(route), list):
        raise CheckpointError(
            f"{path}: its routes are {', '.join(structure)}; supported are the routes query and "
            "document without mappings"
        )
    inner = [_module(modules[0].folder, types.get(name), name) for name in structure[route]]
    return inner + modules[1:]


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CheckpointError(f"{path}: holds no list of modules")
    return rows


def _module(parent: Path, kind: object, path: object) -> _Module:
    if not isinstance(kind, str) or not kind.startswith("sentence_transformers."):
        raise CheckpointError(
            f"{parent}: its module {kind!r} is code of its own, which is not run; supported are "
            "the modules of sentence-transformers itself"
        )
    if not isinstance(path, str) or not (path == "" or is_plain_name(path)):
        raise CheckpointError(f"{parent}: refuses the module folder {path!r}: give a plain name")
    name = kind.rpartition(".")[2]
    return _Module({"Asym": "Router"}.get(name, name), parent / path)


def _read(folder: Path, name: str = "config.json") -> dict[str, Any]:
    path = folder / name
    return read_json_object(path) if path.is_file() else {}


def _pooling(folder: Path) -> Pooling:
    config = _read(folder)
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _POOLING_KEYS.items() if config.get(key)] or ["mean"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if modes == ["cls"]:
        return "cls"
    if modes == ["mean"]:
        return "mean"
    raise CheckpointError(
        f"{folder}: pools by {' and '.join(map(str, modes))}; supported are cls and mean"
    )


def _prompt(root: Path, config: dict[str, Any], route: Route) -> str:
    """The prompt that ``encode_query`` or ``encode_document`` puts before a text: that of the
    route's own name; prompts of other names are for callers to name."""
    prompts = config.get("prompts") or {}
    prompt = prompts.get(route) or "" if isinstance(prompts, dict) else prompts
    if not isinstance(prompt, str):
        raise CheckpointError(f"{root}: its prompt {prompt!r} is no text")
    return prompt


def _max_length(folder: Path, of_tokenizer: int, limit: int) -> int:
    settings = _read(folder, _TRANSFORMER_NAME)
    found = settings.get("max_seq_length") or of_tokenizer
    if not isinstance(found, int) or found < 1:
        raise CheckpointError(f"{folder}: max_seq_length is {found!r}; expected a number of tokens")
    return min(found, limit)


def _refuse_others(place: Path, config: dict[str, Any], names: tuple[str, ...]) -> None:
    if used := [name for name in names if config.get(name)]:
        raise CheckpointError(f"{place}: sets {', '.join(used)}, which is not supported")


def _refuse_lowercasing(folder: Path, by_tokenizer: bool | None) -> None:
    if _read(folder, _TRANSFORMER_NAME).get("do_lower_case") and not by_tokenizer:
        raise CheckpointError(
            f"{folder}: lowers the case of texts before its tokenizer, which is not supported"
        )


def _with_projection(
    kind: type[QuestionEncoder] | type[ContextEncoder], place: Path, dense: Path
) -> Any:
    """The model with the Dense module as its projection."""
    config = _read(dense)
    activation, size = config.get("activation_function"), config.get("out_features")
    if activation not in _IDENTITY or config.get("use_residual"):
        raise CheckpointError(
            f"{dense}: its activation is {activation!r}, its residual "
            f"{bool(config.get('use_residual'))}; supported is a Dense without either"
        )
    if not isinstance(size, int) or size < 1:
        raise CheckpointError(f"{dense}: out_features is {size!r}; expected a whole number")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NewWeightsWarning)  # the projection, filled below
        model = kind.model_class.from_pretrained(place, dtype="float32", projection_dim=size)
    tensors = read_tensors(find_weights(dense, HubOptions(), None), lambda _: None)
    head = model.encoder.encode_proj
    weight = tensors.get("linear.weight")
    bias = tensors.get("linear.bias", torch.zeros(size))
    if weight is None or weight.shape != head.weight.shape or bias.shape != head.bias.shape:
        found = None if weight is None else tuple(weight.shape)
        raise CheckpointError(
            f"{dense}: linear.weight is {found}; expected {tuple(head.weight.shape)}"
        )
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.copy_(bias)
    return model
