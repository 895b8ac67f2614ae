"""Settings of training pairs: plain values, checked when they are made.

Takes what a person chose; gives a frozen record. Knows nothing of how pairs are made, so that a
command line can show the defaults without loading it.
"""

from __future__ import annotations

from dataclasses import dataclass

from dpr.errors import SettingsError

KEYWORDS = "keywords"
NAMES = ("cloze", "sentence", "crops", "neighbours", "title", "section", "pseudo", KEYWORDS)


@dataclass(frozen=True, slots=True)
class PairSettings:
    """Which pairs are made of a passage.

    Attributes:
        kinds: kinds of pairs, with commas between, each with its share where they are not equal:
            "crops:2,title:1". There are cloze, sentence, crops, neighbours, title, section, pseudo
            and keywords. Where a passage gives nothing of a kind, the others fill in.
        per_passage: pairs a passage, at most.
        keep_sentence: of clozes, how often the sentence that is asked stays in the passage.
        fewest_words: words of a question, at least; titles and sections may have fewer.
        most_words: words of a question; of a longer sentence some words in a row are taken.
        keywords: words of a question of keywords, at most.
        shortest_crop: the least part of a passage that crops are to find.
        language: whose stems and stop words keywords know, as dpr index --words; or plain.
        seed: of what is drawn.
    """

    kinds: str = "crops"
    per_passage: int = 1
    keep_sentence: float = 0.1
    fewest_words: int = 4
    most_words: int = 24
    keywords: int = 6
    shortest_crop: float = 0.5
    language: str = "english"
    seed: int = 0

    def __post_init__(self) -> None:
        parse_kinds(self.kinds)
        for name in ("per_passage", "fewest_words", "most_words", "keywords"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise SettingsError(f"{name}={value!r}; give a whole number of at least 1")
        if self.most_words < self.fewest_words:
            raise SettingsError(
                f"most_words={self.most_words} is below fewest_words={self.fewest_words}; give at "
                "least as many"
            )
        for name in ("keep_sentence", "shortest_crop"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name}={getattr(self, name)}; give a number of 0 to 1")

    @property
    def shares(self) -> dict[str, float]:
        """The kinds and how often each is taken, relative to the others."""
        return parse_kinds(self.kinds)


def parse_kinds(text: str) -> dict[str, float]:
    """What ``kinds`` says: "cloze,title:0.5" is {"cloze": 1.0, "title": 0.5}.

    Raises:
        SettingsError: there is no such kind, one is named twice, or a share is no number above 0.
    """
    found: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (piece.strip() for piece in part.partition(":"))
        if name not in NAMES:
            raise SettingsError(f"kinds={text!r}: {name!r} is none of {', '.join(NAMES)}")
        if name in found:
            raise SettingsError(f"kinds={text!r} names {name} twice; name each kind once")
        try:
            found[name] = float(share or 1)
        except ValueError:
            found[name] = 0.0
        if not 0 < found[name] < float("inf"):
            raise SettingsError(
                f"kinds={text!r}: the share of {name} is {share!r}; give a number above 0"
            )
    return found
