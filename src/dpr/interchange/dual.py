"""One object for both towers, with the methods that sentence-transformers' and MTEB's users call.

Takes questions and documents as strings, records, rows or batches of rows; gives vectors and their
inner products. Imports neither library. Knows nothing of collections or indexes.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from dpr.encoding import SETTINGS_NAME, ContextEncoder, QuestionEncoder, Vectors
from dpr.errors import CheckpointError, SettingsError
from dpr.interchange.exporting import (
    are_tied,
    export_sentence_transformers,
    write_folder,
)
from dpr.interchange.importing import is_sentence_transformers, read_sentence_transformers
from dpr.records import Document, Passage, Question
from dpr.settings import save_settings
from dpr.shipped import DEFAULT, ModelNames, find_models

_ORGANISATION = "dense-passage-retrieval"

# What sentence-transformers' encode takes beside, and the values that change nothing here.
_UNCHANGING: dict[str, tuple[Any, ...]] = {
    "prompt_name": (None,),
    "prompt": (None, ""),
    "output_value": ("sentence_embedding",),
    "precision": (None, "float32"),
    "device": (None, "cpu", torch.device("cpu")),
    "truncate_dim": (None,),
    "pool": (None,),
    "chunk_size": (None,),
}


class DualEncoder:
    """A question encoder and the context encoder that belongs to it.

    MTEB's ``evaluate`` takes it as it is. Scores are inner products.

    Attributes:
        question, context: the towers.
        name: what reports call it.
    """

    def __init__(
        self, question: QuestionEncoder, context: ContextEncoder, name: str = "model"
    ) -> None:
        if question.dim != context.dim:
            raise SettingsError(
                f"the question encoder gives vectors of {question.dim} numbers, the context "
                f"encoder of {context.dim}; give two towers that were trained together"
            )
        self.question = question
        self.context = context
        self.name = name

    @classmethod
    def from_pretrained(cls, model: str | os.PathLike[str] | ModelNames = DEFAULT) -> Self:
        """Loads both towers.

        Args:
            model: the name of a shipped model, a folder that training made, a folder of
                sentence-transformers, or the places of both towers.

        Raises:
            CheckpointError: no such model, or it cannot be loaded.
        """
        if isinstance(model, ModelNames):
            names, name = model, Path(model.question).name
        else:
            name = Path(model).resolve().name
            try:
                names = find_models(os.fspath(model))
            except CheckpointError:
                if not is_sentence_transformers(model):
                    raise
                return cls(*read_sentence_transformers(model), name)
        question = QuestionEncoder.from_pretrained(names.question)
        return cls(question, ContextEncoder.from_pretrained(names.context), name)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> Path:
        """Writes a model folder, which every other part of this package takes by its path.

        Raises:
            CheckpointError: the folder is not empty, or cannot be written.
        """
        towers: dict[str, QuestionEncoder | ContextEncoder] = {
            "question_encoder": self.question,
            "ctx_encoder": self.context,
        }
        # Tied towers share one file of settings too.
        if self.question.encoding == self.context.encoding and are_tied(
            self.question, self.context
        ):
            towers = {"encoder": self.question}

        def fill(fresh: Path) -> None:
            for name, encoder in towers.items():
                encoder.model.save_pretrained(fresh / name)
                encoder.tokenizer.save_pretrained(fresh / name)
                save_settings(encoder.encoding, fresh / name / SETTINGS_NAME)

        return write_folder(folder, fill)

    def save_sentence_transformers(
        self, folder: str | os.PathLike[str], *, share: bool = True
    ) -> Path:
        """See :func:`dpr.interchange.exporting.export_sentence_transformers`."""
        return export_sentence_transformers(self.question, self.context, folder, share=share)

    def encode_query(
        self,
        inputs: Any,
        *,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = False,
        **others: Any,
    ) -> Any:
        """Vectors of questions.

        Args:
            inputs: an iterable of strings, ``Question`` or rows (with ``text``, ``question`` or
                ``query``), such as a column of a dataset, or a dataset; or one of these.
            batch_size: is not looked at: batches are packed by ``EncodingSettings.batch_tokens``,
                and vectors do not depend on it.
            show_progress_bar: on the terminal's error stream.
            convert_to_numpy: False, without the next, gives a list of tensors.
            convert_to_tensor: a tensor in place of an array.
            normalize_embeddings: vectors of length 1.
            others: sentence-transformers' other options, where they change nothing.

        Returns:
            float32 (n, dim), in the order given; (dim,) for a single question.

        Raises:
            InputError: something that is no question.
            SettingsError: an option that would ask for what is not to be had here.
        """
        return self._encode(
            inputs,
            self.question.encode,
            others,
            show_progress_bar,
            convert_to_numpy,
            convert_to_tensor,
            normalize_embeddings,
        )

    def encode_document(
        self,
        inputs: Any,
        *,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        normalize_embeddings: bool = False,
        **others: Any,
    ) -> Any:
        """Vectors of documents, each encoded with its title.

        Args:
            inputs: an iterable of strings, pairs (title, text), ``Passage``, ``Document`` or rows
                (with ``text`` and perhaps ``title``), such as a dataset; or one of these.
            others: these and the rest as in :meth:`encode_query`.
        """
        single = _is_single(inputs) or isinstance(inputs, Mapping)
        if not single and isinstance(inputs, Iterable):
            inputs = [_paired(item) for item in inputs]
        return self._encode(
            inputs,
            self.context.encode,
            others,
            show_progress_bar,
            convert_to_numpy,
            convert_to_tensor,
            normalize_embeddings,
        )

    def encode(self, inputs: Any, *, prompt_type: Any = None, **options: Any) -> Any:
        """Vectors as MTEB asks for them.

        Args:
            inputs: as in :meth:`encode_document`, or an iterable of batches (a mapping from column
                to list), as a DataLoader gives.
            prompt_type: "query" for the question encoder; "document" or None, of texts that are
                neither, for the context encoder.
            options: those of :meth:`encode_query`; what MTEB says of its task is not looked at.
        """
        for name in ("task_metadata", "hf_split", "hf_subset"):
            options.pop(name, None)
        kind = getattr(prompt_type, "value", prompt_type)
        if kind not in (None, "query", "document"):
            raise SettingsError(f"prompt_type={kind!r}; allowed are 'query', 'document' and None")
        one = _is_single(inputs) or isinstance(inputs, Mapping) or not isinstance(inputs, Iterable)
        texts = inputs if one else _rows(inputs)
        encode = self.encode_query if kind == "query" else self.encode_document
        return encode(texts, **options)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Inner products (n, m) of vectors (n, dim) and (m, dim)."""
        return _matrix(embeddings1) @ _matrix(embeddings2).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Tensor:
        """Inner products (n,) of vectors (n, dim) with those in the same place of (n, dim)."""
        return (_matrix(embeddings1) * _matrix(embeddings2)).sum(-1)

    @property
    def similarity_fn_name(self) -> str:
        """What sentence-transformers calls the inner product."""
        return "dot"

    @property
    def fingerprint(self) -> str:
        """SHA-256 over both towers' fingerprints."""
        both = self.question.fingerprint + self.context.fingerprint
        return hashlib.sha256(both.encode()).hexdigest()

    @property
    def mteb_model_meta(self) -> Any:
        """What MTEB files results under; the revision is the fingerprint, so that results of other
        weights or settings are never taken for these.

        Raises:
            AttributeError: MTEB is not imported; only MTEB asks.
        """
        module = sys.modules.get("mteb.models.model_meta")
        if module is None:
            raise AttributeError("mteb_model_meta is for mteb; import mteb first")
        model = self.context.model
        towers = 1 if are_tied(self.question, self.context) else 2
        return module.ModelMeta.create_empty(
            {
                "name": f"{_ORGANISATION}/{self.name}",
                "revision": self.fingerprint[:40],
                "n_parameters": towers * sum(w.numel() for w in model.state_dict().values()),
                "max_tokens": self.context.encoding.max_length,
                "embed_dim": self.context.dim,
                "framework": ["PyTorch"],
                "similarity_fn_name": module.ScoringFunction.DOT_PRODUCT,
                "use_instructions": False,
            }
        )

    def _encode(
        self,
        inputs: Any,
        encode: Callable[..., Vectors],
        others: Mapping[str, Any],
        show_progress_bar: bool | None,
        convert_to_numpy: bool,
        convert_to_tensor: bool,
        normalize_embeddings: bool,
    ) -> Any:
        _refuse_other_options(others)
        single = _is_single(inputs)
        items = [inputs] if single else inputs
        vectors = _shown(encode, items) if show_progress_bar else encode(items)
        if normalize_embeddings:
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors = vectors / np.maximum(lengths, 1e-12)
        if single:
            vectors = vectors[0]
        if convert_to_tensor:
            return torch.from_numpy(vectors)
        return vectors if convert_to_numpy or single else list(torch.from_numpy(vectors))


