"""JSON Lines: one object a line, plain or gzipped; BEIR's ``corpus.jsonl`` is one of them.

Takes a path and the keys wanted; gives rows one by one, or the error that stands in a row's
place. The key ``metadata`` is read where it is there, as are those of ``metadata_columns``. Lines
of white space are passed over. Knows nothing of documents.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpr.corpus.lines import LineDecoder, open_bytes
from dpr.corpus.metadata import SPREAD
from dpr.corpus.rows import ID_NAMES, TEXT_NAMES, TITLE_NAMES, Row
from dpr.corpus.settings import SourceSettings
from dpr.errors import InputError


def read_jsonl(path: Path, settings: SourceSettings) -> Iterator[Row | InputError]:
    """The rows of a JSON Lines file, ``InputError`` standing for a malformed one.

    Raises:
        InputError: the file cannot be read on.
    """
    beir = settings.format == "beir"
    id_keys = _keys(settings.id_column, ("_id",) if beir else ID_NAMES)
    text_keys = _keys(settings.text_column, ("text",) if beir else TEXT_NAMES)
    title_keys = _keys(settings.title_column, TITLE_NAMES)
    metadata_keys = dict.fromkeys((SPREAD, *settings.metadata_columns))
    with open_bytes(path) as stream:
        decode = LineDecoder(path)
        for raw in decode.raw_lines(stream):
            try:
                text = decode(raw)
                if text.isspace():
                    continue
                value = _object(text, decode)
                yield (
                    decode.number,
                    _get(value, id_keys, "id", decode),
                    _get(value, text_keys, "text", decode),
                    _get(value, title_keys, "title", decode, needed=bool(settings.title_column)),
                    {key: value[key] for key in metadata_keys if key in value},
                )
            except InputError as error:
                yield error


def _keys(named: str | None, usual: tuple[str, ...]) -> tuple[str, ...]:
    return usual if named is None else (named,)


def _object(text: str, decode: LineDecoder) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"not JSON: {error}; the line begins {text[:40]!r}; expected one object a line, such "
            'as {"id": "1", "title": "A title", "text": "A text"}',
            source=decode.source,
            line=decode.number,
        ) from None
    if not isinstance(value, dict):
        raise InputError(
            f"the line holds {type(value).__name__} {text[:40]!r}; expected an object such as "
            '{"id": "1", "title": "A title", "text": "A text"}',
            source=decode.source,
            line=decode.number,
        )
    return value


def _get(
    value: dict[str, Any],
    keys: tuple[str, ...],
    what: str,
    decode: LineDecoder,
    *,
    needed: bool = True,
) -> object:
    for key in keys:
        if key in value:
            return value[key]
    if what == "title" and not needed:
        return ""
    raise InputError(
        f"no {' or '.join(keys)} among the keys {', '.join(value) or '(none)'}; "
        f"every object needs one, or name another key by {what}_column",
        source=decode.source,
        line=decode.number,
    )
