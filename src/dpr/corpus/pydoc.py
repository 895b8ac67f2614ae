"""Python's own language reference, as CPython carries it for ``help()``.

Takes nothing; gives one document a topic of ``pydoc_data.topics``: its id is the topic's key, its
title the first heading, its sections the underlined headings inside. The text is the topic's,
unchanged, so it differs between Python versions. Knows nothing of files.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator

from dpr.corpus.headings import rst_headings, to_sections
from dpr.errors import InputError
from dpr.records import Document


def read_pydoc() -> Iterator[Document]:
    """The topics in alphabetical order of their keys.

    Raises:
        InputError: this Python came without its topics.
    """
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InputError(
            f"Python {platform.python_version()} was installed without pydoc_data.topics; install "
            "your system's full Python standard library, or use another source",
            source="pydoc",
        ) from None
    for key in sorted(topics):
        text = topics[key]
        if text.strip():
            headings = rst_headings(text)
            title = headings[0].title if headings else key
            yield Document(key, text, title, f"pydoc:{key}", to_sections(headings))
