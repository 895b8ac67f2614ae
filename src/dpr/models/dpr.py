"""The three models: question encoder, context encoder, reader (Karpukhin et al. 2020, §3 and §6.1).

Takes token ids, gives vectors or span logits, under the public names, call signatures and weight
names that Transformers users know. ``forward`` takes a padded batch; ``encode_packed`` and
``read_packed`` take the same sequences end to end and spend no operation on padding.

Knows nothing of text, tokenizers or collections.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from dpr.models import inference
from dpr.models.bert import BertStack, Packed, Padded, SelfAttention, StackOutput, initialise
from dpr.models.checkpoint import PretrainedMixin
from dpr.models.config import DPRConfig
from dpr.models.outputs import DPRContextEncoderOutput, DPRQuestionEncoderOutput, DPRReaderOutput

Output = TypeVar("Output", DPRContextEncoderOutput, DPRQuestionEncoderOutput)


class DPRPreTrainedModel(PretrainedMixin, nn.Module):
    """What the three models share; not used by itself."""

    config_class = DPRConfig
    base_model_prefix: ClassVar[str] = ""

    def __init__(self, config: DPRConfig) -> None:
        super().__init__()
        self.config = config

    @property
    def stack(self) -> BertStack:
        """The BERT under the model."""
        return next(m for m in self.modules() if isinstance(m, BertStack))

    @property
    def base_model(self) -> nn.Module:
        """What the model keeps under the first part of its weight names."""
        return self.get_submodule(self.base_model_prefix)

    @property
    def gradient_checkpointing(self) -> bool:
        """Whether training recomputes each layer in the backward pass to save memory."""
        return self.stack.gradient_checkpointing

    @gradient_checkpointing.setter
    def gradient_checkpointing(self, value: bool) -> None:
        self.stack.gradient_checkpointing = value

    def prepare_for_inference(self, bulk: bool = False) -> str:
        """Makes a float32 model on a CPU faster, and unfit for training.

        Outputs change by rounding only; saving works as before; ``dpr.models.inference`` says
        more. ``bulk``: for many texts at once; does nothing where that would not be faster.
        Returns what was done, or "plain: " and why nothing was.
        """
        return inference.prepare(self.stack, bulk)

    def get_input_embeddings(self) -> nn.Embedding:
        return self.stack.embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        self.stack.embeddings.word_embeddings = value

    def set_attn_implementation(self, name: str) -> None:
        """ "sdpa" (the default, fused) or "eager" (spelt out); the same numbers to rounding."""
        if name not in ("sdpa", "eager"):
            raise ValueError(f"attn_implementation={name!r}; allowed are 'sdpa' and 'eager'")
        for module in self.modules():
            if isinstance(module, SelfAttention):
                module.eager = name == "eager"
        self.config.attn_implementation = name

    def initialise(self) -> None:
        """Fresh random weights, BERT's way."""
        for module in self.modules():
            initialise(module, self.config.initializer_range)

    def _inputs(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        inputs_embeds: Tensor | None,
    ) -> Tensor | None:
        """Checks the inputs and gives the mask to use; None where nothing is masked."""
        given = inputs_embeds if input_ids is None else input_ids
        if given is None or (input_ids is not None and inputs_embeds is not None):
            raise ValueError("give either input_ids or inputs_embeds, and not both")
        shape = given.shape[:2]
        if given.dim() != (2 if input_ids is not None else 3) or not shape[1]:
            raise ValueError(
                f"the input has shape {tuple(given.shape)}; allowed are input_ids (batch, length) "
                "and inputs_embeds (batch, length, hidden), of at least one token: for a single "
                "sequence use input_ids[None]"
            )
        if attention_mask is None:
            if input_ids is None or self.config.pad_token_id is None:
                return None
            attention_mask = input_ids.ne(self.config.pad_token_id)
        elif attention_mask.shape != shape:
            wide = (shape[0], self.config.num_attention_heads, shape[1], shape[1])
            if not _fits(attention_mask, wide):
                raise ValueError(
                    f"attention_mask has shape {tuple(attention_mask.shape)}; allowed for this "
                    f"input are {tuple(shape)} and {(wide[0], 1, *wide[2:])}"
                )
            return attention_mask
        # On a GPU or under torch.compile a look at the values would stall or break the graph.
        on_host = attention_mask.device.type == "cpu" and not torch.compiler.is_compiling()
        return None if on_host and bool((attention_mask != 0).all()) else attention_mask

    def _flag(self, value: bool | None, name: str, default: bool) -> bool:
        return bool(getattr(self.config, name, default)) if value is None else value


