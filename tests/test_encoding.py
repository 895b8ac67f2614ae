from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dpr import encoding
from dpr.encoding import ContextEncoder, EncodingSettings, QuestionEncoder, inference_device
from dpr.errors import InputError, SettingsError
from dpr.models import DPRConfig, DPRContextEncoder, DPRQuestionEncoder
from dpr.records import Passage, Question
from dpr.settings import save_settings
from dpr.shipped import find_models
from dpr.tokens import DPRContextEncoderTokenizer, passage_ids

PASSAGES = [
    Passage(str(n), " ".join(["the king lives in a castle"] * (1 + 7 * n % 11)), "tale" * (n % 2))
    for n in range(12)
]


def test_vectors_equal_the_plain_way(tiny_model: Path) -> None:
    """One padded forward a passage, through the public model."""
    encoder = ContextEncoder.from_pretrained(tiny_model / "encoder")
    vectors = encoder.encode(PASSAGES)
    assert vectors.dtype == np.float32
    assert vectors.shape == (12, encoder.dim) == (12, 32)
    model = DPRContextEncoder.from_pretrained(tiny_model / "encoder")
    tokenizer = DPRContextEncoderTokenizer.from_pretrained(tiny_model / "encoder")
    for passage, vector in zip(PASSAGES, vectors, strict=True):
        ids, _ = passage_ids(tokenizer, [passage.title], [passage.text])
        with torch.no_grad():
            expected = model(torch.tensor(ids)).pooler_output[0].numpy()
        assert np.allclose(vector, expected, atol=1e-5)


def test_batch_size_does_not_matter_beyond_rounding(tiny_model: Path) -> None:
    small = ContextEncoder.from_pretrained(
        tiny_model / "encoder", EncodingSettings(batch_tokens=1)
    ).encode(PASSAGES)
    large = ContextEncoder.from_pretrained(tiny_model / "encoder").encode(PASSAGES)
    assert np.allclose(small, large, atol=1e-5)


def test_the_same_list_gives_the_same_bytes(tiny_model: Path) -> None:
    encoder = ContextEncoder.from_pretrained(tiny_model / "encoder")
    assert encoder.encode(PASSAGES).tobytes() == encoder.encode(PASSAGES).tobytes()


def test_cut_texts_are_counted(tiny_model: Path) -> None:
    settings = EncodingSettings(max_length=16)  # [CLS] and [SEP] leave room for 14 words
    encoder = ContextEncoder.from_pretrained(tiny_model / "encoder", settings)
    encoder.encode(
        [Passage("a", "one " * 14), Passage("b", "one " * 15), Passage("c", "one " * 99)]
    )
    assert encoder.truncated == 2


def test_settings_beside_the_weights_are_taken(tiny_model: Path, tmp_path: Path) -> None:
    QuestionEncoder.from_pretrained(tiny_model / "encoder").model.save_pretrained(tmp_path)
    DPRContextEncoderTokenizer.from_pretrained(tiny_model / "encoder").save_pretrained(tmp_path)
    save_settings(EncodingSettings(max_length=20), tmp_path / "encoding.json")
    assert QuestionEncoder.from_pretrained(tmp_path).settings["max_length"] == 20


def test_a_model_of_few_positions_takes_shorter_texts(tiny_model: Path) -> None:
    encoder = ContextEncoder.from_pretrained(tiny_model / "encoder")
    config = DPRConfig.from_dict(encoder.model.config.to_dict(), max_position_embeddings=64)
    small = DPRContextEncoder(config)
    assert ContextEncoder(small, encoder.tokenizer).settings["max_length"] == 64


def test_fingerprints_tell_towers_weights_settings_and_vocabularies_apart(tiny_model: Path) -> None:
    place = tiny_model / "encoder"
    question, context = (
        QuestionEncoder.from_pretrained(place),
        ContextEncoder.from_pretrained(place),
    )
    assert question.fingerprint == QuestionEncoder.from_pretrained(place).fingerprint
    shorter = QuestionEncoder.from_pretrained(place, EncodingSettings(max_length=20))
    other = QuestionEncoder.from_pretrained(place)
    with torch.no_grad():
        other.model.stack.embeddings.word_embeddings.weight[7, 3] += 1e-3
    cased = QuestionEncoder.from_pretrained(place)
    cased.tokenizer = type(cased.tokenizer).from_pretrained(place, do_lower_case=False)
    prints = [one.fingerprint for one in (question, context, shorter, other, cased)]
    assert len(set(prints)) == 5


