"""The names of weights: from whatever a checkpoint calls them to bare BERT names.

Takes the keys of a checkpoint, gives a map from bare names (``embeddings.*``, ``encoder.layer.*``,
``encode_proj.*``, ``qa_outputs.*``, ``qa_classifier.*``) to those keys. Knows nothing of tensors
or files. The bare name is what a DPR, a plain BERT, a sentence-transformers and an original DPR
checkpoint have in common: they differ in what stands before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dpr.errors import CheckpointError

HEADS = ("encode_proj", "qa_outputs", "qa_classifier")

_BODY = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<name>(?:"
    r"embeddings\.(?:word_embeddings|position_embeddings|token_type_embeddings|LayerNorm)"
    r"|encoder\.layer\.[0-9]+\.(?:attention\.self\.(?:query|key|value)"
    r"|attention\.output\.(?:dense|LayerNorm)|intermediate\.dense|output\.(?:dense|LayerNorm))"
    r")\.(?:weight|bias|gamma|beta))"
)
_HEAD = re.compile(
    rf"(?P<prefix>(?:.*\.)?)(?P<name>(?:{'|'.join(HEADS)})\.(?:weight|bias))",
)
# Buffers that older versions saved, the pooler that DPR does not use, and pretraining heads.
_IGNORED = re.compile(r"(?:^|\.)(?:position_ids$|token_type_ids$|pooler\.dense\.|cls\.)")
_OLD_ENDINGS = {"gamma": "weight", "beta": "bias"}  # TensorFlow's names in LayerNorm


@dataclass(frozen=True, slots=True)
class KeyMap:
    """Where the weights of one BERT, and the heads on it, are in a checkpoint.

    Attributes:
        prefix: what stands before the body's names, with its final dot.
        keys: from bare name to key, body and heads.
        ignored: keys that no DPR model uses and whose absence changes nothing.
        unexpected: all other keys.
    """

    prefix: str
    keys: dict[str, str]
    ignored: tuple[str, ...]
    unexpected: tuple[str, ...]


def map_keys(keys: Iterable[str], prefer: str = "") -> KeyMap:
    """Find the BERT in a checkpoint, whatever its prefix.

    Args:
        keys: the names of the checkpoint's tensors.
        prefer: if it holds several BERTs, take the one whose prefix starts with this.

    Raises:
        CheckpointError: it holds no BERT, several and none is preferred, or one name twice.
    """
    bodies: dict[str, list[tuple[str, str]]] = {}
    heads: list[tuple[str, str, str]] = []
    ignored: list[str] = []
    unexpected: list[str] = []
    for key in keys:
        if body := _BODY.fullmatch(key):
            bodies.setdefault(body["prefix"], []).append((_modern(body["name"]), key))
        elif head := _HEAD.fullmatch(key):
            heads.append((head["prefix"], head["name"], key))
        elif _IGNORED.search(key):
            ignored.append(key)
        else:
            unexpected.append(key)
    prefix = _choose(list(bodies), prefer)
    found = bodies.pop(prefix)
    unexpected.extend(key for others in bodies.values() for _, key in others)
    for head_prefix, name, key in heads:
        if prefix.startswith(head_prefix):
            found.append((name, key))
        else:
            unexpected.append(key)
    mapped: dict[str, str] = {}
    for name, key in found:
        if name in mapped:
            raise CheckpointError(
                f"the checkpoint holds {name} twice, as {mapped[name]!r} and {key!r}"
            )
        mapped[name] = key
    return KeyMap(prefix, mapped, tuple(ignored), tuple(unexpected))


def head_of(name: str) -> str | None:
    """The head that a bare name belongs to; None for the body."""
    first = name.split(".", 1)[0]
    return first if first in HEADS else None


def _modern(name: str) -> str:
    stem, ending = name.rsplit(".", 1)
    return f"{stem}.{_OLD_ENDINGS.get(ending, ending)}"


def _choose(prefixes: list[str], prefer: str) -> str:
    if not prefixes:
        raise CheckpointError(
            "the checkpoint holds no BERT weights (names that end in "
            "'embeddings.word_embeddings.weight' and the like)"
        )
    if len(prefixes) == 1:
        return prefixes[0]
    preferred = [prefix for prefix in prefixes if prefer and prefix.startswith(prefer)]
    if len(preferred) == 1:
        return preferred[0]
    raise CheckpointError(
        f"the checkpoint holds several BERTs, under {', '.join(map(repr, sorted(prefixes)))}; "
        "save the one that is wanted into a folder of its own"
    )
