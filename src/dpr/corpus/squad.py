"""SQuAD JSON: each different paragraph of an article is a document.

Takes a path; gives documents titled as their article, underscores made spaces, with the id
``{title}/{n}`` where n counts that title's different paragraphs from 0, those that are skipped
included. An article without a title goes by its place in the file, from 0. A paragraph that repeats
within a title is given once. The file is read whole, as JSON must be. Questions and answers are not
looked at.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dpr.corpus.characters import check_characters
from dpr.corpus.lines import decode_text, open_bytes
from dpr.corpus.problems import Problems
from dpr.corpus.settings import OnError
from dpr.errors import InputError
from dpr.records import Document

_SHAPE = 'expected SQuAD JSON: {"data": [{"title": ..., "paragraphs": [{"context": ...}]}]}'


def read_squad(path: Path, on_error: OnError, problems: Problems) -> Iterator[Document]:
    """The different paragraphs of a SQuAD file, in its order.

    Raises:
        InputError: it is not SQuAD JSON, or a paragraph is malformed and none is skipped.
    """
    source = str(path)
    seen: dict[str, set[str]] = {}
    skipped: Counter[str] = Counter()
    for at, article in enumerate(_articles(path)):
        where = f"{source}:data[{at}]"
        try:
            title, paragraphs = _article(article, where)
        except InputError as error:
            if on_error == "raise":
                raise
            problems.add_error(error, where)
            continue
        name = title or str(at)
        texts = seen.setdefault(name, set())
        for number, paragraph in enumerate(paragraphs):
            place = f"{where}.paragraphs[{number}]"
            try:
                text = _context(paragraph, place)
            except InputError as error:
                if on_error == "raise":
                    raise
                problems.add_error(error, place)
                skipped[name] += 1
                continue
            if text not in texts:
                yield Document(f"{name}/{len(texts) + skipped[name]}", text, title, place)
                texts.add(text)


def _articles(path: Path) -> list[Any]:
    source = str(path)
    with open_bytes(path) as stream:
        text = decode_text(stream.read(), source)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", source=source, line=error.lineno) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON: {error}", source=source) from None
    if not isinstance(value, dict) or not isinstance(value.get("data"), list):
        found = f"keys {', '.join(value)[:80]}" if isinstance(value, dict) else type(value).__name__
        raise InputError(f"found {found}; {_SHAPE}", source=source)
    articles: list[Any] = value["data"]
    return articles


def _article(article: Any, where: str) -> tuple[str, list[Any]]:
    if not isinstance(article, dict) or not isinstance(article.get("paragraphs"), list):
        raise InputError(f"an article without a list of paragraphs; {_SHAPE}", source=where)
    title = article.get("title", "")
    if not isinstance(title, str):
        raise InputError(f"the title is {title!r}; {_SHAPE}", source=where)
    check_characters("title", title, where)
    return title.replace("_", " "), article["paragraphs"]


def _context(paragraph: Any, where: str) -> str:
    text = paragraph.get("context") if isinstance(paragraph, dict) else None
    if not isinstance(text, str):
        raise InputError(f"a paragraph without a context; {_SHAPE}", source=where)
    if not text or text.isspace():
        raise InputError("the context is empty; leave the paragraph out", source=where)
    check_characters("context", text, where)
    return text
