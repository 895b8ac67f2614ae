"""The models: configuration, BERT stack, the three DPR models, and their checkpoints.

Names load on first use, so that the configuration can be had without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dpr.models.config import DPRConfig as DPRConfig
    from dpr.models.dpr import DPRContextEncoder as DPRContextEncoder
    from dpr.models.dpr import DPRPretrainedContextEncoder as DPRPretrainedContextEncoder
    from dpr.models.dpr import DPRPreTrainedModel as DPRPreTrainedModel
    from dpr.models.dpr import DPRPretrainedQuestionEncoder as DPRPretrainedQuestionEncoder
    from dpr.models.dpr import DPRPretrainedReader as DPRPretrainedReader
    from dpr.models.dpr import DPRQuestionEncoder as DPRQuestionEncoder
    from dpr.models.dpr import DPRReader as DPRReader
    from dpr.models.outputs import DPRContextEncoderOutput as DPRContextEncoderOutput
    from dpr.models.outputs import DPRQuestionEncoderOutput as DPRQuestionEncoderOutput
    from dpr.models.outputs import DPRReaderOutput as DPRReaderOutput

_WHERE = {
    "DPRConfig": "config",
    "DPRContextEncoder": "dpr",
    "DPRContextEncoderOutput": "outputs",
    "DPRPreTrainedModel": "dpr",
    "DPRPretrainedContextEncoder": "dpr",
    "DPRPretrainedQuestionEncoder": "dpr",
    "DPRPretrainedReader": "dpr",
    "DPRQuestionEncoder": "dpr",
    "DPRQuestionEncoderOutput": "outputs",
    "DPRReader": "dpr",
    "DPRReaderOutput": "outputs",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
