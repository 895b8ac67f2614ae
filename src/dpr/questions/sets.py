"""From what a person names to a set of questions, and back to a file.

Takes a path; finds out which format it is and hands it to that format's reader. See
``dpr.questions`` for what happens to malformed input.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from dpr.corpus.lines import LineDecoder, open_bytes
from dpr.errors import InputError, SettingsError
from dpr.questions.beir import find_queries, read_beir, write_beir
from dpr.questions.dpr import dpr_qa_row, read_dpr_qa, read_dpr_train
from dpr.questions.entries import Entry, check_ids, gather
from dpr.questions.fields import check_question
from dpr.questions.files import write_lines
from dpr.questions.lines import number_questions, question_object
from dpr.questions.results import iterate_results
from dpr.questions.squad import Passages, read_squad_questions, squad_object
from dpr.records import QuestionSet

QuestionFormat = Literal[
    "auto", "beir", "squad", "dpr-qa", "dpr-results", "dpr-train", "jsonl", "text"
]
WrittenFormat = Literal["beir", "squad", "dpr-qa", "jsonl"]

_ALLOWED = (
    "a BEIR folder (queries.jsonl and qrels/), SQuAD JSON, DPR's table of questions (.tsv, .csv), "
    "DPR's results or training JSON, JSON Lines (.jsonl), or a question a line (.txt), each also "
    "with .gz"
)
_ENDINGS = (".json", ".jsonl", ".ndjson", ".txt", "")
_HEAD_BYTES = 65536
_KEY = re.compile(rb'"(ctxs|positive_ctxs|data)"\s*:')


def read_question_set(
    path: str | os.PathLike[str], *, format: QuestionFormat = "auto", split: str = "test"
) -> QuestionSet:
    """The questions of a file or folder, with answers and judgements as far as it holds them.

    The set is named as the file without its extension, or as the folder (``nq/dev`` where that
    is but a split).

    Args:
        format: what it is; ``auto`` goes by what the path is, its extension, and its first bytes.
        split: which judgements of a BEIR folder.

    Raises:
        InputError: it is not there, not recognised or malformed; an id comes twice; there is no
            question in it.
        SettingsError: an unknown format.
    """
    if format not in get_args(QuestionFormat):
        raise SettingsError(
            f"unknown format of questions {format!r}; choose one of "
            f"{', '.join(get_args(QuestionFormat))}"
        )
    path = Path(path)
    if not path.exists():
        raise InputError(f"no such file or folder; allowed is {_ALLOWED}", source=str(path))
    if format == "auto":
        format = recognise(path)
    if format == "beir":
        return read_beir(path, split)
    if path.is_dir():
        raise InputError(f"is a folder; the format {format} needs a file", source=str(path))
    name = path.name.removesuffix(".gz")
    repeats = format == "squad"
    return gather(Path(name).stem, _entries(path, format), str(path), repeats=repeats)


def _entries(path: Path, format: QuestionFormat) -> Iterator[Entry]:
    if format == "squad":
        return read_squad_questions(path)
    if format == "dpr-qa":
        return read_dpr_qa(path)
    if format == "dpr-train":
        return read_dpr_train(path)
    if format == "dpr-results":
        return (Entry(asked.question, str(path)) for asked in iterate_results(path))
    return _lines(path, as_json=format == "jsonl")


def _lines(path: Path, as_json: bool) -> Iterator[Entry]:
    with open_bytes(path) as stream:
        lines = LineDecoder(path).raw_lines(stream)
        for line, question in number_questions(lines, str(path), as_json=as_json):
            yield Entry(question, str(path), line)


def recognise(path: Path) -> QuestionFormat:
    """The format of a path, by what it is, its extension, and its first bytes.

    Raises:
        InputError: it is none that can be read; the message says what was seen.
    """
    if path.is_dir():
        if find_queries(path) is not None:
            return "beir"
        raise InputError(
            f"is a folder without a queries.jsonl; allowed is {_ALLOWED}", source=str(path)
        )
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending in (".tsv", ".csv"):
        return "dpr-qa"
    with open_bytes(path) as stream:
        head = stream.read(_HEAD_BYTES)
    found = _of_content(head.lstrip(), ending) if ending in _ENDINGS else None
    if found is None:
        raise InputError(
            f"cannot tell what it is: its extension is {ending or '(none)'} and it begins "
            f"{head[:40]!r}; allowed is {_ALLOWED}; or name the format",
            source=str(path),
        )
    return found


def _of_content(head: bytes, ending: str) -> QuestionFormat | None:
    keys = _first_keys(head)
    if "ctxs" in keys:
        return "dpr-results"
    if "positive_ctxs" in keys:
        return "dpr-train"
    if "data" in keys and head[:1] == b"{":
        return "squad"
    if "{" in keys or ending in (".jsonl", ".ndjson"):
        return "jsonl"
    return None if ending == ".json" or b"\0" in head else "text"


def _first_keys(head: bytes) -> set[str]:
    """The keys of the object in the first line, with "{" to say that it is one; where it goes on
    beyond the line or the head, those of the known ones that stand anywhere in the head."""
    try:
        value = json.loads(head.split(b"\n", 1)[0])
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return {"{", *value}
    # Within a JSON string the quotes would be escaped, so that only keys are found.
    return {found.decode() for found in _KEY.findall(head)} if head[:1] in (b"[", b"{") else set()


def write_question_set(
    path: str | os.PathLike[str],
    questions: QuestionSet,
    format: WrittenFormat,
    *,
    split: str = "test",
    passages: Passages | None = None,
) -> None:
    """Write a set of questions so that reading gives the same, as far as the format holds it.

    ``jsonl`` has no place for judgements (``write_judgements`` gives them a file of their own),
    ``dpr-qa`` for neither these nor ids, ``beir`` for questions without judgements. SQuAD holds
    passages too: they get new ids when read unless theirs are those that SQuAD's reading gives.

    Args:
        path: a folder for ``beir``, else a file, gzipped where its name ends in ``.gz``.
        split: the name of the judgements in a BEIR folder.
        passages: for ``squad``, ``{id: (title, text)}``, all of which are written.

    Raises:
        InputError: a question that the format cannot hold, or the file cannot be written.
        SettingsError: an unknown format.
    """
    path = Path(path)
    check_ids(questions, str(path))
    if format == "beir":
        write_beir(path, questions, split)
    elif format == "squad":
        shape = squad_object(questions, passages or {}, str(path))
        write_lines(path, [json.dumps(shape, ensure_ascii=False), "\n"])
    elif format in ("dpr-qa", "jsonl"):
        write_lines(path, _written(questions, format, str(path)))
    else:
        raise SettingsError(
            f"unknown format to write questions in, {format!r}; choose one of "
            f"{', '.join(get_args(WrittenFormat))}"
        )


def _written(questions: QuestionSet, format: WrittenFormat, source: str) -> Iterator[str]:
    for question in questions.questions:
        check_question(question, source)
        if format == "jsonl":
            yield json.dumps(question_object(question), ensure_ascii=False) + "\n"
        else:
            yield dpr_qa_row(question, source)
