"""Filling a model with the weights of a checkpoint, or saying exactly why that cannot be.

Takes a model built on the meta device and the tensors of a checkpoint, gives the filled model and
a report. Knows nothing of files. Nothing is ever initialised at random in silence: a body must be
complete and of the right shapes; heads that a checkpoint cannot have are initialised with a
``NewWeightsWarning``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dpr.errors import CheckpointError, SettingsError
from dpr.models.config import DTYPES, DPRConfig
from dpr.models.keys import KeyMap, head_of, map_keys

_SHOWN = 10  # how many names an error lists


class WeightsWarning(UserWarning):
    """Base of the warnings about weights."""


class NewWeightsWarning(WeightsWarning):
    """Weights that the checkpoint does not have were initialised at random: train them."""


class UnusedWeightsWarning(WeightsWarning):
    """The checkpoint has weights that this model does not use."""


class NonFiniteWeightsWarning(WeightsWarning):
    """The weights hold NaN or infinity."""


@dataclass(frozen=True, slots=True)
class LoadingInfo:
    """What became of the weights; ``to_dict`` is Transformers' ``output_loading_info``.

    Attributes:
        missing_keys: the model's names that were initialised at random.
        unexpected_keys: the checkpoint's names that were not used.
        prefix: under which the BERT stood in the checkpoint.
        swapped: the checkpoint was of the other tower.
    """

    missing_keys: set[str] = field(default_factory=set)
    unexpected_keys: set[str] = field(default_factory=set)
    prefix: str = ""
    swapped: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "missing_keys": self.missing_keys,
            "unexpected_keys": self.unexpected_keys,
            "mismatched_keys": set(),
            "error_msgs": [],
            "prefix": self.prefix,
            "swapped": self.swapped,
        }


class _WithoutRandomNumbers(TorchFunctionMode):
    """Makes the random initialisers do nothing. On the meta device they would do nothing too,
    but ``normal_`` loads the compiler for it, which takes seconds."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        initialises = getattr(func, "__module__", None) == nn.init.__name__
        if initialises or func in (Tensor.normal_, Tensor.uniform_):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def empty_weights() -> Iterator[None]:
    """Modules made inside take no memory, no time and no random numbers; ``fill`` them after."""
    with torch.device("meta"), _WithoutRandomNumbers():
        yield


def resolve_dtype(
    dtype: str | torch.dtype | None, config: DPRConfig, tensors: Mapping[str, Tensor]
) -> torch.dtype:
    """The dtype to load in. None and "auto": the configuration's, else the weights', else float32.

    Raises:
        SettingsError: it is not a floating-point dtype that the models support.
    """
    if dtype is None or dtype == "auto":
        found = (str(t.dtype) for t in tensors.values() if t.is_floating_point())
        dtype = config.dtype or next(found, "float32")
        if dtype.removeprefix("torch.") not in DTYPES:  # of the weights: float8 and the like
            dtype = "float32"
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise SettingsError(f"dtype={dtype!r}: must be 'auto' or one of {', '.join(DTYPES)}")
    resolved: torch.dtype = getattr(torch, name)
    return resolved


def fill(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    config: DPRConfig,
    dtype: torch.dtype,
    origin: str,
    overridden: frozenset[str] = frozenset(),
) -> LoadingInfo:
    """Put the tensors of a checkpoint into a model that is on the meta device.

    Args:
        model: has ``base_model_prefix``.
        tensors: are copied, so they may be memory-mapped.
        config: the model's.
        dtype: of the filled model.
        origin: the checkpoint's name, for messages.
        overridden: names of configuration fields that the caller changed on purpose.

    Raises:
        CheckpointError: body weights are missing, of other shapes or not floating-point.
    """
    own_prefix = f"{model.base_model_prefix}."
    expected = model.state_dict()
    targets = map_keys(expected).keys
    try:
        sources = map_keys(tensors, prefer=own_prefix)
    except CheckpointError as error:
        raise CheckpointError(f"{origin}: {error}") from error
    _check_shapes(expected, targets, tensors, sources, origin)
    absent = [name for name in targets if name not in sources.keys]
    surplus = [name for name in sources.keys if name not in targets]
    own = sources.prefix.startswith(own_prefix)
    _check_absent(absent, targets, own, origin, overridden)
    _check_surplus(surplus, origin, overridden)
    loaded = {
        target: _copy(tensors[sources.keys[name]], dtype)
        for name, target in targets.items()
        if name in sources.keys
    }
    model.load_state_dict(loaded, strict=False, assign=True)
    missing = {targets[name] for name in absent}
    _initialise_heads(model, missing, dtype, config.initializer_range)
    unused = {*sources.unexpected, *(sources.keys[name] for name in surplus)}
    _warn(model, origin, missing, unused)
    towers = {"question_encoder.", "ctx_encoder."}
    swapped = own_prefix in towers and any(
        sources.prefix.startswith(tower) for tower in towers - {own_prefix}
    )
    return LoadingInfo(missing, unused, sources.prefix, swapped)