def _fits(mask: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether a mask of four dimensions broadcasts to ``shape``, and its last is the same."""
    sizes = zip(mask.shape, shape, strict=False)
    return mask.dim() == 4 and mask.shape[3] == shape[3] and all(a in (1, b) for a, b in sizes)


class DPRPretrainedQuestionEncoder(DPRPreTrainedModel):
    """Base of ``DPRQuestionEncoder``; not used by itself."""

    base_model_prefix: ClassVar[str] = "question_encoder"


class DPRPretrainedContextEncoder(DPRPreTrainedModel):
    """Base of ``DPRContextEncoder``; not used by itself."""

    base_model_prefix: ClassVar[str] = "ctx_encoder"


class DPRPretrainedReader(DPRPreTrainedModel):
    """Base of ``DPRReader``; not used by itself."""

    base_model_prefix: ClassVar[str] = "span_predictor"


class DPREncoder(nn.Module):
    """A BERT stack and, where the configuration has one, a projection of its [CLS]."""

    def __init__(self, config: DPRConfig) -> None:
        super().__init__()
        self.bert_model = BertStack(config)
        if config.projection_dim > 0:
            self.encode_proj = nn.Linear(config.hidden_size, config.projection_dim)

    def pool(self, cls: Tensor) -> Tensor:
        """(..., hidden) -> (..., projection_dim or hidden)."""
        projected: Tensor = self.encode_proj(cls) if hasattr(self, "encode_proj") else cls
        return projected

    @property
    def embeddings_size(self) -> int:
        """The length of the vectors that this encoder gives."""
        config = self.bert_model.config
        return config.projection_dim or config.hidden_size


class _TextEncoder(DPRPreTrainedModel):
    """Both towers: they differ in the name under which their weights are kept."""

    def __init__(self, config: DPRConfig) -> None:
        super().__init__(config)
        setattr(self, self.base_model_prefix, DPREncoder(config))
        self.initialise()

    @property
    def encoder(self) -> DPREncoder:
        encoder = getattr(self, self.base_model_prefix)
        assert isinstance(encoder, DPREncoder)
        return encoder

    @property
    def embeddings_size(self) -> int:
        """The length of the vectors that this encoder gives."""
        return self.encoder.embeddings_size

    def encode_packed(
        self, input_ids: Tensor, layout: Packed, inputs_embeds: Tensor | None = None
    ) -> Tensor:
        """Vectors (sequences, dim) of token ids (tokens,) laid end to end, or of vectors
        (tokens, hidden) in place of their word embeddings; segments all zero."""
        out = self.stack(input_ids, layout, inputs_embeds=inputs_embeds, cls_only=True)
        return self.encoder.pool(out.last)

    def _encode(
        self,
        output_class: type[Output],
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        token_type_ids: Tensor | None,
        inputs_embeds: Tensor | None,
        output_attentions: bool | None,
        output_hidden_states: bool | None,
        return_dict: bool | None,
    ) -> Output | tuple[Any, ...]:
        attentions = self._flag(output_attentions, "output_attentions", False)
        hidden = self._flag(output_hidden_states, "output_hidden_states", False)
        mask = self._inputs(input_ids, attention_mask, inputs_embeds)
        if mask is not None and self._can_pack(mask, attentions or hidden):
            rows = mask != 0
            layout = packed_from_mask(rows)
            given = (input_ids, token_type_ids, inputs_embeds)
            ids, types, embeds = (
                None if t is None else t.expand(*rows.shape, *t.shape[2:])[rows] for t in given
            )
            out = self.stack(ids, layout, token_type_ids=types, inputs_embeds=embeds, cls_only=True)
            pooled = self.encoder.pool(out.last)
        else:
            dtype = self.stack.embeddings.LayerNorm.weight.dtype
            out = self.stack(
                input_ids,
                Padded.from_mask(mask, dtype),
                token_type_ids=token_type_ids,
                inputs_embeds=inputs_embeds,
                cls_only=not hidden and not attentions,
                want_hidden=hidden,
                want_attentions=attentions,
            )
            pooled = self.encoder.pool(out.last[:, 0])
        result = output_class(pooled, out.hidden_states, out.attentions)
        return result if self._flag(return_dict, "return_dict", True) else result.to_tuple()

    def _can_pack(self, mask: Tensor, whole_states: bool) -> bool:
        """Padding is worth removing on a CPU, where only [CLS] is asked for and is not masked."""
        return (
            mask.device.type == "cpu"
            and mask.dim() == 2
            and not whole_states
            and not torch.compiler.is_compiling()
            and not any(m.eager for m in self.modules() if isinstance(m, SelfAttention))
            and bool((mask[:, 0] != 0).all())
        )


def packed_from_mask(rows: Tensor) -> Packed:
    """The layout of the unmasked tokens of a padded batch, in row order, at their own positions."""
    layout = Packed.from_lengths(rows.sum(1).tolist())
    columns = rows.nonzero()[:, 1]
    # The padded length counts as the longest, so that the guard does as without packing.
    return Packed(columns, layout.starts, layout.runs, layout.boundaries, rows.shape[1])


class DPRQuestionEncoder(_TextEncoder, DPRPretrainedQuestionEncoder):
    """Question tower: token ids to a question vector (Karpukhin et al. 2020, §3.1)."""

    question_encoder: DPREncoder

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> DPRQuestionEncoderOutput | tuple[Any, ...]:
        """See ``DPRContextEncoder.forward``."""
        return self._encode(
            DPRQuestionEncoderOutput,
            input_ids,
            attention_mask,
            token_type_ids,
            inputs_embeds,
            output_attentions,
            output_hidden_states,
            return_dict,
        )


class DPRContextEncoder(_TextEncoder, DPRPretrainedContextEncoder):
    """Passage tower: token ids to a passage vector (Karpukhin et al. 2020, §3.1)."""

    ctx_encoder: DPREncoder

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> DPRContextEncoderOutput | tuple[Any, ...]:
        """Encodes a padded batch.

        Args:
            input_ids: (batch, length) token ids; or give ``inputs_embeds``.
            attention_mask: (batch, length), nonzero = attend; where absent, all but [PAD]. Also
                (batch, 1 or heads, 1 or length, length): there floats are added to the attention
                scores, and other types mean nonzero = attend.
            token_type_ids: (batch, length); all zero where absent, as DPR was trained.
            inputs_embeds: (batch, length, hidden) vectors in place of word embeddings.
            output_attentions, output_hidden_states: return these too.
            return_dict: False for a plain tuple.

        Raises:
            ValueError: both or neither of ``input_ids`` and ``inputs_embeds``; a shape not
                allowed; a sequence longer than the model has positions.
        """
        return self._encode(
            DPRContextEncoderOutput,
            input_ids,
            attention_mask,
            token_type_ids,
            inputs_embeds,
            output_attentions,
            output_hidden_states,
            return_dict,
        )


class DPRSpanPredictor(nn.Module):
    """The reader's encoder and its two heads, which take hidden states (§6.1, equations 3 to 5)."""

    def __init__(self, config: DPRConfig) -> None:
        super().__init__()
        self.encoder = DPREncoder(config)
        self.qa_outputs = nn.Linear(config.hidden_size, 2)
        self.qa_classifier = nn.Linear(config.hidden_size, 1)

    def heads(self, states: Tensor, cls: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States (..., hidden) and [CLS] (n, hidden) to start, end (...) and relevance (n,)."""
        start, end = self.qa_outputs(states).unbind(-1)
        return start, end, self.qa_classifier(cls).squeeze(-1)


class DPRReader(DPRPretrainedReader):
    """Reads passages for a question: a span in each, and each passage's relevance (§6.1)."""

    def __init__(self, config: DPRConfig) -> None:
        super().__init__(config)
        self.span_predictor = DPRSpanPredictor(config)
        self.initialise()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        token_type_ids: Tensor | None = None,
    ) -> DPRReaderOutput | tuple[Any, ...]:
        """Reads a padded batch of ``[CLS] question [SEP] title [SEP] text``.

        Args are those of ``DPRContextEncoder.forward``. ``token_type_ids`` stands last, because
        the released readers were trained without (all zero); readers trained by later versions
        of the original code take 1 after the first [SEP]. Logits at masked positions mean
        nothing: leave them out.
        """
        attentions = self._flag(output_attentions, "output_attentions", False)
        hidden = self._flag(output_hidden_states, "output_hidden_states", False)
        mask = self._inputs(input_ids, attention_mask, inputs_embeds)
        stack = self.stack
        out: StackOutput = stack(
            input_ids,
            Padded.from_mask(mask, stack.embeddings.LayerNorm.weight.dtype),
            token_type_ids=token_type_ids,
            inputs_embeds=inputs_embeds,
            want_hidden=hidden,
            want_attentions=attentions,
        )
        logits = self.span_predictor.heads(out.last, out.last[:, 0])
        result = DPRReaderOutput(*logits, out.hidden_states, out.attentions)
        return result if self._flag(return_dict, "return_dict", True) else result.to_tuple()

    def read_packed(self, input_ids: Tensor, layout: Packed) -> tuple[Tensor, Tensor, Tensor]:
        """Start and end logits (tokens,) and relevance (sequences,) of sequences end to end."""
        states = self.stack(input_ids, layout).last
        return self.span_predictor.heads(states, states[layout.starts])


def pack(
    sequences: Sequence[Sequence[int]], device: torch.device | str = "cpu"
) -> tuple[Tensor, Packed]:
    """Token ids (tokens,) and layout of sequences laid end to end."""
    flat = torch.tensor([token for sequence in sequences for token in sequence])
    return (
        flat.to(device, non_blocking=True),
        Packed.from_lengths([len(sequence) for sequence in sequences], device),
    )
