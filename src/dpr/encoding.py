"""Text to vectors, in bulk and one at a time: a tokenizer, a model and their settings as one thing.

Takes strings or passages, or rows that hold them, gives float32 arrays. Sorts by length, packs by
token budget and spends no operation on padding. Knows nothing of collections or indexes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
import torch

from dpr.errors import InputError, SettingsError
from dpr.models.checkpoint import weights_fingerprint
from dpr.models.dpr import DPRContextEncoder, DPRQuestionEncoder, pack
from dpr.records import Passage, Question
from dpr.settings import load_settings
from dpr.tokens import (
    DPRContextEncoderTokenizer,
    DPRQuestionEncoderTokenizer,
    DPRTokenizer,
    passage_ids,
    question_ids,
)
from dpr.tokens.batching import token_batches

SETTINGS_NAME = "encoding.json"
DEVICE = "DPR_DEVICE"  # of the environment
Vectors = npt.NDArray[np.float32]
Pooling = Literal["cls", "mean"]
QUESTION_KEYS = ("text", "question", "query")
_WHOLE = 2**31  # tokens; more than any text has


@dataclass(frozen=True, slots=True)
class EncodingSettings:
    """How text becomes vectors.

    Attributes:
        max_length: tokens of a text that are encoded, special tokens included; the rest is cut.
        batch_tokens: tokens encoded at once. Small batches stay in a CPU's caches.
        pooling: ``cls``, the vector of the first token, as DPR's models are trained; ``mean``, of
            all tokens, special tokens included, for encoders of others that are trained so.
        normalize: vectors of length 1, whose inner product is the cosine.
        prompt: what every text is preceded by, for encoders of others that are trained so.
        plain_apostrophes: a typographic apostrophe in a question is read as a plain one, as DPR's
            models are trained.
        signs: of a passage's vector only the signs are kept, as 1 and -1, as encoders are trained
            whose passages are searched by them (BPR, Yamada et al. 2021); questions stay as they
            are.
    """

    max_length: int = 256
    batch_tokens: int = 1536
    pooling: Pooling = "cls"
    normalize: bool = False
    prompt: str = ""
    plain_apostrophes: bool = True
    signs: bool = False

    def __post_init__(self) -> None:
        if self.pooling not in get_args(Pooling):
            allowed = " and ".join(map(repr, get_args(Pooling)))
            raise SettingsError(f"pooling={self.pooling!r}; allowed are {allowed}")
        if self.max_length < 8:
            raise SettingsError(f"max_length={self.max_length}; give at least 8 tokens")
        if self.batch_tokens < 1:
            raise SettingsError(f"batch_tokens={self.batch_tokens}; give at least 1")


_USUAL = EncodingSettings()


@dataclass(frozen=True, slots=True)
class Tokens:
    """Texts as an encoder reads them.

    Attributes:
        ids: token ids of each text, special tokens included.
        cut: which texts lost their end, because they are longer than is read.
    """

    ids: list[list[int]]
    cut: list[bool]


class _Encoder:
    """What both towers share.

    Attributes:
        linears: on what the model's linears run, and why; see ``dpr.models.inference``.
    """

    tower: ClassVar[str]
    model_class: ClassVar[type[DPRQuestionEncoder | DPRContextEncoder]]
    tokenizer_class: ClassVar[type[DPRTokenizer]]
    bulk: ClassVar[bool]

    def __init__(
        self,
        model: DPRQuestionEncoder | DPRContextEncoder,
        tokenizer: DPRTokenizer,
        settings: EncodingSettings | None = None,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        limit = model.config.max_position_embeddings
        self._settings = settings or replace(_USUAL, max_length=min(_USUAL.max_length, limit))
        if self._settings.max_length > limit:
            raise SettingsError(
                f"max_length={self._settings.max_length}; the model has {limit} positions"
            )
        self._fingerprint = ""
        self.linears = "plain: as given"

    @classmethod
    def from_pretrained(
        cls, place: str | os.PathLike[str], settings: EncodingSettings | None = None
    ) -> Self:
        """Loads model and tokenizer, and the settings kept beside them where none are given.

        The model is prepared for inference, on the device that :func:`inference_device` gives; give
        one to the class itself to have it left as it is.

        Raises:
            CheckpointError: the model or its tokenizer cannot be loaded.
            SettingsError: there is no such device.
        """
        if settings is None:
            settings = load_settings(EncodingSettings, Path(place) / SETTINGS_NAME)
        device = inference_device()
        model = cls.model_class.from_pretrained(place, dtype=torch.float32).to(device)
        encoder = cls(model, cls.tokenizer_class.from_pretrained(place), settings)
        encoder.linears = model.prepare_for_inference(bulk=cls.bulk)
        return encoder

    @property
    def dim(self) -> int:
        """The length of a vector."""
        return self.model.embeddings_size

    @property
    def settings(self) -> dict[str, Any]:
        """What, beside weights and vocabulary, decides the vectors; JSON, for people to read."""
        return {
            "tower": self.tower,
            "max_length": self._settings.max_length,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "dim": self.dim,
            # Only where they differ from DPR's own: fingerprints of its models stay as they are.
            **{
                name: value
                for name in ("pooling", "normalize", "prompt", "plain_apostrophes", "signs")
                if (value := getattr(self._settings, name)) != getattr(_USUAL, name)
            },
        }

    @property
    def encoding(self) -> EncodingSettings:
        """The settings as they were given or found."""
        return self._settings

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights, tokenizer and settings: equal fingerprints, equal vectors."""
        if not self._fingerprint:
            parts = {
                "weights": weights_fingerprint(self.model.state_dict()),
                "config": self.model.config.hidden_act,
                "heads": self.model.config.num_attention_heads,
                "epsilon": self.model.config.layer_norm_eps,
                "tokenizer": tokenizer_fingerprint(self.tokenizer),
                **self.settings,
            }
            text = json.dumps(parts, sort_keys=True)
            self._fingerprint = hashlib.sha256(text.encode()).hexdigest()
        return self._fingerprint

    def encode_ids(
        self, ids: Sequence[Sequence[int]], progress: Callable[[int], None] | None = None
    ) -> Vectors:
        """Vectors (n, dim) of token id sequences, in the order given."""
        vectors = np.empty((len(ids), self.dim), dtype=np.float32)
        with torch.inference_mode():
            for batch in token_batches([len(one) for one in ids], self._settings.batch_tokens):
                out = self._pooled([ids[i] for i in batch])
                vectors[batch] = out.float().cpu().numpy()
                if progress is not None:
                    progress(len(batch))
        return vectors

    def _cut(self, whole: Sequence[list[int]]) -> Tokens:
        """Texts that were tokenized whole, the end of the long ones cut off before ``[SEP]``."""
        most = self._settings.max_length
        cut = [len(one) > most for one in whole]
        ids = [
            [*one[: most - 1], one[-1]] if long else one
            for one, long in zip(whole, cut, strict=True)
        ]
        return Tokens(ids, cut)

    def _pooled(self, ids: list[Sequence[int]]) -> torch.Tensor:
        tokens, layout = pack(ids, self.model.device)
        if self._settings.pooling == "cls":
            out = self.model.encode_packed(tokens, layout)
        else:
            states = self.model.stack(tokens, layout).last.split([len(one) for one in ids])
            out = self.model.encoder.pool(torch.stack([one.mean(0) for one in states]))
        if self._settings.normalize:
            out = torch.nn.functional.normalize(out)
        if self._settings.signs and self.tower == "context":
            out = torch.where(out > 0, 1.0, -1.0)
        return out


