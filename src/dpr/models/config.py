"""The configuration of a DPR model: sizes, activation, dropout, and how it is kept in config.json.

Takes keywords or a config.json (of a DPR or a BERT model), gives a checked ``DPRConfig``. Knows
nothing of weights and does not import torch. Field names, defaults and the file are those of
Hugging Face Transformers, so that either library loads what the other wrote.
"""

from __future__ import annotations

import copy
import difflib
import json
import math
import os
from pathlib import Path
from typing import Any, ClassVar, Self

from dpr.errors import CheckpointError, SettingsError
from dpr.models.files import read_json_object, write_text
from dpr.models.hub import HubOptions, find_files

CONFIG_NAME = "config.json"

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish")
ATTENTION_IMPLEMENTATIONS = ("sdpa", "eager")
DTYPES = ("float32", "float16", "bfloat16", "float64")

# name: (default, smallest allowed)
_SIZES: dict[str, tuple[int, int]] = {
    "vocab_size": (30522, 1),
    "hidden_size": (768, 1),
    "num_hidden_layers": (12, 1),
    "num_attention_heads": (12, 1),
    "intermediate_size": (3072, 1),
    "max_position_embeddings": (512, 1),
    "type_vocab_size": (2, 1),
    "projection_dim": (0, 0),
}
_PROBABILITIES = ("hidden_dropout_prob", "attention_probs_dropout_prob")
_OUTPUT_FLAGS = {"output_attentions": False, "output_hidden_states": False, "return_dict": True}
# Fields that every config.json we write has, in the order of the constructor.
_WRITTEN = (
    *("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"),
    *("intermediate_size", "hidden_act", "hidden_dropout_prob", "attention_probs_dropout_prob"),
    *("max_position_embeddings", "type_vocab_size", "initializer_range", "layer_norm_eps"),
    *("pad_token_id", "projection_dim"),
)
# Keys that other configurations have by right; a keyword near to none of them and near to one of
# ours is taken for a misspelling.
_FOREIGN = (
    *("bos_token_id", "eos_token_id", "sep_token_id", "cls_token_id", "mask_token_id"),
    *("gradient_checkpointing", "position_embedding_type", "classifier_dropout", "use_cache"),
    *("is_decoder", "add_cross_attention", "is_encoder_decoder", "id2label", "label2id"),
    *("num_labels", "problem_type", "chunk_size_feed_forward", "tie_word_embeddings"),
    *("transformers_version", "torch_dtype", "model_type", "_name_or_path", "name_or_path"),
    *("_attn_implementation", "language", "name", "directionality"),
)


