"""A doctor for training data: what is wrong in samples, and between training and test.

Takes files of training samples and of a test; gives a ``Diagnosis``: findings by kind, with counts
and examples, and where asked for a copy without what is faulty. Each file is read twice: once to
learn who asks what, once to judge. The rules are in ``dpr.samples.checks``, and in words in
docs/doctor.md. Knows nothing of models; a tokenizer is taken to count tokens.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpr.corpus.lines import UnreadableError
from dpr.errors import InputError, SettingsError
from dpr.questions.files import check_new, write_lines
from dpr.samples.files import MisplacedError, TrainingSample, sample_to_json
from dpr.samples.findings import KINDS, Cleaned, Collector, Diagnosis, Finding, excerpt
from dpr.samples.places import Placed, read_placed

if TYPE_CHECKING:
    from dpr.samples.checks import Hit
    from dpr.samples.heldout import HeldOut
    from dpr.samples.lengths import TokenCounts
    from dpr.samples.survey import Survey
    from dpr.tokens import DPRTokenizer

Tell = Callable[[str], None]
_TELL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class DoctorSettings:
    """From where on the doctor finds fault.

    Attributes:
        near: passages that share this much of their sequences of five words are nearly equal
            (Jaccard's coefficient, 0.5 to 1).
        common: an answer that more than this share of the positive passages hold stands in a
            negative by chance; such negatives are suspected only.
        strict: every negative that holds an accepted answer is at fault, as in the original's rule.
        short_words: a passage of fewer words is short.
        question_length: tokens of a question that the model reads, special tokens included.
        passage_length: likewise of a passage, with its title.

    Raises:
        SettingsError: a value outside its range.
    """

    near: float = 0.8
    common: float = 0.01
    strict: bool = False
    short_words: int = 5
    question_length: int = 64
    passage_length: int = 256

    def __post_init__(self) -> None:
        if not 0.5 <= self.near <= 1:
            raise SettingsError(f"near={self.near}; give a number of 0.5 to 1")
        if not 0 <= self.common <= 1:
            raise SettingsError(f"common={self.common}; give a number of 0 to 1")
        if self.short_words < 0:
            raise SettingsError(f"short_words={self.short_words}; give 0 or more")
        for name in ("question_length", "passage_length"):
            if getattr(self, name) < 8:
                raise SettingsError(f"{name}={getattr(self, name)}; give at least 8 tokens")


def diagnose(
    files: Sequence[str | Path],
    settings: DoctorSettings | None = None,
    test_files: Sequence[str | Path] = (),
    *,
    clean: str | Path | None = None,
    examples: int | None = 3,
    tokenizer: DPRTokenizer | None = None,
    tell: Tell | None = None,
    overwrite: bool = False,
) -> Diagnosis:
    """Look for faults in training data.

    Args:
        files: samples to train on: DPR JSON, DPR JSON lines, SQuAD JSON, plain or gzipped; or BEIR
            folders.
        test_files: what must not be trained on: likewise, or any set of questions.
        clean: where to write the samples without what is faulty, as DPR JSON lines.
        examples: findings of each kind that are kept; None keeps all.
        tokenizer: what counts tokens; without it only passages are found too long that have more
            words than tokens fit.
        tell: called now and then with what is being done.
        overwrite: replace a copy that is there, when the new one is whole.

    Raises:
        InputError: a file is not there, of no known format or without samples; or ``clean`` is
            asked for and is there already, or a file cannot be read to its end, changes while it is
            read, or is the copy itself.
        MissingExtraError: the package ``regex`` is not installed.
    """
    if not files:
        raise InputError("no file to look at; give one or more files of training samples")
    doctor = _Doctor(
        [Path(file) for file in files],
        settings or DoctorSettings(),
        [Path(file) for file in test_files],
        None if clean is None else Path(clean),
        Collector(examples),
        tokenizer,
        tell,
    )
    if doctor.clean is not None:
        check_new(doctor.clean, overwrite)
    return doctor.diagnosis()


class _Doctor:
    def __init__(
        self,
        files: list[Path],
        settings: DoctorSettings,
        tests: list[Path],
        clean: Path | None,
        collector: Collector,
        tokenizer: DPRTokenizer | None,
        tell: Tell | None,
    ) -> None:
        self.files, self.tests, self.clean = files, tests, clean
        self.settings, self.collector = settings, collector
        self.counts: Counter[str] = Counter()
        self._tell, self._told = tell, 0.0
        self._tokens: TokenCounts | None = None
        if tokenizer is not None:
            from dpr.samples.lengths import TokenCounts

            self._tokens = TokenCounts(tokenizer, settings.question_length, settings.passage_length)
        if clean is not None:
            for file in (*files, *tests):
                if clean.resolve().is_relative_to(file.resolve()):
                    raise InputError(
                        "is one of the files to look at, or lies in a folder of them; give the "
                        "copy another name",
                        source=str(clean),
                    )

    def diagnosis(self) -> Diagnosis:
        held_out = self._read_tests()
        survey = self._survey()
        lines = self._judge(survey, held_out)
        if self.clean is None:
            for _ in lines:
                pass
        else:
            write_lines(self.clean, lines)
        counts = self.counts
        cleaned = None
        if self.clean is not None:
            dropped = (counts["sample dropped"], counts["positive dropped"])
            cleaned = Cleaned(
                str(self.clean), counts["written"], *dropped, counts["negative dropped"]
            )
        return Diagnosis(
            tuple(map(str, self.files)),
            tuple(map(str, self.tests)),
            counts["samples"],
            counts["positives"],
            counts["negatives"],
            0 if held_out is None else len(held_out),
            self.collector.found(),
            None if self._tokens is None else self._tokens.lengths(),
            cleaned,
        )

    def _read_tests(self) -> HeldOut | None:
        if not self.tests:
            return None
        from dpr.samples.heldout import HeldOut, read_test

        def samples() -> Iterator[tuple[str, str, TrainingSample]]:
            for file in self.tests:
                for placed in read_test(file):
                    if placed.sample is not None:
                        self._progress(f"reading {file}", 0)
                        yield str(file), placed.place, placed.sample
                    else:
                        self._add_error(file, placed)

        return HeldOut(samples(), self.settings.near)

    def _survey(self) -> Survey:
        from dpr.samples.survey import Survey

        survey = Survey()
        for file in self.files:
            for placed in read_placed(file):
                if isinstance(placed.error, UnreadableError) and self.clean is not None:
                    raise InputError(f"no copy is written: {placed.error}")
                if placed.sample is not None:
                    survey.add(placed.sample, str(file), placed.place)
                    self._progress(f"reading {file.name}", survey.samples)
        return survey

    def _judge(self, survey: Survey, held_out: HeldOut | None) -> Iterator[str]:
        """Adds all findings; gives the lines of the clean copy."""
        from dpr.samples.checks import Limits, check_sample

        one = self.settings
        # Where tokens are counted, words need not be.
        length = one.passage_length if self._tokens is None else 1 << 62
        limits = Limits(one.near, one.common, one.short_words, length, one.strict)
        number = 0
        for file in self.files:
            for placed in read_placed(file):
                sample = placed.sample
                if sample is None:
                    self._add_error(file, placed)
                    self.counts["sample dropped"] += not placed.of_passage
                    continue
                self._count(sample)
                hits = list(
                    check_sample(sample, number, survey, held_out, limits, placed.unanswerable)
                )
                if self._tokens is not None:
                    hits += self._tokens.check(sample)
                number += 1
                self._progress(f"looking at {file.name}", number, survey.samples)
                for hit in hits:
                    self.collector.add(
                        Finding(hit.kind, str(file), placed.place, hit.part, hit.what, hit.excerpts)
                    )
                record = self._cleaned(placed, sample, hits)
                if record is not None and self.clean is not None:
                    yield _line(record)
        if number != survey.samples:
            raise InputError(
                f"{survey.samples} samples were there at first, and {number} later; let nothing "
                "write to the files meanwhile"
            )

    def _cleaned(
        self, placed: Placed, sample: TrainingSample, hits: Sequence[Hit]
    ) -> Mapping[str, Any] | None:
        """The sample's record without what is faulty; None where nothing is left to train on."""
        whole = placed.unanswerable
        dropped: dict[str, set[int]] = {}
        for hit in hits:
            kind = KINDS[hit.kind]
            if not kind.fault:
                continue
            if hit.key and kind.part not in ("record", "sample"):
                dropped.setdefault(hit.key, set()).add(hit.at)
            else:
                whole = True
        positives = len(dropped.get("positive_ctxs", ()))
        if whole or positives == len(sample.positives):
            self.counts["sample dropped"] += 1
            return None
        self.counts["written"] += 1
        self.counts["positive dropped"] += positives
        self.counts["negative dropped"] += sum(map(len, dropped.values())) - positives
        record = placed.record if placed.record is not None else sample_to_json(sample)
        if not dropped:
            return record
        kept = {
            key: [one for at, one in enumerate(record[key]) if at not in gone]
            for key, gone in dropped.items()
        }
        return {**record, **kept}

    def _add_error(self, file: Path, placed: Placed) -> None:
        error = placed.error
        kind = "malformed"
        if isinstance(error, UnreadableError):
            kind = "unreadable"
        elif isinstance(error, MisplacedError):
            kind = "misplaced-answer"
        what = str(error).removeprefix(str(file))
        if found := re.match(r":(\d+): ", what):
            line, what = f"line {found[1]}", what[found.end() :]
            what = what if placed.place.endswith(line) else f"{line}: {what}"
        what = excerpt(what.lstrip(":, ").removeprefix(placed.place).lstrip(":, "), room=300)
        self.collector.add(Finding(kind, str(file), placed.place, "", what))

    def _count(self, sample: TrainingSample) -> None:
        self.counts["samples"] += 1
        self.counts["positives"] += len(sample.positives)
        self.counts["negatives"] += len(sample.negatives) + len(sample.hard_negatives)

    def _progress(self, what: str, done: int, total: int = 0) -> None:
        now = time.monotonic()
        if self._tell is not None and now - self._told > _TELL_SECONDS:
            self._told = now
            of = f" of {total:,}" if total else ""
            self._tell(f"{what}: {done:,}{of} samples" if done else what)


def _line(record: Mapping[str, Any]) -> str:
    line = json.dumps(record, ensure_ascii=False)
    if not line.isascii():
        try:
            line.encode("utf-8")
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON's escapes can hold
            line = json.dumps(record)
    return line + "\n"
