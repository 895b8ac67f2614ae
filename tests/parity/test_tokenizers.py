"""Ids, masks, decoded text and answers equal to those of Transformers, on real and hostile text."""

from __future__ import annotations

import json
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer

import dpr.tokens as ours

theirs = pytest.importorskip("transformers")

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAIRS = [
    ("DPRQuestionEncoderTokenizer", "DPRQuestionEncoderTokenizer"),
    ("DPRContextEncoderTokenizer", "DPRContextEncoderTokenizer"),
    ("DPRReaderTokenizerFast", "DPRReaderTokenizerFast"),
]
RANGES = [
    (0x00, 0x20),  # control characters
    (0x20, 0x7F),
    (0x80, 0x250),  # accents, C1 controls
    (0x300, 0x370),  # combining marks
    (0x370, 0x600),  # Greek, Cyrillic, Armenian, Hebrew
    (0x600, 0x900),  # Arabic and its neighbours
    (0x900, 0xE80),  # Indic scripts, Thai
    (0x1100, 0x1200),  # Hangul parts
    (0x2000, 0x2070),  # spaces, joiners, direction marks
    (0x3000, 0x30FF),  # CJK punctuation, kana
    (0x4E00, 0x9FFF),  # ideographs
    (0xAC00, 0xD7A4),  # Hangul syllables
    (0xF900, 0xFB10),  # compatibility ideographs, ligatures
    (0xFE00, 0xFFFE),  # variation selectors, half widths, the replacement character
    (0x1D400, 0x1D500),  # mathematical letters
    (0x1F300, 0x1FAFF),  # emoji
    (0x20000, 0x20100),  # further ideographs
    (0xE0000, 0xE0080),  # tags
    (0x10FFF0, 0x110000),  # private use, not characters
]
FIXED = [
    "",
    " ",
    "\n\t\r",
    "\x00",
    "\ufffd",
    "[SEP]",
    "[CLS] [SEP] [PAD] [MASK] [UNK]",
    "a[SEP]b[sep] [ SEP ]",
    "what is [MASK]?",
    "x" * 99 + " " + "x" * 100 + " " + "x" * 101,
    "word " * 2000,
    "İstanbul ß ﬁ Ǆ ŉ ΐ",
    "e\u0301\u0301\u0301 é",
    "👩‍👩‍👧‍👦 🏳️‍🌈 ☺️",
    "中文 文中abc中",
    "한국어 조선말",
    "नमस्ते ไทย",
    "\u202eright to left\u202c",
    "co\u00adop\u200bera\u2060tive",
    "‘quoted’ “text” — dash… №½²",
    "don't can't I'm we've you're it's .,?!",
    "##ing ##s #hashtag",
]


def hostile(count: int) -> list[str]:
    """Strings of every script, controls and special tokens, the same on every run."""
    rng = random.Random(20)
    texts = list(FIXED)
    while len(texts) < count:
        parts = []
        for _ in range(rng.randint(1, 12)):
            low, high = rng.choice(RANGES)
            parts += [chr(rng.randrange(low, high)) for _ in range(rng.randint(1, 8))]
            parts.append(rng.choice(["", " ", "love", "Paris", *SPECIAL]))
        texts.append("".join(parts))
    return texts


def from_squad(path: Path) -> Iterator[tuple[str, str, str]]:
    """Question, title and paragraph of each question."""
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                yield question["question"], article["title"], paragraph["context"]


@pytest.fixture(scope="module")
def triples(shared_data: Path) -> list[tuple[str, str, str]]:
    folder = shared_data / "squad"
    files = sorted(folder.rglob("*.json"))
    found = [triple for path in files for triple in from_squad(path)]
    assert len(found) > 5000
    return found


@pytest.fixture(scope="module")
def real(triples: list[tuple[str, str, str]]) -> list[str]:
    """More than 6,000 questions, titles and paragraphs."""
    return list(dict.fromkeys(text for triple in triples for text in triple))


