"""What a retriever's training starts from: both towers, and whether it can start there at all.

Takes what users call a model, and settings; gives towers and tokenizer, or says why not. All that
train retrievers begin here, so that they take and refuse the same. Knows nothing of samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from dpr.encoding import SETTINGS_NAME, EncodingSettings
from dpr.errors import SettingsError
from dpr.models.checkpoint import weights_fingerprint
from dpr.models.dpr import DPRContextEncoder, DPRQuestionEncoder
from dpr.pipeline.models import Model, has_one_tower, towers
from dpr.settings import load_settings
from dpr.shipped import ModelNames
from dpr.tokens import DPRQuestionEncoderTokenizer
from dpr.training.retriever import tie
from dpr.training.settings import RetrieverSettings


@dataclass(frozen=True, slots=True, eq=False)
class Towers:
    """Both encoders as they are before the first step.

    Attributes:
        tied: whether they are one set of weights.
    """

    names: ModelNames
    question: DPRQuestionEncoder
    context: DPRContextEncoder
    tokenizer: DPRQuestionEncoderTokenizer
    tied: bool

    def fingerprints(self) -> dict[str, str]:
        """Of the weights: a run goes on only with those that it began with."""
        both = (("question", self.question), ("context", self.context))
        return {name: weights_fingerprint(one.state_dict()) for name, one in both}


def load_towers(
    start: Model,
    settings: RetrieverSettings,
    seed: int,
    tied: bool | None = None,
    device: str | torch.device = "cpu",
) -> Towers:
    """Loads both towers of a start.

    Args:
        seed: of weights that the start does not have.
        tied: one set of weights, or two; None: as the start has it, but two where only the question
            encoder is to be trained.

    Raises:
        CheckpointError: the start cannot be loaded.
        SettingsError: it encodes otherwise than training does, or has fewer positions than are to
            be read.
    """
    names = towers(start)
    check_encoding(names, settings)
    torch.manual_seed(seed)
    question = DPRQuestionEncoder.from_pretrained(names.question, dtype="float32")
    context = DPRContextEncoder.from_pretrained(names.context, dtype="float32")
    for name in ("question_length", "passage_length"):
        check_length(name, getattr(settings, name), question.config.max_position_embeddings)
    share = tied if tied is not None else has_one_tower(start) and not settings.question_tower_only
    if share:
        tie(question, context)
    for model in (question, context):
        model.to(device)
    tokenizer = DPRQuestionEncoderTokenizer.from_pretrained(names.question)
    return Towers(names, question, context, tokenizer, share)


def check_encoding(names: ModelNames, settings: RetrieverSettings) -> None:
    """Refuses a start that encodes otherwise than training does.

    Raises:
        SettingsError: says how.
    """
    for place in (names.question, names.context):
        kept = _kept(place)
        if kept is None:
            continue
        if kept.pooling != "cls" or kept.normalize or kept.prompt:
            raise SettingsError(
                f"{place} encodes with pooling={kept.pooling!r}, normalize={kept.normalize}, "
                f"prompt={kept.prompt!r}; training reads [CLS] as it is, without a prompt: start "
                f"from a model that does, such as dpr-mini or a BERT, or from a copy of this one "
                f"without {SETTINGS_NAME}, whose [CLS] then has it all to learn"
            )
        other = kept.max_length != settings.passage_length
        if settings.question_tower_only and place == names.context and other:
            raise SettingsError(
                f"passage_length={settings.passage_length}; the context encoder reads "
                f"{kept.max_length} tokens, and is to stay as it is: give --passage-length "
                f"{kept.max_length}"
            )
    if settings.question_tower_only:
        context = _kept(names.context)
        signs = context is not None and context.signs
        if settings.hashing and not signs:
            raise SettingsError(
                f"hashing with question_tower_only; the context encoder {names.context} gives its "
                "vectors and not their signs, and is to stay as it is: leave out --hashing or "
                "--question-tower-only, or start from a model trained with --hashing"
            )
        if signs and not settings.hashing:
            raise SettingsError(
                f"question_tower_only without hashing; the context encoder {names.context} gives "
                "the signs of its vectors, and is to stay as it is: give --hashing as well"
            )


def length_of(place: str) -> int | None:
    """How many tokens an encoder reads by the settings kept with it; None where there are none."""
    kept = _kept(place)
    return None if kept is None else kept.max_length


def _kept(place: str) -> EncodingSettings | None:
    """The settings kept with an encoder."""
    return load_settings(EncodingSettings, Path(place) / SETTINGS_NAME)


def check_length(name: str, length: int, positions: int) -> None:
    """Refuses lengths that the model has no positions for.

    Raises:
        SettingsError: says how long it may be.
    """
    if length > positions:
        option = name.replace("_", "-")
        raise SettingsError(
            f"{name}={length}; the model has {positions} positions: give --{option} {positions} "
            "or less"
        )