def _refuse_other_options(options: Mapping[str, Any]) -> None:
    for name, value in options.items():
        if name not in _UNCHANGING:
            raise TypeError(f"encoding has no option {name!r}")
        if value not in _UNCHANGING[name]:
            allowed = " or ".join(repr(one) for one in _UNCHANGING[name])
            raise SettingsError(
                f"{name}={value!r} is not supported; leave it out, or give {allowed} (a prompt "
                "that belongs to a model goes into EncodingSettings)"
            )


def _is_single(inputs: Any) -> bool:
    """Whether this is one question or document, not many."""
    if isinstance(inputs, Mapping):
        return any(isinstance(inputs.get(key), str) for key in ("text", "question", "query"))
    return isinstance(inputs, str | Question | Passage | Document)


def _paired(item: Any) -> Any:
    """A row in place of a pair (title, text), which is how sentence-transformers takes titles."""
    if isinstance(item, tuple | list) and len(item) == 2:
        return {"title": item[0], "text": item[1]}
    return item


def _rows(inputs: Iterable[Any]) -> Iterator[Any]:
    """Texts or rows one by one, also out of batches.

    MTEB joins title and text under ``text`` and keeps the text under ``body``.
    """
    for item in inputs:
        if not isinstance(item, Mapping) or isinstance(item.get("text"), str):
            yield item
            continue
        texts = item.get("body", item.get("text", ()))
        titles = item.get("title", [""] * len(texts))
        for title, text in zip(titles, texts, strict=True):
            yield {"title": title, "text": text}


def _matrix(vectors: Any) -> Tensor:
    """(n, dim) of an array, a tensor or a list of either; one vector becomes a row."""
    if isinstance(vectors, list | tuple):
        vectors = torch.stack([torch.as_tensor(one) for one in vectors])
    tensor = torch.as_tensor(vectors)
    return tensor[None] if tensor.dim() == 1 else tensor


def _shown(encode: Callable[..., Vectors], items: Any) -> Vectors:
    from rich.console import Console
    from rich.progress import Progress

    if isinstance(items, Iterable) and not isinstance(items, Mapping):
        items = list(items)  # to be counted; of what is refused, the encoder says so
    with Progress(console=Console(stderr=True)) as progress:
        total = len(items) if isinstance(items, list) else None
        task = progress.add_task("encoding", total=total)
        return encode(items, lambda count: progress.advance(task, count))
