"""Words: as bm25s splits and stems them, and where it would find nothing."""

from __future__ import annotations

import unicodedata
from dataclasses import asdict

import bm25s
import pytest
import Stemmer
from hypothesis import given
from hypothesis import strategies as st

from dpr.errors import SettingsError
from dpr.indexes.analysis import Analyzer, WordsSettings, words_of

# Scripts whose words have spaces between them and no signs of their own; several letters that
# change length or form when lowered.
LATIN_AND_MORE = "aAbBzZ eEiInN ÄäÉéßØøŁłŞşżДдЖжΣσςΩω 019_ .,;:!?-'’“”()\n\t€…–"


def peers(text: str, **options: object) -> list[str]:
    options = {"stopwords": "en", "stemmer": Stemmer.Stemmer("english"), **options}
    (words,) = bm25s.tokenize([text], return_ids=False, show_progress=False, **options)
    return words


@given(
    st.lists(st.text(LATIN_AND_MORE, max_size=12) | st.sampled_from(["the", "Of", "running"])).map(
        " ".join
    )
)
def test_words_are_those_of_bm25s(text: str) -> None:
    text = unicodedata.normalize("NFKC", text)
    assert Analyzer(WordsSettings()).words(text) == peers(text)


@given(st.text(max_size=30))
def test_any_text_has_the_words_of_its_normal_form(text: str) -> None:
    analyzer = Analyzer(WordsSettings())
    words = analyzer.words(text)
    assert all(words)
    assert words == analyzer.words(unicodedata.normalize("NFKC", text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("東京は", ["東京", "京は"]),
        ("猫。犬", ["猫", "犬"]),
        ("東京tower、２０２０年", ["東京", "tower", "2020", "年"]),
        ("ﾄｳｷｮｳ", ["トウ", "ウキ", "キョ", "ョウ"]),
        ("ภาษา", ["ภา", "าษ", "ษา"]),
        ("𠀀𠀁", ["𠀀𠀁"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("Cafe\u0301 café", ["café", "café"]),
        ("한국어 사전", ["한국어", "사전"]),
        ("", []),
    ],
)
def test_scripts_that_bm25s_finds_little_in(text: str, words: list[str]) -> None:
    assert Analyzer(WordsSettings()).words(text) == words


def test_what_the_settings_choose() -> None:
    text = "The vitamin C of 7 running foxes, la piñata é"
    plain = Analyzer(WordsSettings(language=None, stop_words=None))
    assert plain.words(text) == ["the", "vitamin", "of", "running", "foxes", "la", "piñata"]
    short = Analyzer(WordsSettings(shortest=1)).words(text)
    assert short == ["vitamin", "c", "7", "run", "fox", "la", "piñata", "é"]
    spanish = Analyzer(WordsSettings(language="spanish", stop_words="spanish"))
    assert spanish.words("la casa de las piñatas") == ["cas", "piñat"]
    assert Analyzer(WordsSettings(shortest=4)).words("foxes are red") == ["fox"]
    assert WordsSettings(**asdict(WordsSettings(title=2))) == WordsSettings(title=2)


def test_what_is_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"language is 'klingon'; allowed are none and 'arabic'"
    ):
        Analyzer(WordsSettings(language="klingon"))
    with pytest.raises(SettingsError, match=r"stop_words is 'en'; .*'english', 'english_plus'"):
        Analyzer(WordsSettings(stop_words="en"))
    with pytest.raises(SettingsError, match="title is -1"):
        WordsSettings(title=-1)
    with pytest.raises(SettingsError, match="shortest is 0"):
        WordsSettings(shortest=0)
    with pytest.raises(SettingsError, match="text is True"):
        WordsSettings(text=True)
    with pytest.raises(SettingsError, match="both count 0 times"):
        WordsSettings(title=0, text=0)


def test_settings_of_a_language() -> None:
    assert words_of("german") == WordsSettings(language="german", stop_words="german")
    assert words_of("plain") == WordsSettings(language=None, stop_words=None)
    assert words_of("yiddish") == WordsSettings(language="yiddish", stop_words=None)
    assert words_of("english", pairs=False) == WordsSettings(pairs=False)
    with pytest.raises(SettingsError, match="klingon"):
        words_of("klingon")