def test_a_fingerprint_is_the_same_in_another_process(tiny_model: Path) -> None:
    place = tiny_model / "encoder"
    code = (
        "import sys; from dpr.encoding import QuestionEncoder;"
        "print(QuestionEncoder.from_pretrained(sys.argv[1]).fingerprint)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == QuestionEncoder.from_pretrained(place).fingerprint


def test_settings_outside_what_is_allowed(tiny_model: Path) -> None:
    with pytest.raises(SettingsError, match="max_length=4"):
        EncodingSettings(max_length=4)
    with pytest.raises(SettingsError, match="512 positions"):
        QuestionEncoder.from_pretrained(tiny_model / "encoder", EncodingSettings(max_length=513))


# What the fingerprints of the dpr-mini that is shipped are: collections are opened by them.
SHIPPED = {
    QuestionEncoder: "d35177cbcf5879b67bf44eae016754742ef6dfa1255d850bee4801f414bbc0ec",
    ContextEncoder: "93b4da796384552b8e10a87ce463f7357966a1c5cd0e77e4bdcfd80891c7c492",
}


@pytest.mark.slow
def test_the_shipped_models_fingerprints_stay() -> None:
    place = find_models().question
    for kind, expected in SHIPPED.items():
        assert kind.from_pretrained(place).fingerprint == expected


def test_mean_pooling_and_length_one_equal_the_plain_way(tiny_model: Path) -> None:
    settings = EncodingSettings(pooling="mean", normalize=True, prompt="query: ")
    encoder = QuestionEncoder.from_pretrained(tiny_model / "encoder", settings)
    asked = ["who wrote the tale?", "what is the king " * 9]
    vectors = encoder.encode(asked)
    model = DPRQuestionEncoder.from_pretrained(tiny_model / "encoder")
    for question, vector in zip(asked, vectors, strict=True):
        ids = encoder.tokenizer(f"query: {question}")["input_ids"]
        with torch.no_grad():
            out = model(torch.tensor([ids]), output_hidden_states=True)
        mean = out.hidden_states[-1][0].mean(0)
        assert np.allclose(vector, mean / mean.norm(), atol=1e-5)


def test_a_prompt_stands_before_what_is_read_first(tiny_model: Path) -> None:
    plain = ContextEncoder.from_pretrained(tiny_model / "encoder")
    settings = EncodingSettings(prompt="passage: ")
    prompted = ContextEncoder.from_pretrained(tiny_model / "encoder", settings)
    given = [Passage("1", "the king", "tale"), Passage("2", "the king")]
    meant = [Passage("1", "the king", "passage: tale"), Passage("2", "passage: the king")]
    assert np.array_equal(prompted.encode(given), plain.encode(meant))


def test_apostrophes_of_questions_are_plain_where_the_model_was_trained_so(
    tiny_model: Path,
) -> None:
    place = tiny_model / "encoder"
    usual = QuestionEncoder.from_pretrained(place)
    literal = QuestionEncoder.from_pretrained(place, EncodingSettings(plain_apostrophes=False))
    typographic, plain = ["the king’s castle"], ["the king's castle"]
    assert np.array_equal(usual.encode(typographic), usual.encode(plain))
    assert np.array_equal(literal.encode(plain), usual.encode(plain))
    assert not np.allclose(literal.encode(typographic), literal.encode(plain), atol=1e-4)


def test_each_new_setting_is_in_the_fingerprint_and_only_where_it_differs(
    tiny_model: Path,
) -> None:
    place = tiny_model / "encoder"
    assert set(QuestionEncoder.from_pretrained(place).settings) == {
        *("tower", "max_length", "dtype", "dim")
    }
    changes: list[dict[str, object]] = [
        *({}, {"pooling": "mean"}, {"normalize": True}, {"prompt": "query: "}),
        {"plain_apostrophes": False},
    ]
    encoders = [
        QuestionEncoder.from_pretrained(place, EncodingSettings(**one))  # type: ignore[arg-type]
        for one in changes
    ]
    assert len({encoder.fingerprint for encoder in encoders}) == len(changes)
    for change, encoder in zip(changes, encoders, strict=True):
        assert change.items() <= encoder.settings.items()


def test_rows_and_records_are_encoded_as_texts_are(tiny_model: Path) -> None:
    question = QuestionEncoder.from_pretrained(tiny_model / "encoder")
    text = "who is the king?"
    for asked in (Question("7", text), {"text": text}, {"question": text}, {"query": text}):
        assert np.array_equal(question.encode([asked]), question.encode([text]))
    context = ContextEncoder.from_pretrained(tiny_model / "encoder")
    rows = [{"title": "tale", "text": "one two"}, {"title": None, "text": "six"}, {"text": "ten"}]
    passages = [Passage("1", "one two", "tale"), Passage("2", "six"), Passage("3", "ten")]
    assert np.array_equal(context.encode(rows), context.encode(passages))
    assert np.array_equal(context.encode(iter(["six"])), context.encode(passages[1:2]))


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ("one text", r"questions is 'one text' \(str\); give a list, also for one"),
        ({"train": ["a"], "test": ["b"]}, "mapping with the keys train, test; .* one split"),
        ([{"id": "1"}], "a question is a row with the keys id; .* under text, question, query"),
        ([7], r"a question is 7 \(int\)"),
    ],
)
def test_what_is_no_question_is_named(items: object, message: str, tiny_model: Path) -> None:
    with pytest.raises(InputError, match=message):
        QuestionEncoder.from_pretrained(tiny_model / "encoder").encode(items)  # type: ignore[arg-type]


