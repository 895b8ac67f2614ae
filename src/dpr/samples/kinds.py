"""The kinds of training pairs that a passage gives: each a function of its own, and its source.

Takes a passage with those around it, a source of chance and settings; gives samples, in an order
that chance decides, until there are no more or there were ``per_passage`` of them. Knows nothing of
how kinds are mixed.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from dpr.corpus.sentences import sentence_spans
from dpr.corpus.split import CJK
from dpr.questions.pseudo import cloze_question
from dpr.records import Passage
from dpr.samples.files import Context, TrainingSample

if TYPE_CHECKING:
    from dpr.samples.keywords import WordWeights
    from dpr.samples.pair_settings import PairSettings

TELLING = 3  # times as many words as a question has are drawn from
BESIDE = 8  # passages beside one that are told to have its title or section, at most
_WORDS = re.compile(rf"[{CJK}]|[^\s{CJK}]+")
_LETTER = re.compile(r"[^\W\d_]")
_MARKS = " \t\n\r.,;:!?…\"“”„‘’'`«»‹›*_~-–—|/\\。．，、；：！？｡「」『』《》〈〉【】॥।؟۔،"
_LEAD = _MARKS + "#>=+•·"
_BRACKETS = {")": "(", "]": "[", "}": "{", "）": "（"}


@dataclass(frozen=True, slots=True)
class Place:
    """A passage among those of its document.

    Attributes:
        document: passages in their order.
        at: which of them it is.
        weights: of words; None where no keywords are wanted.
    """

    document: Sequence[Passage]
    at: int
    weights: WordWeights | None = None

    @property
    def passage(self) -> Passage:
        return self.document[self.at]


Span = tuple[int, int]
Kind = Callable[[Place, random.Random, "PairSettings"], Iterator[TrainingSample]]


def as_typed(text: str) -> str:
    """A text as people type questions: on one line, without marks, quotes and brackets around."""
    text = " ".join(text.split()).lstrip(_LEAD).rstrip(_MARKS)
    while True:
        if text[:1] in _BRACKETS.values() or text[:1] in _BRACKETS:
            text = text[1:].lstrip(_LEAD)
        elif text[-1:] in _BRACKETS.values() or (
            text[-1:] in _BRACKETS and _BRACKETS[text[-1]] not in text
        ):
            text = text[:-1].rstrip(_MARKS)
        else:
            return text


def cloze(place: Place, chance: random.Random, settings: PairSettings) -> Iterator[TrainingSample]:
    """Inverse cloze (Lee et al. 2019, "Latent Retrieval for Weakly Supervised Open Domain Question
    Answering"): a sentence asks for the passage that it was taken out of. In ``keep_sentence``
    of the cases it stays in: words that both share are of use too. The paper keeps a tenth."""
    text = place.passage.text
    for start, end in _sentences(text, chance, settings):
        rest = text
        if chance.random() >= settings.keep_sentence:
            rest = f"{text[:start].rstrip()} {text[end:].lstrip()}".strip()
        if len(_WORDS.findall(rest)) >= settings.fewest_words:
            yield _sample(_some_words(text[start:end], chance, settings), place.passage, rest)


def sentence(
    place: Place, chance: random.Random, settings: PairSettings
) -> Iterator[TrainingSample]:
    """A sentence of the passage, which stays in it: as Chen et al. 2021, "Salient Phrase Aware
    Dense Retrieval", teach a dense retriever what BM25 finds for sentences; their labels are
    BM25's own lists, which mining with BM25 as the teacher adds."""
    text = place.passage.text
    for start, end in _sentences(text, chance, settings):
        yield _sample(_some_words(text[start:end], chance, settings), place.passage, text)


def crops(place: Place, chance: random.Random, settings: PairSettings) -> Iterator[TrainingSample]:
    """Independent cropping (Izacard et al. 2021, "Unsupervised Dense Information Retrieval with
    Contrastive Learning"): words in a row ask for another run of the same passage's words,
    drawn on its own, so that the two may overlap. Unlike in the paper the first is as long as a
    question, the second at least ``shortest_crop`` of the passage."""
    text = place.passage.text
    words = [match.span() for match in _WORDS.finditer(text)]
    if len(words) < 2 * settings.fewest_words:
        return
    most = min(settings.most_words, len(words))
    least = max(settings.fewest_words, ceil(settings.shortest_crop * len(words)))
    for _ in range(settings.per_passage):
        start, end = _run(words, chance.randint(settings.fewest_words, most), chance)
        first, last = _run(words, chance.randint(least, len(words)), chance)
        yield _sample(as_typed(text[start:end]), place.passage, text[first:last])


def neighbours(
    place: Place, chance: random.Random, settings: PairSettings
) -> Iterator[TrainingSample]:
    """A sentence asks for the passage beside its own: two spans of one document, as Gao & Callan
    2022, "Unsupervised Corpus Aware Language Model Pre-training", train. Its own passage is a
    positive too, though not the first, and so never a negative."""
    beside = [at for at in (place.at - 1, place.at + 1) if 0 <= at < len(place.document)]
    chance.shuffle(beside)
    for other in (place.document[at] for at in beside):
        for start, end in _sentences(other.text, chance, settings):
            question = _some_words(other.text[start:end], chance, settings)
            yield _sample(question, place.passage, place.passage.text, also=[other])
            break


def title(place: Place, chance: random.Random, settings: PairSettings) -> Iterator[TrainingSample]:
    """The title asks for the passage, as of web pages in Wang et al. 2022, "Text Embeddings by
    Weakly-Supervised Contrastive Pre-training". The passage is without it here, or it would be
    found by the title alone. Passages beside it with the same title are positives too."""
    passage = place.passage
    question = as_typed(passage.title)
    if _LETTER.search(question):
        also = [one for one in _beside(place) if one.title == passage.title]
        yield _sample(question, passage, passage.text, also=also, titled=False)


def section(
    place: Place, chance: random.Random, settings: PairSettings
) -> Iterator[TrainingSample]:
    """Title and heading ask for a passage of that section (Wang et al. 2022, as of Wikipedia's
    articles). Both are left out of the passage, where it begins with the heading."""
    passage = place.passage
    heading = as_typed(passage.section)
    if not _LETTER.search(heading) or heading == as_typed(passage.title):
        return
    head, _, rest = passage.text.partition("\n")
    text = rest.strip() if as_typed(head) == heading else passage.text
    if len(_WORDS.findall(text)) >= settings.fewest_words:
        also = [
            one
            for one in _beside(place)
            if (one.title, one.section) == (passage.title, passage.section)
        ]
        question = f"{as_typed(passage.title)} {heading}".strip()
        yield _sample(question, passage, text, also=also, titled=False)


def pseudo(place: Place, chance: random.Random, settings: PairSettings) -> Iterator[TrainingSample]:
    """A sentence with a name, date or number taken out asks for it: see ``dpr.questions.pseudo``
    (Lewis et al. 2019). The only kind with an answer, whose place in the passage is kept."""
    passage = place.passage
    for _ in range(settings.per_passage):
        made = cloze_question(passage, chance)
        if made is None:
            return
        span = made.start, made.start + len(made.answer)
        context = Context(passage.text, passage.title, passage.id, (span,))
        if len(_WORDS.findall(made.question)) >= settings.fewest_words:
            yield TrainingSample(made.question, (made.answer,), (context,))


def keywords(
    place: Place, chance: random.Random, settings: PairSettings
) -> Iterator[TrainingSample]:
    """The most telling words of title and text, in their order, ask for the passage: drawn by
    BM25's weights as Ma et al. 2021, "PROP", draw words by a language model of the document. They
    ask as people ask search engines, and teach what BM25 ranks where mining adds its scores."""
    from dpr.samples.keywords import draw_words

    if place.weights is None:
        return
    passage = place.passage
    weighed = place.weights.weigh(f"{passage.title} {passage.text}")
    fewest = min(settings.fewest_words, settings.keywords)
    if len(weighed) < fewest:
        return
    least = sorted((weight for _, weight in weighed), reverse=True)[: TELLING * settings.keywords]
    telling = [one for one in weighed if one[1] >= least[-1]]
    for _ in range(settings.per_passage):
        words = draw_words(telling, chance.randint(fewest, settings.keywords), chance)
        yield _sample(" ".join(words), passage, passage.text)


KINDS: dict[str, Kind] = {
    "cloze": cloze,
    "sentence": sentence,
    "crops": crops,
    "neighbours": neighbours,
    "title": title,
    "section": section,
    "pseudo": pseudo,
    "keywords": keywords,
}


def _sample(
    question: str,
    passage: Passage,
    text: str,
    *,
    also: Sequence[Passage] = (),
    titled: bool = True,
) -> TrainingSample:
    first = Context(text, passage.title if titled else "", passage.id)
    others = (Context(one.text, one.title, one.id) for one in also)
    return TrainingSample(question, (), (first, *others))


def _sentences(text: str, chance: random.Random, settings: PairSettings) -> Iterator[Span]:
    """Sentences that are long enough to ask with, in an order that chance decides."""
    spans = list(sentence_spans(text, 0, len(text)))
    chance.shuffle(spans)
    for start, end in spans:
        asked = as_typed(text[start:end])
        if _LETTER.search(asked) and len(_WORDS.findall(asked)) >= settings.fewest_words:
            yield start, end


def _some_words(text: str, chance: random.Random, settings: PairSettings) -> str:
    """A sentence to ask with; of a longer one some words in a row."""
    words = [match.span() for match in _WORDS.finditer(text)]
    if len(words) > settings.most_words:
        start, end = _run(words, settings.most_words, chance)
        return as_typed(text[start:end])
    return as_typed(text)


def _run(words: Sequence[Span], count: int, chance: random.Random) -> Span:
    """Where ``count`` words in a row begin and end."""
    first = chance.randint(0, len(words) - count)
    return words[first][0], words[first + count - 1][1]


def _beside(place: Place) -> list[Passage]:
    """The passages nearest to one in its document."""
    first = max(0, place.at - BESIDE // 2)
    window = place.document[first : place.at + BESIDE // 2 + 1]
    return [one for one in window if one is not place.passage]
