"""Vectors that were encoded elsewhere in the place of an encoder: each passage gets its own.

Takes files of vectors and passages, and matches them by id, or by order where there are no ids.
Gives what ``build_collection`` takes. Knows nothing of models beyond encoders that are given.

Ids are compared by 64-bit hashes: 24 bytes a vector are held, and none of the ids. No vector is
given twice, and none is left over unless that was asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dpr.collection.build import Entries
from dpr.collection.encoder import PassageEncoder
from dpr.collection.ids import hash_ids, rows_of_hashes, sorted_hashes
from dpr.collection.passages import Entry
from dpr.errors import InputError, MismatchError, SettingsError
from dpr.interchange.vectors_in import VectorFiles
from dpr.records import Passage

Extra = Literal["raise", "skip"]

AT_ONCE = 1024
COMPARED = 8
TOLERANCE = 0.25
"""Of the distance between two passages' vectors: by so much may those of the same encoder differ,
for other precision or libraries; rounding to float16 makes less than 0.03 even of random weights,
vectors of other passages about 1."""


@dataclass(frozen=True, slots=True)
class Declared:
    """What is said of the encoder of some vectors.

    Attributes:
        question_fingerprint, dim: of the question encoder that they go with.
        context: the encoder that they are said to be of; some of them are compared with what it
            gives. None: it is not at hand.
    """

    question_fingerprint: str
    dim: int
    context: PassageEncoder | None = None


class MatchedVectors:
    """Stands in for the encoder when a collection is built of passages that have vectors.

    Its fingerprint is that of the context encoder, where there is one, so that documents can be
    added to the collection later; else it is made of the vectors themselves and of the question
    encoder, and no encoder has it.

    Args:
        vectors: are read in full once, for their hash.
        declared: whose they are.
        shard_size: of the build.
        extra: whether vectors that no passage has are an error.

    Attributes:
        compared: passages whose vectors were compared with the context encoder's.
        left_over: vectors that no passage has; known at the end.

    Raises:
        MismatchError: vectors of another length than the question encoder's.
        InputError: an id that comes twice among the vectors, or a file that is not as it should be.
    """

    truncated = 0  # whoever made the vectors knows

    def __init__(
        self,
        vectors: VectorFiles,
        declared: Declared,
        shard_size: int,
        extra: Extra = "raise",
    ) -> None:
        if extra not in ("raise", "skip"):
            raise SettingsError(f"extra={extra!r}; allowed are 'raise' and 'skip'")
        if vectors.dim != declared.dim:
            raise MismatchError(
                f"{vectors.paths[0]}: has vectors of {vectors.dim} numbers, the question encoder "
                f"gives {declared.dim}: they are of another model; give the one that they go with"
            )
        if extra == "skip" and not vectors.has_ids:
            raise SettingsError(
                "extra='skip' needs ids of the vectors: by order alone nobody knows which are extra"
            )
        self._vectors, self._declared, self._extra = vectors, declared, extra
        self.dim, self.compared, self.left_over = vectors.dim, 0, 0
        self.question_fingerprint = declared.question_fingerprint
        self._sample = ""
        self._table = self._read_ids() if vectors.has_ids else None
        self._given: deque[int] = deque(maxlen=shard_size)  # the builder takes shard after shard
        imported = {"imported": vectors.digest()}
        if declared.context is not None:
            self.fingerprint = declared.context.fingerprint
            self.settings: Mapping[str, Any] = {**declared.context.settings, **imported}
        else:
            known = {**imported, "question_encoder": declared.question_fingerprint}
            self.settings = {**known, "dim": self.dim}
            self.fingerprint = hashlib.sha256(json.dumps(known).encode()).hexdigest()

    def _read_ids(self) -> npt.NDArray[np.uint64]:
        """(2, rows): hashes of ids in ascending order, and the row of each."""
        hashes = np.empty(self._vectors.rows, np.uint64)
        ids, done = self._vectors.ids(), 0
        while some := list(islice(ids, AT_ONCE)):
            if done + len(some) > len(hashes):
                raise InputError(
                    f"{self._vectors.paths[-1]}: there are more ids than the {len(hashes)} vectors"
                )
            hashes[done : done + len(some)] = hash_ids(some)
            self._sample = self._sample or some[0]
            done += len(some)
        table = sorted_hashes(hashes)
        same = np.flatnonzero(table[0][1:] == table[0][:-1])
        if len(same):
            first, second = (int(table[1][same[0] + place]) for place in (0, 1))
            name = next(islice(self._vectors.ids(), second, None))
            raise InputError(
                f"{self._vectors.place(second)}: the id {name!a} is also that of "
                f"{self._vectors.place(first)}; {len(same)} such in all; keep one vector each"
            )
        return table

    def entries(self, passages: Entries) -> Iterator[Passage | Entry]:
        """The passages, each matched with its vector.

        Raises:
            InputError: a passage without a vector, or a vector without a passage.
            MismatchError: the vectors are not the context encoder's.
        """
        used = np.zeros(self._vectors.rows, np.bool_)
        done, number, source = 0, 0, iter(passages)
        while some := list(islice(source, AT_ONCE)):
            plain = [one.passage if isinstance(one, Entry) else one for one in some]
            rows = self._rows(plain, done)
            for passage, row in zip(plain, rows.tolist(), strict=True):
                if used[row]:
                    raise InputError(
                        f"two passages have the id {passage.id!a} (the later one is from "
                        f"{passage.source or 'no source'}); give every passage an id of its own"
                    )
                used[row] = True
            number += 1
            if number & (number - 1) == 0:  # ever more rarely: ids may go astray in a later file
                self._compare(plain[:COMPARED], rows[:COMPARED])
            for one, row in zip(some, rows.tolist(), strict=True):
                self._given.append(row)
                yield one
            done += len(some)
        self.left_over = int(len(used) - used.sum())
        if self.left_over and self._extra == "raise" and done:
            row = int(np.argmin(used))
            raise InputError(
                f"{self._vectors.place(row)}: belongs to none of the {done} passages, as do "
                f"{self.left_over} vectors in all"
                + ("; to leave them out, skip extra ones" if self._vectors.has_ids else "")
            )

    def _rows(self, passages: Sequence[Passage], done: int) -> npt.NDArray[np.int64]:
        """The rows of the vectors of these passages."""
        if self._table is None:
            rows = np.arange(done, done + len(passages))
            known = rows < self._vectors.rows
        else:
            places, found = rows_of_hashes(self._table, hash_ids(one.id for one in passages))
            rows, known = np.zeros(len(passages), np.int64), np.zeros(len(passages), np.bool_)
            rows[places], known[places] = found, True
        if not known.all():
            passage = passages[int(np.argmin(known))]
            where = f" ({passage.source})" if passage.source else ""
            raise InputError(
                f"passage {passage.id!a}{where} has no vector: " + self._why_none(passage.id)
            )
        return rows

    def _why_none(self, wanted: str) -> str:
        count, sample = self._vectors.rows, self._sample
        if self._table is None:
            return f"there are {count} vectors in order, and more passages than that"
        prefix = sample[: -len(wanted)] if sample.endswith(wanted) else ""
        hint = f"; take off the prefix {prefix!a} (id_prefix, --id-prefix)?" if prefix else ""
        return f"none of the {count} ids of vectors is this one; the first is {sample!a}{hint}"

    def _compare(self, passages: Sequence[Passage], rows: npt.NDArray[np.int64]) -> None:
        context = self._declared.context
        if context is None:
            return
        ours = np.asarray(context.encode(passages), np.float64)
        theirs = self._vectors.take(rows).astype(np.float64)
        apart = np.linalg.norm(ours - theirs, axis=1) / _spread(ours)
        self.compared += len(passages)
        if np.median(apart) > TOLERANCE:
            worst = int(np.argmax(apart))
            raise MismatchError(
                f"{self._vectors.place(int(rows[worst]))}: the vector of passage "
                f"{passages[worst].id!a} is {apart[worst]:.0%} as far from what the context "
                "encoder gives as those of different passages are from one another, and others are "
                f"like it ({TOLERANCE:.0%} are allowed): another encoder, ids or an order that do "
                "not fit, or texts that were encoded otherwise (without titles?). If the encoder "
                "is not at hand, name the question encoder alone"
            )

    def encode(self, passages: Sequence[Passage]) -> npt.NDArray[Any]:
        """The vectors of the passages that ``entries`` gave last."""
        rows = np.array(list(self._given)[-len(passages) :])
        return self._vectors.take(rows)


def _spread(vectors: npt.NDArray[np.float64]) -> float:
    """How far apart the vectors of different passages are: the median over all pairs."""
    length = float(np.linalg.norm(vectors, axis=1).mean())
    if len(vectors) < 2:
        return length
    pairs = np.linalg.norm(vectors[:, None] - vectors[None], axis=2)
    median = float(np.median(pairs[np.triu_indices(len(vectors), 1)]))
    return max(median, length / 1000)  # passages may all be alike
