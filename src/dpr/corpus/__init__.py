"""Documents -> passages: reading sources and splitting what they hold.

``read_documents`` takes a path or the word ``pydoc`` and streams documents; ``split_document``
cuts one into passages; ``read_passages`` does both. ``read_changes`` gives the documents that are
not as they were when a source was last read, each with its digest. Knows nothing of tokens or
models.

What is malformed is an ``InputError`` that names the file and line, what was found and what is
expected; ``SourceSettings(on_error="skip")`` leaves it out, counts it and lists the first 20 in
``Problems``. What each source gives, how it is recognised, and what happens to every kind of
malformed input is in docs/formats.md, "Reading documents".

>>> from dpr.records import Document
>>> document = Document("tea", "Boil water. Pour it on the leaves. Wait.", title="Tea")
>>> for passage in split_document(document, SplitSettings.parse("sentences:7")):
...     print(passage.id, passage.start, passage.end, passage.text)
tea#0 0 34 Boil water. Pour it on the leaves.
tea#1 35 40 Wait.
"""

from dpr.corpus.changes import Changed, Kept, document_digest
from dpr.corpus.problems import Problem, Problems
from dpr.corpus.settings import DuplicateSettings, SourceSettings, SplitSettings
from dpr.corpus.sources import read_changes, read_documents, read_passages
from dpr.corpus.split import PassageIds, split_document

__all__ = [
    "Changed",
    "DuplicateSettings",
    "Kept",
    "PassageIds",
    "Problem",
    "Problems",
    "SourceSettings",
    "SplitSettings",
    "document_digest",
    "read_changes",
    "read_documents",
    "read_passages",
    "split_document",
]
