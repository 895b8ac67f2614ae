"""``/v1/documents``: documents come and go. For keys that may change documents, and no others."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from dpr.records import Document
from dpr.serve.bounds import ID, LONGEST_NAME, NO_NUL, SAYS, SAYS_NAME, Body, few
from dpr.serve.changing import Changer

MOST_DOCUMENTS = 256
LONGEST_ID = 512

Id = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_ID, pattern=ID)]
# As collections keep it: names say something, and no text has a NUL character.
Name = Annotated[str, StringConstraints(max_length=LONGEST_NAME, pattern=SAYS_NAME)]
Words = Annotated[str, StringConstraints(pattern=NO_NUL)]
Fact = Words | bool | int | Annotated[float, Field(allow_inf_nan=False)]
Facts = Annotated[list[Fact], Field(fail_fast=True)]


def _only_such_names(schema: dict[str, Any]) -> None:
    """pydantic says what holds for names of a pattern, and nothing of others: there are none."""
    [(pattern, value)] = schema.pop("patternProperties").items()
    schema["propertyNames"] = {"maxLength": LONGEST_NAME, "pattern": pattern}
    schema["additionalProperties"] = value


class DocumentIn(Body):
    """A document to be found from now on."""

    model_config = ConfigDict(strict=True, extra="forbid")

    id: Id
    text: Annotated[str, StringConstraints(min_length=1, pattern=SAYS)]
    title: Annotated[str, StringConstraints(max_length=1024)] = ""
    metadata: Annotated[
        dict[Name, Fact | Facts | None],
        Field(
            max_length=64,
            description="What searches can be narrowed by.",
            json_schema_extra=_only_such_names,
        ),
        BeforeValidator(few),
    ] = Field({})


class DocumentsRequest(Body):
    """Documents; those with ids of documents that were sent before take their places."""

    model_config = ConfigDict(strict=True, extra="forbid")

    documents: Annotated[
        list[DocumentIn], Field(min_length=1, max_length=MOST_DOCUMENTS, fail_fast=True)
    ]
    replace: bool = Field(False, description="Take the places of other sources' documents too.")


class Changed(BaseModel):
    """What the change did."""

    model_config = ConfigDict(extra="forbid")

    version: int = Field(description="Of the collection; it is asked from now on.")
    added: int = Field(description="Passages.")
    removed: int


def routes(changer: Changer) -> APIRouter:
    """Both operations."""
    router = APIRouter(tags=["Documents"])

    @router.post("/v1/documents", response_model=Changed)
    async def add(body: DocumentsRequest) -> dict[str, Any]:
        """Add documents. Answered when they can be found."""
        documents = [
            Document(one.id, one.text, one.title, metadata=one.metadata) for one in body.documents
        ]
        return asdict(await changer.add(documents, replace=body.replace))

    @router.delete("/v1/documents/{document:path}", response_model=Changed)
    async def remove(document: Annotated[str, Path(max_length=LONGEST_ID)]) -> dict[str, Any]:
        """Remove a document. Answered when it can no longer be found."""
        return asdict(await changer.remove(document))

    return router
