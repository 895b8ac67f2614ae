"""Texts as the words they are found by: split, stop words dropped, stemmed (an analyzer, as Lucene
calls it).

Takes strings; gives lists of words. Knows nothing of counts, rows or files. Stop words are those of
bm25s, stems those of PyStemmer (Snowball).

Text is normalised (NFKC) and lowered. A word is a run of two letters or digits and more, with the
accents and vowel signs that stand on them, as bm25s and scikit-learn split. In scripts that set no
spaces between words (Han, kana, Thai, Lao, Burmese, Khmer) the words are the pairs of neighbouring
characters, and a character that stands alone, as in Lucene's CJKBigramFilter: such text is found
by any two characters in a row.

Two words that follow each other, whatever stop words stand between them, are a pair: a term of its
own, spelled as both with a space, which no word has.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from dpr.errors import SettingsError

SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)

_ASCII = "".join(chr(c).lower() if chr(c).isalnum() or c == ord("_") else " " for c in range(128))
BETWEEN = " "  # the two words of a pair

ASKING = {  # by the language of the stop words: what makes a question of a sentence
    "english": frozenset(
        "who whom whose what which when where why how do does did is are was were has have had "
        "can could would should".split()
    )
}
BMP, LAST = "\uffff", "\U0010ffff"  # the ends of the characters of two bytes, and of all


@dataclass(frozen=True, slots=True)
class WordsSettings:
    """Which words a passage is found by; questions are analysed the same way.

    Attributes:
        language: whose stemmer brings words to one form (PyStemmer's names); None: none does.
        stop_words: whose most frequent words are left out (bm25s's lists); None: nobody's.
        title: how many times a title's words count; 0 leaves titles out.
        text: how many times the text's words count.
        shortest: letters or digits that a word needs. 1 also finds "vitamin C", and on the
            project's questions tells less well what a passage is about.
        pairs: count pairs of neighbouring words too, so that a text that has a question's words
            side by side is told from one that has them apart (Metzler & Croft 2005). They
            take two to five times the room.
    """

    language: str | None = "english"
    stop_words: str | None = "english"
    title: int = 2
    text: int = 1
    shortest: int = 2
    pairs: bool = True

    def __post_init__(self) -> None:
        for name, least in (("title", 0), ("text", 0), ("shortest", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise SettingsError(f"{name} is {value!r}; allowed are integers of {least} or more")
        if not isinstance(self.pairs, bool):
            raise SettingsError(f"pairs is {self.pairs!r}; allowed are True and False")
        if not self.title and not self.text:
            raise SettingsError("title and text both count 0 times; give at least one of them 1")


def pairs_of(words: Sequence[str]) -> list[str]:
    """The pairs of a text's words, in order, each as often as it comes."""
    return [f"{first}{BETWEEN}{second}" for first, second in pairwise(words)]


class Analyzer:
    """What splits texts and stems words, by its settings.

    Raises:
        SettingsError: a language that there is no stemmer or no list of stop words for.
    """

    def __init__(self, settings: WordsSettings) -> None:
        import Stemmer

        self._stemmer = Stemmer.Stemmer
        self.settings = settings
        _check("language", settings.language, Stemmer.algorithms())
        self._stop = _stop_words(settings.stop_words)
        self._plain = re.compile(rf"\w{{{settings.shortest},}}")

    def words(self, text: str) -> list[str]:
        """The words of a text, in order, each as often as it comes."""
        return [stem for word in self.split(text) if (stem := self.stem(word))]

    def asked(self, question: str) -> list[str]:
        """The words of a question but for those that only ask, where others are left: few texts
        that answer have them, and the rest is then found by chance."""
        asking = ASKING.get(self.settings.stop_words or "", frozenset())
        split = self.split(question)
        told = [stem for one in split if one not in asking and (stem := self.stem(one))]
        return told or [stem for word in split if (stem := self.stem(word))]

    def split(self, text: str) -> list[str]:
        """The words as they stand there, lowered; and what ``stem`` knows to be too short."""
        if text.isascii():  # twice as fast as the pattern
            return text.translate(_ASCII).split()
        text = unicodedata.normalize("NFKC", text).lower()
        special, every, spaceless = _patterns(self.settings.shortest)
        if not special.search(text):
            return self._plain.findall(text)
        return [
            word
            for run in every.findall(text)
            for word in (_two_by_two(run) if spaceless.match(run) else (run,))
        ]

    def stem(self, word: str) -> str:
        """What a word of ``split`` is counted as; empty: not at all."""
        if word in self._stop or (len(word) < self.settings.shortest and word.isascii()):
            return ""
        if self.settings.language is None:
            return word
        # A stemmer is not to be shared by threads, and making one costs nothing. 0: keep no cache.
        stem: str = self._stemmer(self.settings.language, 0).stemWord(word)
        return stem


def _two_by_two(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    for at in range(len(run) - 1):
        yield run[at : at + 2]


@cache
def _patterns(shortest: int) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """What plain splitting does not do, what finds all words then, and what begins a spaceless run.

    Python's ``\\w`` has no accents and vowel signs that are characters of their own; without them
    most words of Hindi would fall apart into letters.
    """
    signs = [
        chr(code)
        for code in range(0x300, 0x1F000)
        if unicodedata.category(chr(code)) in ("Mn", "Mc")
    ]
    # All beyond U+FFFF in one range, whatever it is: single ones would make the search slow.
    special = re.compile(f"[{SPACELESS}{''.join(one for one in signs if one <= BMP)}{BMP}-{LAST}]")
    letter = f"[^\\W{SPACELESS}]"
    every = re.compile(f"[{SPACELESS}]+|{letter}(?:{letter}|[{''.join(signs)}]){{{shortest - 1},}}")
    return special, every, re.compile(f"[{SPACELESS}]")


def words_of(language: str, pairs: bool = True) -> WordsSettings:
    """Stems and stop words of a language, stems alone where no stop words are known; of "plain"
    neither.

    Raises:
        SettingsError: there is no such language.
    """
    stems = WordsSettings(None if language == "plain" else language, None, pairs=pairs)
    Analyzer(stems)
    if stems.language is None:
        return stems
    with_stop_words = replace(stems, stop_words=language)
    try:
        Analyzer(with_stop_words)
    except SettingsError:
        return stems
    return with_stop_words


@cache
def _stop_words(language: str | None) -> frozenset[str]:
    from bm25s import stopwords

    prefix, english = "STOPWORDS_", {"en": "english", "en_plus": "english_plus"}
    lists = {name: name.removeprefix(prefix).lower() for name in vars(stopwords) if prefix in name}
    known = {english.get(own, own): frozenset(getattr(stopwords, n)) for n, own in lists.items()}
    _check("stop_words", language, sorted(known))
    return known[language] if language is not None else frozenset()


def _check(setting: str, language: str | None, known: list[str]) -> None:
    if language is not None and language not in known:
        raise SettingsError(
            f"{setting} is {language!r}; allowed are none and {', '.join(map(repr, known))}"
        )