class DPRConfig:
    """What a DPR model is made of. All arguments are keywords.

    Args:
        vocab_size: number of token ids.
        hidden_size: length of a token's vector; a multiple of ``num_attention_heads``.
        num_hidden_layers: number of Transformer layers.
        num_attention_heads: number of attention heads.
        intermediate_size: width of the feed-forward layers.
        hidden_act: one of gelu, gelu_new, gelu_pytorch_tanh, relu, silu (also called swish).
        hidden_dropout_prob, attention_probs_dropout_prob: in [0, 1).
        max_position_embeddings: longest input, in tokens.
        type_vocab_size: number of segment ids.
        initializer_range: standard deviation of freshly initialised weights.
        layer_norm_eps: added to the variance in layer normalisation.
        pad_token_id: the id that pads inputs; None if there is none.
        projection_dim: size of the encoders' output; 0: ``hidden_size``, no projection layer.
        dtype: of the weights on disk ("float32", ...); None: not said. ``torch_dtype`` is an alias.
        architectures: names of the classes that the weights are for.
        attn_implementation: "sdpa" or "eager"; never written to the file.
        output_attentions, output_hidden_states, return_dict: defaults of the models' ``forward``.
        name_or_path: where it was loaded from; never written.
        extra: any other key, kept as an attribute and written back. ``position_embedding_type``
            may only be "absolute"; ``is_decoder`` and ``add_cross_attention`` may only be false.

    Raises:
        SettingsError: a value outside what is allowed.
        TypeError: a keyword that is a misspelling of one of the above.
    """

    model_type: ClassVar[str] = "dpr"

    def __init__(
        self,
        *,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int | None = 0,
        projection_dim: int = 0,
        dtype: Any = None,
        architectures: list[str] | None = None,
        attn_implementation: str | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
        name_or_path: str = "",
        **extra: Any,
    ) -> None:
        _refuse_misspellings(extra)
        object.__setattr__(self, "_extra", {})
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.pad_token_id = pad_token_id
        self.projection_dim = projection_dim
        legacy_dtype = extra.pop("torch_dtype", None)
        self.dtype: str | None = _dtype_name(legacy_dtype if dtype is None else dtype)
        self.architectures = architectures
        legacy_attention = extra.pop("_attn_implementation", None)
        self.attn_implementation: str = attn_implementation or legacy_attention or "sdpa"
        self.output_attentions = output_attentions
        self.output_hidden_states = output_hidden_states
        self.return_dict = return_dict
        self.name_or_path = extra.pop("_name_or_path", None) or name_or_path
        model_type = extra.pop("model_type", None)
        if model_type not in (None, "dpr", "bert"):
            raise SettingsError(_wrong_model_type(model_type))
        extra.pop("transformers_version", None)  # says who wrote the file; we shall
        self._extra.update(extra)
        self.validate()

    _extra: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        extra = self.__dict__.get("_extra", {})
        if name in extra:
            return extra[name]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        # Extra keys live apart, so that a key of a file can never hide a method.
        if name in self._extra:
            self._extra[name] = value
        elif name in _KNOWN or hasattr(type(self), name):
            object.__setattr__(self, name, value)
        else:
            self._extra[name] = value

    @property
    def torch_dtype(self) -> str | None:
        """Alias of ``dtype``."""
        return self.dtype

    @torch_dtype.setter
    def torch_dtype(self, value: Any) -> None:
        self.dtype = _dtype_name(value)

    @property
    def _attn_implementation(self) -> str:
        """Transformers' name for ``attn_implementation``."""
        return self.attn_implementation

    @_attn_implementation.setter
    def _attn_implementation(self, value: str) -> None:
        self.attn_implementation = value

    @property
    def use_return_dict(self) -> bool:
        """Transformers' older name for ``return_dict``."""
        return self.return_dict

    def validate(self) -> None:
        """Check every field; call it after changing fields by hand.

        Raises:
            SettingsError: names the field, its value and what is allowed.
        """
        for name, (_, least) in _SIZES.items():
            _check_integer(name, getattr(self, name), least)
        if self.hidden_size % self.num_attention_heads:
            raise SettingsError(
                f"hidden_size={self.hidden_size} is not a multiple of num_attention_heads="
                f"{self.num_attention_heads}; change one of them"
            )
        for name in _PROBABILITIES:
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value < 1:
                raise SettingsError(f"{name}={value!r}: must be a number in [0, 1)")
        _check_positive("layer_norm_eps", self.layer_norm_eps, zero=False)
        _check_positive("initializer_range", self.initializer_range, zero=True)
        if self.pad_token_id is not None:
            _check_integer("pad_token_id", self.pad_token_id, 0)
            if self.pad_token_id >= self.vocab_size:
                raise SettingsError(
                    f"pad_token_id={self.pad_token_id}: must be below vocab_size={self.vocab_size}"
                )
        _check_choice("hidden_act", self.hidden_act, ACTIVATIONS)
        _check_choice("attn_implementation", self.attn_implementation, ATTENTION_IMPLEMENTATIONS)
        if self.dtype is not None:
            _check_choice("dtype", self.dtype, DTYPES)
        position = self._extra.get("position_embedding_type", "absolute")
        _check_choice("position_embedding_type", position, ("absolute",))
        for name in ("is_decoder", "add_cross_attention"):
            if self._extra.get(name):
                raise SettingsError(f"{name}={self._extra[name]!r}: DPR models are encoders only")

    def to_dict(self) -> dict[str, Any]:
        """All that config.json holds, as a new dictionary of JSON values."""
        result: dict[str, Any] = {name: getattr(self, name) for name in _WRITTEN}
        for name, default in _OUTPUT_FLAGS.items():
            if getattr(self, name) != default:
                result[name] = getattr(self, name)
        for name in ("dtype", "architectures"):
            if getattr(self, name) is not None:
                result[name] = getattr(self, name)
        result.update({k: v for k, v in self._extra.items() if k not in result})
        result["model_type"] = self.model_type
        return copy.deepcopy(result)

    def to_json_string(self) -> str:
        """The text of config.json: sorted keys, two spaces, a final newline."""
        try:
            return json.dumps(self.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        except TypeError as error:
            raise SettingsError(
                f"the configuration holds a value that JSON cannot: {error}; "
                "use numbers, strings, lists and dictionaries"
            ) from error

    @classmethod
    def from_dict(cls, values: dict[str, Any], **overrides: Any) -> Self:
        """A configuration from the contents of a config.json (of a DPR or a BERT model).

        Args:
            values: unknown keys are kept and written back.
            overrides: replace what ``values`` says; these must be fields or keys of ``values``.

        Raises:
            SettingsError: a value outside what is allowed.
            TypeError: an override that is neither a field nor a key of ``values``.
        """
        for name in overrides:
            if name not in _KNOWN and name not in values and name not in _FOREIGN:
                raise TypeError(unknown_keyword(name, sorted(FIELDS)))
        merged = dict(values)
        if overrides.get("torch_dtype") is not None:
            merged.pop("dtype", None)  # which would be preferred to its alias
        merged.update(overrides)
        known = {k: v for k, v in merged.items() if k in _KNOWN or k in _FOREIGN}
        config = cls(**known)
        # A key of a file is no misspelt keyword, whatever it looks like.
        config._extra.update({k: v for k, v in merged.items() if k not in known})
        return config

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **keywords: Any
    ) -> Self:
        """Read the config.json of a folder or of a hub repository.

        Args:
            pretrained_model_name_or_path: a folder, or ``owner/name`` on the hub.
            keywords: the fields of ``HubOptions`` (revision, cache_dir, local_files_only, token,
                subfolder, force_download) and fields of the configuration to override.

        Raises:
            CheckpointError: there is none, it is not JSON, or it holds a value not allowed.
            TypeError: an unknown keyword.
        """
        options = HubOptions.take(keywords)
        path = find_files(pretrained_model_name_or_path, [CONFIG_NAME], options)
        if path is None:
            raise CheckpointError(
                f"{pretrained_model_name_or_path}: has no {CONFIG_NAME}"
                + (f" in {options.subfolder!r}" if options.subfolder else "")
                + "; give the folder of a saved model (offline, the file must have been "
                "downloaded before)"
            )
        values = read_json_object(path)
        try:
            config = cls.from_dict(values, **keywords)
        except SettingsError as error:
            raise CheckpointError(f"{path}: {error}") from error
        config.name_or_path = os.fspath(pretrained_model_name_or_path)
        return config

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write config.json into a folder, which is made if need be.

        Raises:
            SettingsError: a field was set to a value not allowed.
            CheckpointError: the file cannot be written.
        """
        self.validate()
        write_text(Path(save_directory) / CONFIG_NAME, self.to_json_string())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DPRConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


FIELDS = frozenset(
    {*_WRITTEN, *_OUTPUT_FLAGS, "dtype", "torch_dtype", "architectures", "attn_implementation"}
)
_KNOWN = FIELDS | {"name_or_path", "_extra"}


def unknown_keyword(name: str, allowed: list[str]) -> str:
    """What to say about a keyword that does not exist."""
    near = difflib.get_close_matches(name, allowed, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(allowed)}"
    return f"unknown keyword {name!r}; {hint}"


def _refuse_misspellings(extra: dict[str, Any]) -> None:
    for name in extra:
        if name in _FOREIGN:
            continue
        near = difflib.get_close_matches(name, sorted(_KNOWN), n=1, cutoff=0.85)
        if near:
            raise TypeError(f"unknown keyword {name!r}; did you mean {near[0]!r}?")


def _wrong_model_type(model_type: object) -> str:
    return (
        f"model_type={model_type!r}: only 'dpr' and 'bert' models can be loaded; "
        "other architectures number their positions or name their weights differently"
    )


def _dtype_name(value: Any) -> str | None:
    """The plain name of a dtype given as "float32", "torch.float32" or torch.float32."""
    return None if value is None else str(value).removeprefix("torch.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_integer(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise SettingsError(f"{name}={value!r}: must be a whole number of at least {least}")


def _check_positive(name: str, value: Any, *, zero: bool) -> None:
    if not _is_number(value) or value < 0 or (value == 0 and not zero):
        raise SettingsError(
            f"{name}={value!r}: must be a number {'of at least' if zero else 'above'} 0"
        )


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SettingsError(f"{name}={value!r}: must be one of {', '.join(allowed)}")
