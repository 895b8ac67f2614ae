"""What JSON of a client may be before it is looked at any closer, so that finding out all that is
wrong with it takes no longer than it is worth.

Takes values as JSON gives them. A validator here comes before the others of a field or a body, and
where it refuses they do not run: a body of 2 MB could otherwise have a million errors.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

MOST_FIELDS = 32
LONGEST_NAME = 256
LONGEST_VALUE = 512
LONGEST_FILTERS = 8192

# White space as Python knows it: \s is another set in each language that reads a schema.
SPACE = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
# How texts are spelled; ``wrong`` says each in words.
SAYS = f"[^{SPACE}]"
NO_NUL = r"^[^\x00]*$"
SAYS_NAME = rf"^[^\x00]*[^\x00{SPACE}][^\x00]*$"
# No white space around it; and neither . nor .., which URLs cannot name.
ID = rf"^([^{SPACE}.]|[^{SPACE}.]{SAYS}|\.[^{SPACE}.]|{SAYS}[\s\S]+{SAYS})$"


class Body(BaseModel):
    """A request's body: it has few fields, whatever they are called."""

    model_config = ConfigDict(json_schema_extra={"maxProperties": MOST_FIELDS})

    @model_validator(mode="before")
    @classmethod
    def _few(cls, given: Any) -> Any:
        if isinstance(given, dict) and len(given) > MOST_FIELDS:
            raise ValueError(f"has {len(given)} fields; give at most {MOST_FIELDS}")
        return given


def few(given: Any) -> Any:
    """Metadata: at most 64 names, none long."""
    if isinstance(given, dict):
        if len(given) > 64:
            raise ValueError(f"has {len(given)} names; give at most 64")
        if any(len(name) > LONGEST_NAME for name in given):
            raise ValueError(f"has a name of more than {LONGEST_NAME} characters")
    return given


def small(given: Any) -> Any:
    """Conditions: not many, and short, since they are kept with the answers and asked of every
    document."""
    if not isinstance(given, dict):
        return given
    if len(given) > MOST_FIELDS:
        raise ValueError(f"has {len(given)} names; give at most {MOST_FIELDS}")
    length = sum(map(_length, given.items()))
    if length > LONGEST_FILTERS:
        raise ValueError(
            f"has {length} characters; all conditions together have at most {LONGEST_FILTERS}"
        )
    return given


def _length(condition: tuple[str, Any]) -> int:
    """Characters of a condition.

    Raises:
        ValueError: a part of it is too long.
    """
    name, wanted = condition
    if len(name) > LONGEST_NAME:
        raise ValueError(f"has a name of {len(name)} characters; give at most {LONGEST_NAME}")
    pairs = wanted if isinstance(wanted, dict) else {"=": wanted}
    if len(pairs) > 8:
        raise ValueError(f"has a condition with {len(pairs)} operators; there are 8")
    length = len(name)
    for sign, values in pairs.items():
        several = values if isinstance(values, list) else [values]
        if len(several) > 100:
            raise ValueError(f"has a list of {len(several)} values; give at most 100")
        for value in several:
            text = len(value) if isinstance(value, str) else 8
            if text > LONGEST_VALUE:
                raise ValueError(f"has a value of {text} characters; give at most {LONGEST_VALUE}")
            length += text + len(sign)
    return length