@pytest.mark.parametrize("item", [{"title": "a"}, {"title": 3, "text": "b"}, 7, None, ("a", "b")])
def test_what_is_no_passage_is_named(item: object, tiny_model: Path) -> None:
    with pytest.raises(InputError, match="a passage is "):
        ContextEncoder.from_pretrained(tiny_model / "encoder").encode([item])  # type: ignore[list-item]


def test_an_unknown_pooling() -> None:
    with pytest.raises(SettingsError, match="pooling='max'; allowed are 'cls' and 'mean'"):
        EncodingSettings(pooling="max")  # type: ignore[arg-type]


def test_models_are_loaded_to_the_device_that_is_named(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that holds no numbers, since no other is sure to be here.
    monkeypatch.setattr(encoding, "inference_device", lambda: torch.device("meta"))
    loaded = ContextEncoder.from_pretrained(tiny_model / "encoder")
    assert {one.device.type for one in loaded.model.parameters()} == {"meta"}
    assert loaded.linears.startswith("plain: ")


@pytest.mark.parametrize("name", ["", "cpu"])
def test_the_usual_device(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPR_DEVICE", name)
    assert inference_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda:99", "fast", "meta", "cuda:x"])
def test_a_device_that_is_not_here_is_refused(
    name: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DPR_DEVICE", name)
    with pytest.raises(SettingsError, match=f"DPR_DEVICE='{name}': no such device here"):
        QuestionEncoder.from_pretrained(tiny_model / "encoder")


def test_tokens_say_which_texts_were_cut(tiny_model: Path) -> None:
    """Exactly those that need more tokens than are read, the last one kept being [SEP]."""
    settings = EncodingSettings(max_length=8)
    texts = ["who wrote it", "who is it in of the", "who is it in of the city", "who " * 50]
    for kind in (QuestionEncoder, ContextEncoder):
        encoder = kind.from_pretrained(tiny_model / "encoder", settings)
        tokens = encoder.tokens(texts)
        assert [len(one) for one in tokens.ids] == [5, 8, 8, 8]
        assert tokens.cut == [False, False, True, True]
        assert {one[-1] for one in tokens.ids} == {encoder.tokenizer.sep_token_id}
        assert np.array_equal(encoder.encode_ids(tokens.ids), encoder.encode(texts))
