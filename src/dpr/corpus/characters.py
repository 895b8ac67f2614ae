"""What no text holds: NUL characters and halves of surrogate pairs.

Takes a text and where it stands; gives an error that names the character. Knows nothing of files.
"""

from __future__ import annotations

from dpr.errors import InputError


def check_characters(what: str, value: str, source: str, line: int | None = None) -> None:
    """Refuse what no text holds: NUL characters and halves of surrogate pairs.

    Raises:
        InputError: ``value`` has one; the message gives its place.
    """
    if "\0" in value:
        raise InputError(
            f"the {what} has a NUL character at character {value.index(chr(0))}: "
            "is this binary data? Give text",
            source=source,
            line=line,
        )
    if value.isascii():
        return
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            f"the {what} has a lone surrogate, U+{ord(value[error.start]):04X}, at character "
            f"{error.start}, which is no character; write the whole pair, or take it out",
            source=source,
            line=line,
        ) from None