def is_finite(tensor: Tensor) -> bool:
    """True if no element is NaN or infinite."""
    if tensor.numel() == 0 or not tensor.is_floating_point():
        return True
    least, most = torch.aminmax(tensor)
    return bool(torch.isfinite(least) & torch.isfinite(most))


def _check_shapes(
    expected: Mapping[str, Tensor],
    targets: Mapping[str, str],
    tensors: Mapping[str, Tensor],
    sources: KeyMap,
    origin: str,
) -> None:
    wrong = []
    for name, target in targets.items():
        if name not in sources.keys:
            continue
        tensor = tensors[sources.keys[name]]
        found, wanted = tuple(tensor.shape), tuple(expected[target].shape)
        if found != wanted:
            wrong.append(f"{sources.keys[name]}: found {found}, expected {wanted}")
        elif not tensor.is_floating_point():
            wrong.append(f"{sources.keys[name]}: found {tensor.dtype}, expected floating-point")
    if wrong:
        raise CheckpointError(
            f"{origin}: {len(wrong)} weights do not fit the configuration:\n  "
            + _listed(wrong)
            + "\nuse the config.json that belongs to these weights (to change the vocabulary, "
            "load first and call resize_token_embeddings)"
        )


def _check_absent(
    absent: list[str],
    targets: Mapping[str, str],
    own: bool,
    origin: str,
    overridden: frozenset[str],
) -> None:
    """Only whole heads may be absent, and those of a DPR checkpoint only on purpose."""
    lost = []
    for name in absent:
        head = head_of(name)
        partly = head is not None and any(
            head_of(other) == head and other not in absent for other in targets
        )
        on_purpose = head == "encode_proj" and "projection_dim" in overridden
        if head is None or partly or (own and not on_purpose):
            lost.append(targets[name])
    if lost:
        raise CheckpointError(
            f"{origin}: {len(lost)} weights are missing:\n  {_listed(lost)}\n"
            "the file is of another model, or incomplete: fetch or save it again"
        )


def _check_surplus(surplus: list[str], origin: str, overridden: frozenset[str]) -> None:
    """Layers or a projection that the configuration does not know of are a sign of a wrong one."""
    layers = [] if "num_hidden_layers" in overridden else [n for n in surplus if not head_of(n)]
    if "projection_dim" not in overridden:
        layers += [name for name in surplus if head_of(name) == "encode_proj"]
    if layers:
        raise CheckpointError(
            f"{origin}: has {len(layers)} weights for which the configuration has no place:\n  "
            f"{_listed(layers)}\nuse the config.json that belongs to these weights, or pass "
            "num_hidden_layers=... or projection_dim=... to leave them out on purpose"
        )


def _copy(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    # A copy, not a view of the mapped file: aligned, and indifferent to what becomes of the file.
    return torch.empty(tensor.shape, dtype=dtype).copy_(tensor.detach())


def _initialise_heads(
    model: nn.Module, missing: set[str], dtype: torch.dtype, deviation: float
) -> None:
    for path in sorted({key.rsplit(".", 1)[0] for key in missing}):
        linear = model.get_submodule(path)
        assert isinstance(linear, nn.Linear)  # heads are, see keys.HEADS
        weight = torch.empty(linear.weight.shape, dtype=dtype).normal_(0.0, deviation)
        linear.weight = nn.Parameter(weight)
        linear.bias = nn.Parameter(torch.zeros(linear.bias.shape, dtype=dtype))


def _warn(model: nn.Module, origin: str, missing: set[str], unused: set[str]) -> None:
    name = type(model).__name__
    if missing:
        warnings.warn(
            f"{origin} has no weights for {', '.join(sorted(missing))}; these of {name} were "
            "newly initialised at random: train the model before using it",
            NewWeightsWarning,
            stacklevel=4,
        )
    if unused:
        warnings.warn(
            f"{name} does not use these weights of {origin}:\n  {_listed(sorted(unused))}",
            UnusedWeightsWarning,
            stacklevel=4,
        )


def _listed(items: list[str]) -> str:
    more = len(items) - _SHOWN
    return "\n  ".join(items[:_SHOWN]) + (f"\n  ... and {more} more" if more > 0 else "")