class QuestionEncoder(_Encoder):
    """Questions to vectors."""

    tower = "question"
    model_class = DPRQuestionEncoder
    tokenizer_class = DPRQuestionEncoderTokenizer
    bulk = False

    def encode(
        self,
        questions: Iterable[str | Question | Mapping[str, Any]],
        progress: Callable[[int], None] | None = None,
    ) -> Vectors:
        """Vectors (n, dim), in the order given.

        Raises:
            InputError: not a list or other iterable of questions, see :func:`question_text`.
        """
        return self.encode_ids(self.tokens(questions).ids, progress)

    def tokens(self, questions: Iterable[str | Question | Mapping[str, Any]]) -> Tokens:
        """What ``encode`` hands to the model, in the order given; raises as it does."""
        prompt = self._settings.prompt
        texts = [prompt + question_text(one) for one in _items(questions, "questions")]
        if self._settings.plain_apostrophes:
            return self._cut(question_ids(self.tokenizer, texts, _WHOLE))
        return self._cut(passage_ids(self.tokenizer, [""] * len(texts), texts, _WHOLE)[0])


class ContextEncoder(_Encoder):
    """Passages to vectors, each encoded with its title."""

    tower = "context"
    model_class = DPRContextEncoder
    tokenizer_class = DPRContextEncoderTokenizer
    bulk = True
    truncated = 0

    def encode(
        self,
        passages: Iterable[Passage | str | Mapping[str, Any]],
        progress: Callable[[int], None] | None = None,
    ) -> Vectors:
        """Vectors (n, dim), in the order given; ``truncated`` counts the texts that were cut.

        Raises:
            InputError: not a list or other iterable of passages, see :func:`title_and_text`.
        """
        tokens = self.tokens(passages)
        self.truncated += sum(tokens.cut)
        return self.encode_ids(tokens.ids, progress)

    def tokens(self, passages: Iterable[Passage | str | Mapping[str, Any]]) -> Tokens:
        """What ``encode`` hands to the model, in the order given; raises as it does."""
        pairs = [title_and_text(one) for one in _items(passages, "passages")]
        if prompt := self._settings.prompt:  # before what is read first
            pairs = [(prompt + a, b) if a else ("", prompt + b) for a, b in pairs]
        titles, texts = [title for title, _ in pairs], [text for _, text in pairs]
        return self._cut(passage_ids(self.tokenizer, titles, texts, _WHOLE)[0])


