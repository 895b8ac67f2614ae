"""What TREC's files have in common: fields without white space. Takes a field, gives nothing."""

from __future__ import annotations

from dpr.corpus.characters import check_characters
from dpr.errors import InputError


def check_word(value: str, what: str, remedy: str, source: str) -> None:
    """Refuse what could not be read back from a file whose columns white space sets apart.

    Any white space that Python knows, since some readers cut at all of it, others at ASCII's.

    Raises:
        InputError: ``value`` is empty or holds white space; ``remedy`` says what to do about it.
    """
    if value.split() != [value]:
        found = f"{what} {value!r} holds white space" if value else f"{what} is empty"
        raise InputError(
            f"{found}, and white space sets the columns apart; {remedy}", source=source
        )
    if value.startswith("\ufeff"):
        raise InputError(
            f"{what} {value!r} begins with U+FEFF, which a reader may take for a mark of byte "
            "order; take it out",
            source=source,
        )
    check_characters(what.removeprefix("the "), value, source)
