"""Loading and saving the models: ``from_pretrained``, ``save_pretrained``, ``push_to_hub``.

``PretrainedMixin`` gives a model these methods and the small ones that Transformers users call.
Takes folders and hub names, gives models in evaluation mode. Knows nothing of what a model
computes: only its configuration class, its ``base_model_prefix`` and its ``state_dict``.
"""

from __future__ import annotations

import copy
import os
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, overload

import torch
from torch import Tensor, nn

from dpr.errors import CheckpointError, SettingsError
from dpr.models.config import FIELDS, DPRConfig, unknown_keyword
from dpr.models.hub import HubOptions, find_files
from dpr.models.loading import (
    LoadingInfo,
    NewWeightsWarning,
    NonFiniteWeightsWarning,
    UnusedWeightsWarning,
    WeightsWarning,
    empty_weights,
    fill,
    is_finite,
    resolve_dtype,
)
from dpr.models.weights import find_weights, read_tensors, weights_fingerprint, write_tensors

__all__ = [
    "LoadingInfo",
    "NewWeightsWarning",
    "NonFiniteWeightsWarning",
    "PretrainedMixin",
    "UnusedWeightsWarning",
    "WeightsWarning",
    "weights_fingerprint",
]

_OPTIONS = (
    *("config", "dtype", "torch_dtype", "attn_implementation", "use_safetensors"),
    *("output_loading_info", *HubOptions.__slots__),
)


