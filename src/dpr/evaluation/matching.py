r"""Answer match: whether a passage holds an accepted answer, by the rule of the DPR paper's code.

Text and answers in, verdicts and places out; knows nothing of questions, ranks or files. The rule
(Karpukhin et al. 2020, §5; the same in Pyserini's evaluation):

- Text and answer are brought to NFD. Their tokens are runs of letters, digits and marks,
  ``[\p{L}\p{N}\p{M}]+``, or else any single character that is no separator and no control or
  format character, ``[^\p{Z}\p{C}]``. Each token is lower-cased by itself, so a capital sigma
  becomes a final one where its token ends.
- A text has an answer when the answer's tokens stand in it one after the other. Only the passage's
  text is looked at, never its title. So "art" is not in "party", and an answer in a script written
  without spaces is found only where punctuation or spaces surround it.
- An answer without tokens ("" or " ") is in every text. Such an answer makes a figure meaningless;
  it is for whoever reads questions to refuse it.
- With ``regex``, answers are patterns (CuratedTREC): each, brought to NFD, is searched for in the
  NFD text, ignoring case, ``^`` and ``$`` at line ends. What does not compile never matches. The
  dialect is that of the ``regex`` package, as in the original; Pyserini's is Python's ``re``.

One thing is added: a pattern that would not end is an error that names it, instead of a silent
"no" or an evaluation that hangs. The original has no such limit.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import Any
from unicodedata import combining, normalize

from dpr.errors import InputError, MissingExtraError

# What a search may take on one passage. Answer patterns take microseconds.
PATTERN_SECONDS = 1.0
# Counted repeats are unrolled when they are compiled, nested ones as often as their product says:
# at about 300 bytes a part.
PATTERN_SIZE = 2_000_000

Span = tuple[int, int]


def has_answer(text: str, answers: Iterable[str], regex: bool = False) -> bool:
    """Whether the text holds one of the answers: the rule as it is written, step by step.

    ``Matcher`` gives the same much faster.

    Raises:
        InputError: an answer pattern takes too long or too much memory.
        MissingExtraError: the package ``regex`` is not installed.
    """
    plain = normalize("NFD", text)
    if regex:
        patterns = [_compile(answer) for answer in answers]
        return any(pattern is not None and _found(pattern, plain) for pattern in patterns)
    tokens = [token for token, _ in _tokens(plain)]
    for answer in answers:
        wanted = [token for token, _ in _tokens(normalize("NFD", answer))]
        for at in range(len(tokens) - len(wanted) + 1):
            if tokens[at : at + len(wanted)] == wanted:
                return True
    return False


class Matcher:
    """Looks for the accepted answers of one question in any number of texts.

    Args:
        answers: strings, or patterns with ``regex``; without any, nothing matches.

    Raises:
        InputError: an answer pattern would take too much memory.
        MissingExtraError: the package ``regex`` is not installed.
    """

    def __init__(self, answers: Iterable[str], regex: bool = False) -> None:
        self._patterns: list[Any] = []
        self._wanted: list[tuple[str, str, list[str]]] = []
        for answer in dict.fromkeys(answers):
            if regex:
                pattern = _compile(answer)
                if pattern is not None:
                    self._patterns.append(pattern)
                continue
            tokens = [token for token, _ in _tokens(normalize("NFD", answer))]
            longest = max(tokens, key=len, default="")
            self._wanted.append((_folded(longest), _joined(tokens), tokens))

    def matches(self, text: str) -> bool:
        """Whether the text holds one of the answers.

        Raises:
            InputError: an answer pattern takes too long on this text.
        """
        plain = normalize("NFD", text)
        if self._patterns:
            return any(_found(pattern, plain) for pattern in self._patterns)
        # Most texts do not even hold the longest token's characters. Folding goes character by
        # character, and so the fold of any part of a text stands in the fold of the text:
        # whatever holds the token passes. Few get as far as being cut into tokens.
        folded = _folded(plain)
        left = [joined for longest, joined, _ in self._wanted if longest in folded]
        if not left:
            return False
        tokens = _joined([token.lower() for token in _token_pattern().findall(plain)])
        return any(joined in tokens for joined in left)

    def spans(self, text: str) -> list[Span]:
        """Where the answers stand: (start, end) characters of the text as given, not of its NFD.

        In order and without overlap: what overlaps is one span. A part of a character, or a
        character without its combining marks, is widened to the whole. Answers without tokens, and
        patterns that match nothing at some place, have no span there.

        Raises:
            InputError: an answer pattern takes too long on this text.
        """
        if not self.matches(text):
            return []
        plain = normalize("NFD", text)
        found = self._pattern_spans(plain) if self._patterns else self._token_spans(plain)
        origins = _origins(text)
        merged: list[Span] = []
        for first, last in sorted(found):
            start, end = origins[first][0], origins[last - 1][1]
            if merged and start < merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        return merged

    def _pattern_spans(self, plain: str) -> Iterator[Span]:
        for pattern in self._patterns:
            try:
                for match in pattern.finditer(plain, timeout=PATTERN_SECONDS):
                    if match.end() > match.start():
                        yield match.span()
            except TimeoutError:
                raise _too_long(pattern.pattern) from None

    def _token_spans(self, plain: str) -> Iterator[Span]:
        found = list(_tokens(plain))
        tokens = [token for token, _ in found]
        for _, _, wanted in self._wanted:
            for at in range(len(tokens) - len(wanted) + 1) if wanted else ():
                if tokens[at : at + len(wanted)] == wanted:
                    yield found[at][1][0], found[at + len(wanted) - 1][1][1]


def matches(
    texts: Iterable[Iterable[str]], answers: Iterable[Sequence[str]], regex: bool = False
) -> Iterator[list[bool]]:
    """For each question, which of its texts hold one of its answers.

    Args:
        texts: of each question, for example of its hits, best first.
        answers: of each question; as many questions as ``texts`` has.

    Texts are taken as they are needed, one question after the other, and not kept.

    Raises:
        ValueError: there are more questions of one than of the other.
        InputError: an answer pattern takes too long or too much memory.
        MissingExtraError: the package ``regex`` is not installed.
    """
    for some, accepted in zip(texts, answers, strict=True):
        matcher = Matcher(accepted, regex)
        yield [matcher.matches(text) for text in some]


@cache
def _engine() -> Any:
    try:
        import regex
    except ImportError:
        raise MissingExtraError("regex", "evaluate", "matching answers") from None
    return regex


@cache
def _token_pattern() -> Any:
    return _engine().compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")


def _tokens(plain: str) -> Iterator[tuple[str, Span]]:
    """The lower-cased tokens of an NFD text, and where they stand in it."""
    for match in _token_pattern().finditer(plain):
        yield match.group().lower(), match.span()


def _joined(tokens: Sequence[str]) -> str:
    """Tokens as one string, in which a run of tokens is found as a substring: a line feed is a
    control character, and so in no token."""
    return "\n".join(["", *tokens, ""])


def _folded(plain: str) -> str:
    """Lower case without its one rule that looks at the neighbours, that of the final sigma."""
    return plain.lower().replace("ς", "σ")


def _compile(answer: str) -> Any:
    """An answer pattern; None for one that is none."""
    engine = _engine()
    pattern = normalize("NFD", answer)
    if (size := _unrolled(pattern)) > max(PATTERN_SIZE, len(pattern)):
        raise InputError(
            f"the answer pattern {answer[:200]!r} has repeats that come to {float(size):.0e} parts "
            f"when it is compiled; allowed are {PATTERN_SIZE:.0e}; repeat less"
        )
    try:
        return engine.compile(pattern, engine.IGNORECASE | engine.UNICODE | engine.MULTILINE)
    except Exception:  # besides the package's own error: ValueError, RecursionError, IndexError ...
        return None


_PARTS = re.compile(
    r"\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]|[()]|\{(?P<least>[^,{}]*)|.", re.DOTALL
)
# Comments, verbose patterns, sets within sets, recursion: there a group may end where _PARTS sees
# no end.
_UNUSUAL = re.compile(r"\(\?(?![:=!<>P|]|[ims]+[:)])")


def _unrolled(pattern: str) -> int:
    """At most so many parts does a pattern have once its counted repeats are unrolled.

    A group is taken to repeat all its parts as often as any of them is repeated; an unusual pattern
    to repeat everything as often as all counts together say.
    """
    parts, times = [0], [1]  # of each open group
    usual = _UNUSUAL.search(pattern) is None
    for match in _PARTS.finditer(pattern):
        part, least = match.group(), match["least"]
        if least is not None:
            count = int("".join(re.findall(r"\d", least)).lstrip("0")[:20] or 1)
            times[-1] = max(times[-1], count) if usual else times[-1] * count
        elif part == "(" and usual:
            parts.append(0)
            times.append(1)
        elif part == ")" and len(parts) > 1:
            inner = parts.pop() * times.pop()
            parts[-1] += inner
        parts[-1] += 1
    return math.prod(times) * sum(parts)


def _found(pattern: Any, plain: str) -> bool:
    try:
        return pattern.search(plain, timeout=PATTERN_SECONDS) is not None
    except TimeoutError:
        raise _too_long(pattern.pattern) from None


def _too_long(pattern: str) -> InputError:
    return InputError(
        f"the answer pattern {pattern[:200]!r} took more than {PATTERN_SECONDS:g} s on one "
        "passage, as repeats within repeats do; write it without them"
    )


def _origins(text: str) -> list[Span]:
    """For each character of the text's NFD, the part of the text that it comes from.

    NFD takes characters apart, and sorts marks that follow one another. So a part is a character
    with the marks behind it that such a sort may move.
    """
    if text.isascii():
        return list(pairwise(range(len(text) + 1)))
    starts = [at for at, character in enumerate(text) if at == 0 or _begins(character)]
    origins: list[Span] = []
    for start, end in pairwise([*starts, len(text)]):
        origins += [(start, end)] * len(normalize("NFD", text[start:end]))
    return origins


def _begins(character: str) -> bool:
    """Whether no mark is sorted over the beginning of this character."""
    return combining(normalize("NFD", character)[0]) == 0