def learnt(texts: list[str], size: int, path: Path) -> Path:
    """A cased vocabulary learnt from texts, and from the same texts lower-cased."""
    trained = Tokenizer(WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer(lowercase=False)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=size, special_tokens=SPECIAL, show_progress=False, min_frequency=1
    )
    trained.train_from_iterator([*texts, *(text.lower() for text in texts)], trainer)
    vocabulary = trained.get_vocab()
    path.write_text(
        "".join(f"{token}\n" for token in sorted(vocabulary, key=vocabulary.__getitem__)),
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def vocab_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary of the hostile strings and a little English, which needs no data."""
    english = [__doc__ or "", "Who wrote the song What Is Love? the artist Haddaway in Paris"] * 50
    path = tmp_path_factory.mktemp("hostile") / "vocab.txt"
    return learnt([*english, *hostile(400)], 6000, path)


@pytest.fixture(scope="module")
def real_vocab_file(tmp_path_factory: pytest.TempPathFactory, real: list[str]) -> Path:
    """A vocabulary of the real text."""
    return learnt(real[::3], 8000, tmp_path_factory.mktemp("real") / "vocab.txt")


def short(count: int) -> list[str]:
    """Of that many hostile strings those below 400 characters."""
    return [text for text in hostile(count) if len(text) < 400]


def both(names: tuple[str, str], vocab_file: Path, **keywords: Any) -> tuple[Any, Any]:
    # An explicit length, as theirs has none of its own.
    keywords = {"model_max_length": 512, **keywords}
    return (
        getattr(ours, names[0])(str(vocab_file), **keywords),
        getattr(theirs, names[1])(str(vocab_file), **keywords),
    )


def same(mine: Any, other: Any) -> None:
    assert list(mine) == list(other)
    for key in other:
        if isinstance(other[key], list):
            assert mine[key] == other[key], key
        else:
            np.testing.assert_array_equal(np.asarray(mine[key]), np.asarray(other[key]))
            assert mine[key].dtype == other[key].dtype


def check_all(mine: Any, other: Any, texts: list[str]) -> None:
    keywords: Any = {
        "return_offsets_mapping": True,
        "return_special_tokens_mask": True,
        "return_token_type_ids": True,
        "verbose": False,
    }
    for at in range(0, len(texts), 500):
        part = texts[at : at + 500]
        same(mine(part, **keywords), other(part, **keywords))


@pytest.mark.parametrize("names", PAIRS)
def test_ids_of_hostile_text(names: tuple[str, str], vocab_file: Path) -> None:
    check_all(*both(names, vocab_file), hostile(4000))


def test_ids_of_hostile_text_cased(vocab_file: Path) -> None:
    # Transformers' DPR classes ignore do_lower_case, its BERT class does not.
    names = ("DPRContextEncoderTokenizer", "BertTokenizer")
    check_all(*both(names, vocab_file, do_lower_case=False), hostile(4000))


@pytest.mark.parametrize(
    "keywords",
    [
        {"strip_accents": False},
        {"strip_accents": True, "do_lower_case": False},
        {"tokenize_chinese_chars": False},
        {"split_special_tokens": True},
    ],
    ids=str,
)
def test_ids_by_every_normaliser_setting(vocab_file: Path, keywords: dict[str, bool]) -> None:
    names = ("DPRQuestionEncoderTokenizer", "BertTokenizer")
    check_all(*both(names, vocab_file, **keywords), hostile(1000))


@pytest.mark.parametrize("lower", [True, False])
def test_ids_of_real_text(real_vocab_file: Path, real: list[str], lower: bool) -> None:
    names = ("DPRContextEncoderTokenizer", "BertTokenizer")
    check_all(*both(names, real_vocab_file, do_lower_case=lower), real)


CALLS: list[dict[str, Any]] = [
    {},
    {"add_special_tokens": False},
    {"padding": True},
    {"padding": "max_length", "truncation": True},
    {"padding": "max_length", "max_length": 24, "truncation": True},
    {"padding": True, "max_length": 24, "truncation": "longest_first"},
    {"max_length": 16},
    {"padding": True, "pad_to_multiple_of": 8, "padding_side": "left"},
    {"padding": "longest", "truncation": True, "max_length": 24, "pad_to_multiple_of": 8},
    {"truncation": "do_not_truncate", "padding": "do_not_pad"},
    {"truncation": True, "max_length": 20, "padding": True, "return_tensors": "np"},
    {"truncation": True, "max_length": 20, "padding": True, "return_tensors": "pt"},
    {"return_attention_mask": False, "return_token_type_ids": True, "return_length": True},
    {"truncation": True, "max_length": 20, "stride": 5, "return_overflowing_tokens": True},
    {
        "truncation": True,
        "max_length": 20,
        "padding": "max_length",
        "stride": 4,
        "return_overflowing_tokens": True,
        "return_special_tokens_mask": True,
        "return_offsets_mapping": True,
        "return_tensors": "np",
    },
]


@pytest.mark.parametrize("keywords", CALLS, ids=str)
@pytest.mark.parametrize("names", PAIRS[1:])
def test_batches_by_every_option(
    names: tuple[str, str], vocab_file: Path, keywords: dict[str, Any]
) -> None:
    mine, other = both(names, vocab_file)
    texts = short(200)
    keywords = {"verbose": False, **keywords}
    same(mine(texts, **keywords), other(texts, **keywords))
    pairs = list(reversed(texts))
    if not keywords.get("return_overflowing_tokens"):
        same(mine(texts, pairs, **keywords), other(texts, pairs, **keywords))
    same(mine(texts[30], **keywords), other(texts[30], **keywords))


@pytest.mark.parametrize("side", ["left", "right"])
def test_sides_and_single_sequence_truncation(vocab_file: Path, side: str) -> None:
    mine, other = both(PAIRS[0], vocab_file, padding_side=side, truncation_side=side)
    texts = [text for text in hostile(150) if len(other.tokenize(text)) < 60]
    long = ["love " * 600] * len(texts)
    for strategy, ordered in (("only_first", (long, texts)), ("only_second", (texts, long))):
        keywords = {"truncation": strategy, "max_length": 80, "padding": True}
        same(mine(*ordered, **keywords), other(*ordered, **keywords))


def test_words_given_as_lists(vocab_file: Path) -> None:
    mine, other = both(PAIRS[1], vocab_file)
    words = [text.split(" ") for text in short(300)]
    same(
        mine(words, is_split_into_words=True, padding=True),
        other(words, is_split_into_words=True, padding=True),
    )
    batch, expected = (t(words, is_split_into_words=True) for t in (mine, other))
    for row in range(0, len(words), 17):
        assert batch.word_ids(row) == expected.word_ids(row)
        assert batch.tokens(row) == expected.tokens(row)


def test_lookups_between_characters_and_tokens(vocab_file: Path) -> None:
    mine, other = both(PAIRS[1], vocab_file)
    texts = short(60)
    batch, expected = (t(texts, texts[::-1]) for t in (mine, other))
    for row, text in enumerate(texts):
        assert batch.sequence_ids(row) == expected.sequence_ids(row)
        for char in range(min(len(text), 30)):
            assert batch.char_to_token(row, char) == expected.char_to_token(row, char)
            assert batch.char_to_word(row, char) == expected.char_to_word(row, char)
        for token in range(min(len(batch.input_ids[row]), 20)):
            assert batch.token_to_chars(row, token) == expected.token_to_chars(row, token)
            assert batch.token_to_word(row, token) == expected.token_to_word(row, token)
            assert batch.token_to_sequence(row, token) == expected.token_to_sequence(row, token)


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("clean", [True, False, None])
def test_decoding(vocab_file: Path, skip: bool, clean: bool | None) -> None:
    mine, other = both(PAIRS[0], vocab_file)
    rng = random.Random(5)
    ids = [[rng.randrange(len(mine)) for _ in range(rng.randint(0, 30))] for _ in range(400)]
    ids += mine(short(400))["input_ids"]
    keywords: Any = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
    assert mine.batch_decode(ids, **keywords) == other.batch_decode(ids, **keywords)
    for row in ids[390:410]:
        assert mine.decode(row, **keywords) == other.decode(row, **keywords)
        assert mine.convert_ids_to_tokens(row, skip) == other.convert_ids_to_tokens(row, skip)


def test_padding_of_ids(vocab_file: Path) -> None:
    mine, other = both(PAIRS[0], vocab_file)
    encoded = dict(other(["love", "who wrote the song", "a b c d e f g"]))
    examples = [{key: encoded[key][i] for key in encoded} for i in range(3)]
    for keywords in (
        {},
        {"padding": "max_length", "max_length": 20},
        {"pad_to_multiple_of": 8, "padding_side": "left"},
        {"return_tensors": "pt"},
        {"padding": False},
    ):
        for given in (encoded, examples):
            expected = other.pad(
                [dict(e) for e in given] if given is examples else dict(given), **keywords
            )
            same(mine.pad(given, **keywords), expected)


# The reader


def test_reader_ids_of_question_title_and_text(
    real_vocab_file: Path, triples: list[tuple[str, str, str]]
) -> None:
    mine, other = both(("DPRReaderTokenizer", "DPRReaderTokenizer"), real_vocab_file)
    questions, titles, texts = (list(column) for column in zip(*triples[::8], strict=True))
    same(mine(questions, titles, texts, verbose=False), other(questions, titles, texts))
    made = mine(questions, titles, texts, truncation=True, max_length=150, padding="max_length")
    expected = other(
        questions, titles, texts, truncation=True, max_length=150, padding="max_length"
    )
    same(made, expected)
    assert sum(cut > 0 for cut in made.truncated) > 50


@pytest.mark.parametrize("kind", [None, "np", "pt"])
def test_reader_ids_of_hostile_text(vocab_file: Path, kind: str | None) -> None:
    mine, other = both(("DPRReaderTokenizerFast", "DPRReaderTokenizerFast"), vocab_file)
    # Written-out padding is the one thing that differs, on purpose.
    texts = [text.replace("[PAD]", "") for text in short(900)]
    columns = texts[:250], texts[250:500], texts[500:750]
    keywords: dict[str, Any] = {"padding": True, "return_tensors": kind}
    same(mine(*columns, **keywords), other(*columns, **keywords))
    same(mine("who", *columns[1:], **keywords), other("who", *columns[1:], **keywords))
    same(mine(columns[0]), other(columns[0]))
    same(mine(columns[0], None, columns[2]), other(columns[0], None, columns[2]))


def test_decoded_answers_where_they_start_after_the_question(vocab_file: Path) -> None:
    mine, other = both(("DPRReaderTokenizer", "DPRReaderTokenizer"), vocab_file)
    rng = np.random.default_rng(3)
    words = ["love", "song", "Paris", "who", "wrote", "the", "artist", "in"]
    rows = 0
    for batch in range(125):
        texts = [" ".join(rng.choice(words, rng.integers(1, 25))) for _ in range(8)]
        inputs = mine("who wrote it", ["love"] * 8, texts, padding=True, return_tensors="np")
        shape = inputs["input_ids"].shape
        # Every other batch has many equal logits, so that the order among equals shows.
        step = None if batch % 2 else 2.0
        start, end = (rng.normal(size=shape).astype(np.float32) * 4 for _ in range(2))
        relevance = rng.normal(size=8).astype(np.float32)
        if step:
            start, end, relevance = (np.round(x / step) * step for x in (start, end, relevance))
        limits = {
            "num_spans": int(rng.integers(1, 40)),
            "max_answer_length": int(rng.integers(1, 64)),
            "num_spans_per_passage": int(rng.integers(1, 8)),
        }
        output = (start, end, relevance)
        found = mine.decode_best_spans(inputs, output, **limits, legacy_passage_offset=True)
        expected = other.decode_best_spans(inputs, output, **limits)
        assert [tuple(span) for span in found] == [tuple(span) for span in expected]
        assert found[0]._fields == expected[0]._fields
        rows += shape[0]
    assert rows == 1000


# Folders


def saved_by_theirs(tokenizer: Any, folder: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=FutureWarning)
        tokenizer.save_pretrained(folder)


@pytest.mark.parametrize("names", PAIRS)
def test_theirs_loads_what_ours_saves(
    names: tuple[str, str], vocab_file: Path, tmp_path: Path
) -> None:
    mine = getattr(ours, names[0])(vocab_file)
    mine.add_tokens(["newword", "[ENT]"])
    mine.save_pretrained(tmp_path)
    loaded = getattr(theirs, names[1]).from_pretrained(tmp_path)
    assert loaded.model_max_length == 512
    assert len(loaded) == len(mine)
    check_all(mine, loaded, [*hostile(500), "a newword [ENT] b"])
    auto = theirs.AutoTokenizer.from_pretrained(tmp_path)
    check_all(mine, auto, [*hostile(500), "a newword [ENT] b"])


def test_theirs_loads_a_cased_one_through_its_bert_class(vocab_file: Path, tmp_path: Path) -> None:
    mine = ours.DPRContextEncoderTokenizer(vocab_file, do_lower_case=False)
    mine.save_pretrained(tmp_path)
    check_all(mine, theirs.BertTokenizer.from_pretrained(tmp_path), hostile(500))


@pytest.mark.parametrize("names", PAIRS)
def test_ours_loads_what_theirs_saves(
    names: tuple[str, str], vocab_file: Path, tmp_path: Path
) -> None:
    other = getattr(theirs, names[1])(str(vocab_file), model_max_length=256)
    other.add_special_tokens({"extra_special_tokens": ["[ENT]"]})
    other.add_tokens(["newword"])
    saved_by_theirs(other, tmp_path)
    mine = getattr(ours, names[0]).from_pretrained(tmp_path)
    assert mine.model_max_length == 256
    assert mine.all_special_ids == other.all_special_ids
    assert mine.get_vocab() == other.get_vocab()
    check_all(mine, other, [*hostile(500), "a newword [ENT] b"])
