"""The bodies of OpenAI's embeddings API, as far as they make sense here.

Knows nothing of how vectors are made.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dpr.serve.bounds import Body
from dpr.serve.schemas import MOST_INPUTS, Count
from dpr.serve.work import Tower

Input = Annotated[str, StringConstraints(min_length=1)]


class EmbeddingsRequest(Body):
    """Texts to make vectors of. Fields that are not listed here are allowed, and mean nothing."""

    model_config = ConfigDict(strict=True)

    input: (
        Input | Annotated[list[Input], Field(min_length=1, max_length=MOST_INPUTS, fail_fast=True)]
    ) = Field(
        description="A text or several. Not lists of token ids: those of other tokenizers would "
        "mean something else here.",
        examples=["Where does the Danube rise?"],
    )
    model: str = Field(description="The model_id of /info, whole or up to its @.")
    input_type: Tower = Field(
        "query", description="Questions and passages are encoded by towers of their own."
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: Count | None = Field(
        None, description="If given, it has to be what the model has: none are cut."
    )

    @property
    def inputs(self) -> list[str]:
        """All of them."""
        return [self.input] if isinstance(self.input, str) else self.input


class Embedding(BaseModel):
    """The vector of one text."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str = Field(
        description="Numbers; or, as base64, their float32 bytes, the lowest first."
    )
    truncated: bool = Field(description="The text was longer than the model reads.")


class Usage(BaseModel):
    """Tokens that were encoded, special tokens included."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsResponse(BaseModel):
    """A vector of each text, in their order."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class Model(BaseModel):
    """A model that is served."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """The one that there is."""

    object: Literal["list"] = "list"
    data: list[Model]
