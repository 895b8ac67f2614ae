"""BEIR's folders: ``queries.jsonl`` and, for each split, ``qrels/{split}.tsv``; either may be .gz.

Takes a folder and the name of a split; gives questions and judgements, and writes them. Answers
stand in a question's ``metadata``. Knows nothing of the folder's ``corpus.jsonl``, which
``dpr.corpus`` reads.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from dpr.corpus import Problems
from dpr.corpus.lines import LineDecoder, open_bytes
from dpr.errors import InputError, SettingsError
from dpr.questions.entries import Entry, alone, gather
from dpr.questions.fields import check_question
from dpr.questions.files import write_lines
from dpr.questions.lines import number_questions
from dpr.questions.qrels import read_judgements, write_judgements
from dpr.records import Question, QuestionSet

_LOG = logging.getLogger(__name__)
QUERIES = ("queries.jsonl", "queries.jsonl.gz")
_ENDS = (".tsv", ".tsv.gz")
_ALSO = {"dev": ("validation",)}  # what else a split is called


def find_queries(folder: Path) -> Path | None:
    """The folder's file of questions, where there is one."""
    return next((path for name in QUERIES if (path := folder / name).is_file()), None)


def read_beir(folder: Path, split: str, problems: Problems | None = None) -> QuestionSet:
    """The questions of a folder that have judgements in a split, as BEIR itself takes them; how
    many they are is logged. Dev is taken from ``validation`` where there is no ``dev``. Where the
    split is not there and one other is, that one is taken, with a warning.

    Args:
        problems: leave judged questions of a doubled id out, and tell of them here.

    Raises:
        IdError: two questions have one id, and ``problems`` is None.
        InputError: the folder has no queries or not that split, a file is malformed, or a
            question is judged and not there.
        SettingsError: the split is no plain name.
    """
    _check_split(split)
    queries = find_queries(folder) if folder.is_dir() else None
    if queries is None:
        raise InputError(
            "is no folder with a queries.jsonl; BEIR's layout has that file, and qrels/test.tsv",
            source=str(folder),
        )
    judged = _judged(folder, split)
    judgements = read_judgements(judged)
    with open_bytes(queries) as stream:
        lines = LineDecoder(queries).raw_lines(stream)
        numbered = number_questions(lines, str(queries), as_json=True, need_id=True)
        entries = [Entry(question, str(queries), line) for line, question in numbered]
    there = {entry.question.id for entry in entries}
    if missing := [name for name in judgements if name not in there]:
        raise InputError(
            f"{len(missing)} judged questions are not in {queries.name}, the first {missing[0]!r}; "
            "do the two files belong together?",
            source=str(judged),
        )
    if problems is not None:
        entries = alone((one for one in entries if one.question.id in judgements), problems)
        if judgements and not entries:
            raise InputError(
                f"all {len(judgements)} judged questions have ids that come more than once, such "
                f"as {next(iter(judgements))!r}; was the file appended to itself?",
                source=str(queries),
            )
    everything = gather(_name(folder.resolve()), entries, str(queries))
    kept = {one.id: one for one in everything.questions if one.id in judgements}
    _LOG.info("%s: %d of %d questions have judgements", judged, len(kept), len(there))
    own = {name: grades for name, grades in judgements.items() if name in kept}
    return QuestionSet(everything.name, tuple(kept.values()), own)


def _check_split(split: str) -> None:
    if not split or any(character in split for character in "/\\:\0"):
        raise SettingsError(f"the split is {split!r}; give a plain name, such as test or dev")


def _name(folder: Path) -> str:
    """What a set is called: its folder, with the one above where that is but a part of it."""
    part = folder.name.lower() in {"train", "dev", "validation", "valid", "test"}
    return f"{folder.parent.name}/{folder.name}" if part and folder.parent.name else folder.name


def _judged(folder: Path, split: str) -> Path:
    found = sorted(path for end in _ENDS for path in (folder / "qrels").glob(f"*{end}"))
    names = (split, *_ALSO.get(split, ()))
    for name in names:
        if wanted := [path for path in found if path.name in [name + end for end in _ENDS]]:
            return wanted[0]
    if len(found) == 1:
        _LOG.warning("%s: no qrels/%s.tsv; taking %s, the only one", folder, split, found[0].name)
        return found[0]
    there = ", ".join(path.name for path in found) or "none"
    missing = " or ".join(f"qrels/{name}.tsv" for name in names)
    raise InputError(
        f"no {missing}; there are: {there}. Name one of them as the split, or where none can be "
        "named rename or copy the one that is meant; for questions without judgements give "
        "queries.jsonl itself",
        source=str(folder),
    )


def write_beir(folder: Path, questions: QuestionSet, split: str) -> None:
    """Write queries.jsonl and the judgements of a split.

    Raises:
        InputError: a question has no judgement, so that reading would leave it out, or a judgement
            no question.
        SettingsError: the split is no plain name.
    """
    _check_split(split)
    unjudged = [one.id for one in questions.questions if not questions.judgements.get(one.id)]
    known = {one.id for one in questions.questions}
    stray = [name for name, grades in questions.judgements.items() if grades and name not in known]
    if unjudged or stray:
        what = "questions have no judgement" if unjudged else "judged questions are not in the set"
        raise InputError(
            f"{len(unjudged or stray)} {what}, the first {(unjudged or stray)[0]!r}; BEIR's layout "
            "holds questions that are judged: leave the others out, or write jsonl",
            source=str(folder),
        )
    for question in questions.questions:
        check_question(question, str(folder))
    lines = (json.dumps(_shape(one), ensure_ascii=False) + "\n" for one in questions.questions)
    # The judgements last: without them the folder is not read.
    write_lines(folder / QUERIES[0], lines)
    write_judgements(folder / "qrels" / f"{split}.tsv", questions.judgements, "beir")


def _shape(question: Question) -> dict[str, Any]:
    metadata: dict[str, Any] = {"answers": list(question.answers)} if question.answers else {}
    if question.unanswerable:
        metadata["unanswerable"] = True
    return {"_id": question.id, "text": question.text, "metadata": metadata}
