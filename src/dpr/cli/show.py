"""Hits and answers for people: the answer large, then passages with the answers marked in them.

Takes records, gives lines on a console. Answers are marked by their offsets, never looked up.
Knows nothing of where the records come from.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from dpr.cli.terminal import clean
from dpr.records import Answer, Asked, Hit, Passage

ROOM = 600  # characters of a passage that holds an answer, or that was searched for
GLANCE = 160  # of a passage below the answer that holds none
ANSWER, OTHER = "bold reverse green", "underline"
NO_ANSWER = "no answer"


def show_asked(
    console: Console, asked: Asked, *, answers: bool, name: bool, version: bool = False
) -> None:
    """A question's answers and hits.

    Args:
        name: several questions follow each other.
        version: also say which version of the collection was asked.
    """
    if name:
        console.print(Text(clean(asked.question.text), style="bold cyan"), soft_wrap=True)
        console.print()
    if answers:
        _answers(console, asked.answers)
    for rank, hit in enumerate(asked.hits, 1):
        here = [one for one in asked.answers if one.passage_id == hit.passage.id]
        best = bool(asked.answers) and here[:1] == [*asked.answers[:1]]
        _hit(console, rank, hit, here, best, ROOM if here or not answers else GLANCE)
    if not asked.hits:
        console.print("no passages")
    if version and asked.version:
        console.print(Text(f"version {asked.version} of the collection", style="dim"))


def _answers(console: Console, answers: Sequence[Answer]) -> None:
    if not answers:
        console.print(Text(f"  {NO_ANSWER}", style="bold yellow"))
    for number, answer in enumerate(answers):
        text = Text("  ") + Text(one_line(answer.text), style="dim" if number else "bold green")
        console.print(text + Text(f"  {answer.score:.2f}", style="dim"), soft_wrap=True)
    console.print()


def _hit(
    console: Console, rank: int, hit: Hit, answers: Sequence[Answer], best: bool, room: int
) -> None:
    passage = hit.passage
    head = Text(f"{rank:>2}  ", style="bold") + Text(heading(passage), style="bold")
    details = "  ".join(part for part in (one_line(passage.source), scores(hit)) if part)
    console.print(head + Text(f"  {details}", style="dim"), soft_wrap=True)
    if facts := facts_of(passage):
        console.print(Text(f"    {facts}", style="dim"), soft_wrap=True)
    marked = mark(passage.text, answers, best, room, plain=not coloured(console))
    indented(console, marked)
    console.print()


def scores(hit: Hit) -> str:
    """What a hit is ranked by; where that came from two scores, also these, with their ranks."""
    both = hit.dense_score is not None and hit.bm25_score is not None
    parts = [("dense", hit.dense_score, hit.dense_rank), ("bm25", hit.bm25_score, hit.bm25_rank)]
    told = [
        f"{name} {score:.2f}" + (f" (#{rank})" if rank else "")
        for name, score, rank in parts
        if both and score is not None
    ]
    return "  ".join([f"{hit.score:.2f}", *told])


def facts_of(passage: Passage) -> str:
    """The metadata, and the document where neither heading nor source name it."""
    facts = {name: str(value) for name, value in passage.metadata.items()}
    document = passage.document or passage.id
    if passage.title and not f"/{passage.source}".endswith(f"/{document}"):
        facts = {"document": document} | facts
    text = one_line(" · ".join(f"{name}: {value}" for name, value in facts.items()))
    return text if len(text) <= GLANCE else text[: GLANCE - 1].rstrip() + "…"


def indented(console: Console, text: Text) -> None:
    """A paragraph, wrapped on a terminal; elsewhere one line, as programs and searches want it."""
    lines = text.wrap(console, max(20, console.width - 4)) if console.is_terminal else [text]
    for line in lines:
        line.rstrip()
        console.print(Text("    ") + line, soft_wrap=True)


def heading(passage: Passage) -> str:
    """``title › section``, each once, the id where there is neither."""
    parts = [one_line(part) for part in (passage.title, passage.section)]
    return " › ".join(dict.fromkeys(part for part in parts if part)) or one_line(passage.id)


def one_line(text: str) -> str:
    return " ".join(clean(text).split())


def coloured(console: Console) -> bool:
    """Whether a style will be seen; where not, answers are marked with characters."""
    return console.color_system is not None and not console.no_color


def mark(text: str, answers: Sequence[Answer], best: bool, room: int, *, plain: bool) -> Text:
    """The text around its answers, on one line, each answer marked where its offsets say.

    Args:
        best: the first of the answers is the best of all passages.
        room: characters to show of the text; the rest becomes "…".
        plain: mark with «» in place of styles.
    """
    first, last = _window(len(text), answers, room)
    shown, at = Text("… " if first else ""), first
    for start, end, number in _spans(answers, first, last):
        shown.append(_spaced(text[at:start]))
        span = _spaced(text[start:end])
        style = ANSWER if best and number == 0 else OTHER
        shown.append(f"«{span}»" if plain else span, style=None if plain else style)
        at = end
    shown.append(_spaced(text[at:last]))
    if last < len(text):
        shown.rstrip()
        shown.append(" …")
    return shown


def _spans(answers: Sequence[Answer], first: int, last: int) -> list[tuple[int, int, int]]:
    """Start, end and rank of the answers to mark, in text order; of two that overlap the better."""
    kept: list[tuple[int, int, int]] = []
    for number, one in enumerate(answers):
        clear = all(one.end <= start or one.start >= end for start, end, _ in kept)
        if clear and first <= one.start and one.end <= last:
            kept.append((one.start, one.end, number))
    return sorted(kept)


def _window(length: int, answers: Sequence[Answer], room: int) -> tuple[int, int]:
    """The part of a text to show: its head, or the surroundings of its first answer."""
    if length <= room or not answers:
        return 0, min(length, room)
    start, end = answers[0].start, answers[0].end
    first = max(0, min((start + end - room) // 2, start, length - room))
    return first, min(length, max(first + room, end))


def _spaced(text: str) -> str:
    """With runs of white space made one space, also at the ends, so that parts still join."""
    middle = one_line(text)
    if not middle:
        return " " if text else ""
    head = " " if text[0].isspace() else ""
    return head + middle + (" " if text[-1].isspace() else "")
