"""Settings of training: plain values, checked when they are made.

Takes what a person chose; gives frozen records. Knows nothing of models, and does not import torch,
so that a command line can show the defaults without loading it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dpr.errors import SettingsError

PRECISIONS = ("float32", "bfloat16", "float16")
TEACHERS = ("bm25", "start")
# AdamW moves a weight by about the learning rate a step. With less than this in all, steps times
# rate, a retriever is found to be what it was; 30 steps at 5e-5 taught one 100 questions.
LEAST_MOVED = 5e-4


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How to train; the defaults are the paper's (Karpukhin et al. 2020, §5).

    Attributes:
        epochs: passes over the samples.
        learning_rate: at the end of the warm-up; falls linearly to zero at the end.
        warmup_steps: steps of linear rise; at most a tenth of all steps is used.
        clip_norm: gradients are scaled down to this Euclidean norm.
        weight_decay: of AdamW, on matrices only.
        seed: of sample order and dropout.
        freeze_embeddings: leave the word embeddings as they are (half of a small model's weights).
        checkpoint_seconds: at most this much work is lost by a kill.
        evaluations: evaluations on the dev set in each epoch.
        log_steps: steps between lines of the log.
        precision: of the models' arithmetic: "float32", "bfloat16" or "float16"; weights, losses
            and the optimizer stay float32.
        accumulate: batches an update is made of. It saves memory, but each batch still has only
            its own passages as negatives.
        patience: evaluations without a better one after which training ends; 0 to go on.
    """

    epochs: int = 40
    learning_rate: float = 1e-5
    warmup_steps: int = 1237
    clip_norm: float = 2.0
    weight_decay: float = 0.0
    seed: int = 0
    freeze_embeddings: bool = False
    checkpoint_seconds: float = 300.0
    evaluations: int = 1
    log_steps: int = 10
    precision: str = "float32"
    accumulate: int = 1
    patience: int = 0

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise SettingsError(
                f"precision={self.precision!r}; allowed are {', '.join(map(repr, PRECISIONS))}"
            )
        for name in ("epochs", "evaluations", "log_steps", "accumulate"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 1")
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(f"{name}={getattr(self, name)}; give a number above 0")
        for name in ("warmup_steps", "weight_decay", "checkpoint_seconds", "patience"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SettingsError(f"{name}={getattr(self, name)}; give 0 or more")

    def updates(self, batches: int) -> int:
        """Steps of an epoch of so many batches."""
        return math.ceil(batches / self.accumulate)

    def too_short(self, batches: int) -> bool:
        """Whether epochs of so many batches change next to nothing in a retriever."""
        return self.updates(batches) * self.epochs * self.learning_rate < LEAST_MOVED


@dataclass(frozen=True, slots=True)
class RetrieverSettings:
    """What a step of retriever training sees.

    Attributes:
        batch_size: questions a step.
        hard_negatives: of each question, or, where ``batching`` is "neighbours", of each positive
            passage; drawn anew every epoch.
        batching: "random", the paper's; or "neighbours": questions of the same passage together
            and passages of the same title near each other, which costs a fraction (each passage
            is encoded once for all its questions) and makes in-batch negatives harder.
        neighbours: passages of one title that go into a batch together at most.
        question_length, passage_length: tokens, special tokens included; 8 at least.
        pack_tokens: tokens that go through the model at once.
        cached: compute vectors without their graphs and once more for the gradients, so that
            memory is that of ``pack_tokens`` whatever the batch; costs a third more arithmetic.
            Unlike with ``accumulate``, each question has all passages of the batch as negatives.
        question_tower_only: leave the context encoder as it is, so that collections need not be
            encoded anew; the passages of the training files are encoded once.
        rates: "name=rate,..." of datasets: a batch then holds one dataset, and an epoch goes
            through a dataset as often as its rate says. Empty to mix them.
        mask_answers: passages of the batch that hold an accepted answer of a question do not count
            as its negatives.
        mask_margin: nor do those that the model scores so much higher than the positive.
        distillation: share of the loss that is the divergence from the teacher's scores of the
            passages, where the samples have them, from 0 to 1.
        teachers: "bm25=weight,start=weight", or one of them: the teacher is the weighted sum of
            BM25's scores and of the start's, of all passages of the batch. Empty: what the samples
            have.
        teacher_temperature: what the teacher's scores are divided by.
        hybrid: share of the loss that is of the vectors' scores and BM25's together, from 0 to 1,
            so that the vectors learn what words do not find, for hybrid search (after Gao et al.
            2021, CLEAR).
        hybrid_weight: what BM25's scores are multiplied by in it.
        hashing: train vectors whose signs are searched (BPR): the loss is that of soft codes, and
            the model that is saved gives passages' signs. With ``question_tower_only`` the context
            encoder gives signs already, and questions learn to find these.
    """

    batch_size: int = 128
    hard_negatives: int = 1
    batching: str = "random"
    neighbours: int = 4
    question_length: int = 64
    passage_length: int = 256
    pack_tokens: int = 4096
    cached: bool = False
    question_tower_only: bool = False
    rates: str = ""
    mask_answers: bool = False
    mask_margin: float | None = None
    distillation: float = 0.0
    teachers: str = ""
    teacher_temperature: float = 1.0
    hybrid: float = 0.0
    hybrid_weight: float = 0.9
    hashing: bool = False

    def __post_init__(self) -> None:
        if self.batching not in ("random", "neighbours"):
            raise SettingsError(
                f"batching={self.batching!r}; allowed are 'random' and 'neighbours'"
            )
        for name in ("batch_size", "neighbours", "pack_tokens"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 1")
        for name in ("question_length", "passage_length"):
            if getattr(self, name) < 8:  # what encoding asks for as well
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 8 tokens")
        if self.hard_negatives < 0:
            raise SettingsError(f"hard_negatives={self.hard_negatives}; give 0 or more")
        if self.mask_margin is not None and not 0 <= self.mask_margin < math.inf:
            raise SettingsError(f"mask_margin={self.mask_margin}; give a number of 0 or more")
        for name in ("distillation", "hybrid"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name}={getattr(self, name)}; give a share between 0 and 1")
        for name in ("teacher_temperature", "hybrid_weight"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(f"{name}={getattr(self, name)}; give a number above 0")
        _ = self.rate_of_dataset
        if unknown := sorted(self.teacher_weights.keys() - set(TEACHERS)):
            raise SettingsError(
                f"teachers={self.teachers!r}: there is no {', '.join(unknown)}; allowed are "
                f"{' and '.join(TEACHERS)}"
            )
        if self.teachers and not self.distillation:
            raise SettingsError(
                f"teachers={self.teachers!r} teach nothing with distillation=0; give the share of "
                "the loss that they have, such as 0.5"
            )

    @property
    def rate_of_dataset(self) -> dict[str, float]:
        """``rates`` by name.

        Raises:
            SettingsError: not "name=rate,...", or a rate that is not above 0.
        """
        return _by_name(self.rates, "rates", "dataset", "rate")

    @property
    def teacher_weights(self) -> dict[str, float]:
        """``teachers`` by name.

        Raises:
            SettingsError: not "name=weight,...", or a weight that is not above 0.
        """
        return _by_name(self.teachers, "teachers", "teacher", "weight")


def _by_name(text: str, setting: str, what: str, number: str) -> dict[str, float]:
    """Numbers above 0 by name, of "name=number,..."; the words are for the error."""
    found: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        key, _, value = (one.strip() for one in part.rpartition("="))
        try:
            given = float(value)
        except ValueError:
            given = 0.0
        known, found[key] = key in found, given
        if known or not (key and 0 < given < math.inf):
            raise SettingsError(
                f"{setting}={text!r}; give each {what} once, as 'name={number},...', with "
                f"{number}s above 0"
            )
    return found


@dataclass(frozen=True, slots=True)
class RefreshSettings:
    """How negatives are found anew by the retriever that is being trained.

    Attributes:
        refresh_every: epochs after which negatives are looked for; 0: never.
        refresh_beside: train on while another process looks, and use what it finds an epoch later;
            otherwise wait for it.
        refresh_negatives: of each question.
        refresh_last_rank: ranks that are looked at.
        refresh_share: a negative scores at most this share of the best positive's score.
    """

    refresh_every: int = 0
    refresh_beside: bool = True
    refresh_negatives: int = 8
    refresh_last_rank: int = 50
    refresh_share: float | None = None

    def __post_init__(self) -> None:
        if self.refresh_every < 0:
            raise SettingsError(f"refresh_every={self.refresh_every}; give 0 or more epochs")
        for name in ("refresh_negatives", "refresh_last_rank"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 1")
        if self.refresh_share is not None and not 0 < self.refresh_share <= 1:
            raise SettingsError(
                f"refresh_share={self.refresh_share}; give a number above 0, and 1 at most"
            )

    @property
    def first_used(self) -> int:
        """The first epoch, from 0, that trains on negatives that were found anew."""
        return self.refresh_every + self.refresh_beside


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """What a step of reader training sees.

    Attributes:
        batch_size: questions a step.
        passages: passages of a question in a step, the positive one included; 24 in the paper.
            Fewer where a sample has fewer negatives; none at all and it trains spans only.
        max_length: tokens of question, title and text together; a longer text is cut into windows.
        stride: tokens by which windows overlap.
        pack_tokens: tokens that go through the model at once.
        null: relevance is learned against a fixed logit of 0 that stands for "none of these
            passages", so that it tells by itself whether a passage answers; needed by questions
            without an answer, which are left out otherwise.
    """

    batch_size: int = 16
    passages: int = 24
    max_length: int = 350
    stride: int = 128
    pack_tokens: int = 4096
    null: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "passages", "pack_tokens"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 1")
        if not 0 <= self.stride < self.max_length:
            raise SettingsError(
                f"stride={self.stride}; give 0 or more, and less than max_length={self.max_length}"
            )


@dataclass(frozen=True, slots=True)
class LearningSettings:
    """What a learning curve is made of.

    Attributes:
        sizes: numbers of training questions, "all" for all there are; each is trained on anew, and
            the smaller ones are part of the larger.
        k: of R@k, the share of questions with a passage that answers among the first k.
        fewest_steps: a size too small for so many steps is gone through more often.
    """

    sizes: str = "100,300,1000,3000,all"
    k: int = 5
    fewest_steps: int = 60

    def __post_init__(self) -> None:
        for name in ("k", "fewest_steps"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 1")
        self.numbers(1)

    def numbers(self, available: int) -> list[int]:
        """The sizes that there are questions for, in order."""
        found = set()
        for part in self.sizes.split(","):
            text = part.strip()
            if text != "all" and not (text.isdecimal() and int(text) > 0):
                raise SettingsError(
                    f"sizes={self.sizes!r}; give numbers of questions and 'all', as in "
                    "'100,300,1000,all'"
                )
            found.add(available if text == "all" else int(text))
        return sorted(size for size in found if size <= available)