class PretrainedMixin(nn.Module):
    """What makes a model loadable and savable. A subclass sets ``base_model_prefix`` and takes a
    ``DPRConfig`` in its constructor, which must build it under ``torch.device("meta")`` too."""

    config_class: ClassVar[type[DPRConfig]] = DPRConfig
    base_model_prefix: ClassVar[str] = ""
    config: DPRConfig

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        output_loading_info: Literal[True],
        **keywords: Any,
    ) -> tuple[Self, dict[str, Any]]: ...

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        output_loading_info: Literal[False] = False,
        **keywords: Any,
    ) -> Self: ...

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        config: DPRConfig | str | os.PathLike[str] | None = None,
        dtype: str | torch.dtype | None = None,
        torch_dtype: str | torch.dtype | None = None,
        attn_implementation: str | None = None,
        use_safetensors: bool | None = None,
        output_loading_info: bool = False,
        **keywords: Any,
    ) -> Self | tuple[Self, dict[str, Any]]:
        """Load a model from a folder or from the hub, in evaluation mode, on the CPU.

        The checkpoint may be of a DPR model, of the other tower (as for tied towers), or of a
        plain BERT, whose heads are then initialised at random with a ``NewWeightsWarning``.

        Args:
            pretrained_model_name_or_path: a folder, or ``owner/name`` on the hub, which is only
                asked where no such folder exists.
            config: in place of the checkpoint's own; or the folder of one.
            dtype: "auto" or None: that of the configuration, else of the weights, as in
                Transformers 5; or a dtype, or its name. ``torch_dtype`` is an alias.
            attn_implementation: "sdpa" (the default) or "eager".
            use_safetensors: True: refuse .bin files; False: only these; None: safetensors first.
            output_loading_info: also return a dictionary with ``missing_keys`` (initialised at
                random), ``unexpected_keys`` (not used), ``prefix`` (under which the weights
                stood) and ``swapped`` (True: they are the other tower's).
            keywords: revision, cache_dir, local_files_only, token, subfolder, force_download; and
                fields of the configuration to override.

        Raises:
            CheckpointError: not found, truncated, corrupt, incomplete or not fitting.
            SettingsError: a configuration field or dtype outside what is allowed.
            TypeError: an unknown keyword.
        """
        options = HubOptions.take(keywords)
        _check_keywords(f"{cls.__name__}.from_pretrained", keywords)
        source = pretrained_model_name_or_path
        loaded = cls._config_for(source, config, options, keywords)
        if attn_implementation is not None:
            loaded.attn_implementation = attn_implementation
            loaded.validate()
        path = find_weights(source, options, use_safetensors)
        tensors = read_tensors(path, lambda name: find_files(source, [name], options))
        wanted = resolve_dtype(torch_dtype if dtype is None else dtype, loaded, tensors)
        loaded.dtype = str(wanted).removeprefix("torch.")
        with empty_weights():
            model = cls(loaded)
        info = fill(
            model,
            tensors,
            config=loaded,
            dtype=wanted,
            origin=str(path),
            overridden=frozenset(FIELDS if config is not None else keywords),
        )
        model._apply_attention(loaded.attn_implementation)
        model.eval()
        return (model, info.to_dict()) if output_loading_info else model

    @classmethod
    def _config_for(
        cls,
        source: str | os.PathLike[str],
        config: DPRConfig | str | os.PathLike[str] | None,
        options: HubOptions,
        overrides: dict[str, Any],
    ) -> DPRConfig:
        if isinstance(config, DPRConfig):
            loaded = cls.config_class.from_dict(config.to_dict(), **overrides)
            loaded.attn_implementation = config.attn_implementation
        elif config is not None:
            loaded = cls.config_class.from_pretrained(config, **overrides)
        else:
            hub = {name: getattr(options, name) for name in HubOptions.__slots__}
            loaded = cls.config_class.from_pretrained(source, **hub, **overrides)
        loaded.name_or_path = os.fspath(source)
        return loaded

    def _apply_attention(self, name: str) -> None:
        setter = getattr(self, "set_attn_implementation", None)
        if setter is not None:
            setter(name)

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        *,
        max_shard_size: int | str = "5GB",
        safe_serialization: bool = True,
        dtype: str | torch.dtype | None = None,
        state_dict: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write weights (safetensors) and config.json into a folder, each file whole or not at all.

        Args:
            save_directory: is made if need be; files of an earlier save are replaced.
            max_shard_size: more is split into shards with an index; bytes, or such as "5GB".
            safe_serialization: only True: the other format is a pickle.
            dtype: to convert the weights to; None: as they are.
            state_dict: to write in place of the model's own.

        Raises:
            SettingsError: a setting outside what is allowed.
            CheckpointError: a file cannot be written.
        """
        if not safe_serialization:
            raise SettingsError(
                "safe_serialization=False would write a pickle, a format that can run code when "
                "it is loaded; leave it out: every current library reads safetensors"
            )
        folder = Path(save_directory)
        if folder.exists() and not folder.is_dir():
            raise CheckpointError(f"{folder}: is a file; give a folder to save the model into")
        tensors = _own_tensors(self.state_dict() if state_dict is None else state_dict)
        saved = copy.deepcopy(self.config)
        saved.dtype = str(dtype or self.dtype).removeprefix("torch.")
        saved.architectures = [type(self).__name__]
        saved.validate()
        if dtype is not None:
            wanted = resolve_dtype(dtype, saved, tensors)
            tensors = {key: tensor.to(wanted) for key, tensor in tensors.items()}
        bad = [key for key, tensor in tensors.items() if not is_finite(tensor)]
        if bad:
            warnings.warn(
                f"{folder}: saving NaN or infinity in {', '.join(bad[:5])} (of {len(bad)} "
                "weights); the model is of no use: lower the learning rate and train again",
                NonFiniteWeightsWarning,
                stacklevel=2,
            )
        write_tensors(folder, tensors, max_shard_size)
        saved.save_pretrained(folder)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload model",
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        max_shard_size: int | str = "5GB",
    ) -> str:
        """Save the model and upload it to a repository on the hub, which is made if need be.

        Returns:
            the address of the commit.

        Raises:
            CheckpointError: the upload failed.
        """
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, max_shard_size=max_shard_size)
            try:
                api.create_repo(repo_id, private=private, exist_ok=True)
                commit = api.upload_folder(
                    repo_id=repo_id,
                    folder_path=folder,
                    commit_message=commit_message,
                    revision=revision,
                    create_pr=create_pr,
                )
            except (OSError, ValueError) as error:  # of these are the hub's errors, too
                raise CheckpointError(f"{repo_id}: cannot upload: {error}") from error
        return str(commit)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return next(p.dtype for p in self.parameters() if p.is_floating_point())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def name_or_path(self) -> str:
        """Where the model was loaded from; "" if it was made anew."""
        return self.config.name_or_path

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the weights are.

        Args:
            only_trainable: leave out those with ``requires_grad=False``.
            exclude_embeddings: leave out the weights of embedding tables.
        """
        left_out = {
            id(module.weight)
            for module in self.modules()
            if exclude_embeddings and isinstance(module, nn.Embedding)
        }
        return sum(
            p.numel()
            for p in self.parameters()
            if id(p) not in left_out and (p.requires_grad or not only_trainable)
        )

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of word embeddings, (vocab_size, hidden_size)."""
        raise NotImplementedError

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the table of word embeddings."""
        raise NotImplementedError

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None
    ) -> nn.Embedding:
        """Grow or shrink the vocabulary; new rows are drawn from normal(0, initializer_range).

        Args:
            new_num_tokens: rows wanted; None: as many as there are.
            pad_to_multiple_of: round the number of rows up to a multiple of this.

        Returns:
            the table of word embeddings; ``config.vocab_size`` is updated.

        Raises:
            SettingsError: below one row, or the [PAD] token would be cut off.
        """
        old = self.get_input_embeddings()
        rows = old.num_embeddings if new_num_tokens is None else new_num_tokens
        multiple = 1 if pad_to_multiple_of is None else pad_to_multiple_of
        if not isinstance(rows, int) or not isinstance(multiple, int) or min(rows, multiple) < 1:
            raise SettingsError(
                f"new_num_tokens={new_num_tokens!r}, pad_to_multiple_of={pad_to_multiple_of!r}: "
                "must be whole numbers of at least 1"
            )
        rows = -(-rows // multiple) * multiple
        if old.padding_idx is not None and rows <= old.padding_idx:
            raise SettingsError(
                f"new_num_tokens={rows} would cut off the padding token, {old.padding_idx}"
            )
        if rows != old.num_embeddings:
            weight = old.weight.detach()
            table = torch.empty(rows, old.embedding_dim, dtype=weight.dtype, device=weight.device)
            table.normal_(0.0, self.config.initializer_range)
            kept = min(rows, old.num_embeddings)
            table[:kept] = weight[:kept]
            with empty_weights():
                new = nn.Embedding(rows, old.embedding_dim, padding_idx=old.padding_idx)
            new.weight = nn.Parameter(table, requires_grad=old.weight.requires_grad)
            new.train(old.training)
            self.set_input_embeddings(new)
        self.config.vocab_size = rows
        return self.get_input_embeddings()

    def gradient_checkpointing_enable(self, gradient_checkpointing_kwargs: Any = None) -> None:
        """In training, keep less in memory and compute each layer's forward pass twice.

        ``gradient_checkpointing_kwargs`` is accepted for Transformers' sake and not needed.
        """
        self.gradient_checkpointing = True

    def gradient_checkpointing_disable(self) -> None:
        """In training, keep all that the backward pass needs."""
        self.gradient_checkpointing = False

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether ``gradient_checkpointing_enable`` is in force."""
        return bool(self.gradient_checkpointing)


def _check_keywords(function: str, keywords: dict[str, Any]) -> None:
    for name in keywords:
        if name not in FIELDS:
            near = unknown_keyword(name, sorted({*_OPTIONS, *FIELDS}))
            raise TypeError(f"{function}: {near}")


def _own_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, contiguous, and none sharing memory with another, as safetensors needs."""
    result: dict[str, Tensor] = {}
    seen: set[int] = set()
    for key, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        pointer = own.untyped_storage().data_ptr()
        if pointer in seen:
            own = own.clone()
        seen.add(pointer)
        result[key] = own
    return result