def inference_device() -> torch.device:
    """Where loaded models encode and read: the device that ``DPR_DEVICE`` in the environment names,
    such as ``cuda`` or ``cuda:1``; else the CPU. Vectors of two devices differ by rounding.

    Raises:
        SettingsError: there is no such device here.
    """
    name = os.environ.get(DEVICE) or "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).cpu()
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = str(error).partition("\n")[0][:100]
        raise SettingsError(
            f"{DEVICE}={name!r}: no such device here ({reason}); give cpu, cuda or cuda:N, or "
            "leave it out"
        ) from error
    return device


def question_text(item: object) -> str:
    """The text of a question: a string, a ``Question``, or a row with ``text``, ``question`` or
    ``query``.

    Raises:
        InputError: none of these.
    """
    text = item.text if isinstance(item, Question) else item
    if isinstance(item, Mapping):
        text = next((item[key] for key in QUESTION_KEYS if key in item), None)
    if not isinstance(text, str):
        raise InputError(
            f"a question is {_shown(item)}; give a text, a Question, or a row with a text under "
            f"{', '.join(QUESTION_KEYS)}"
        )
    return text


def title_and_text(item: object) -> tuple[str, str]:
    """Title ("" for none) and text of a passage: a ``Passage`` or anything else with such
    attributes, a row with ``text`` and perhaps ``title``, or a text without a title.

    Raises:
        InputError: none of these.
    """
    if isinstance(item, str):
        return "", item
    if isinstance(item, Mapping):
        title, text = item.get("title"), item.get("text")
    else:
        title, text = getattr(item, "title", None), getattr(item, "text", None)
    title = "" if title is None else title
    if not isinstance(title, str) or not isinstance(text, str):
        raise InputError(
            f"a passage is {_shown(item)}; give a Passage, a text, or a row with a text under "
            "'text' and perhaps one under 'title'"
        )
    return title, text


def _items(items: Iterable[Any], what: str) -> list[Any]:
    """A list of what was given; refuses what would be taken apart in silence."""
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        raise InputError(f"{what} is {_shown(items)}; give a list, also for one")
    if isinstance(items, Mapping):
        raise InputError(
            f"{what} is a mapping with the keys {', '.join(map(str, list(items)[:5]))}; give a "
            "list (of a dataset with splits, one split)"
        )
    return list(items)


def _shown(item: object) -> str:
    if isinstance(item, Mapping):
        return f"a row with the keys {', '.join(map(str, item)) or '(none)'}"
    return f"{repr(item)[:60]} ({type(item).__name__})"


def tokenizer_fingerprint(tokenizer: DPRTokenizer) -> str:
    """SHA-256 of all that decides a tokenizer's ids: vocabulary, normalisation, special tokens."""
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    for state in ("truncation", "padding"):  # of the last call, not of the tokenizer
        parts.pop(state, None)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
