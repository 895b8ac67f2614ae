"""What an unfinished build has done so far: ``building/progress.json``.

Takes and gives ``Journal`` records and bytes; knows nothing of how shards are encoded. The journal
is replaced as a whole after a shard's bytes are durable, so it never promises what is not there;
bytes that it does not mention are cut off before a build goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dpr.collection.manifest import canonical, sealed, unsealed
from dpr.errors import CorruptionError, MismatchError

PROGRESS = "progress.json"
_FORMAT = "dpr-building"


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard that is durable.

    Attributes:
        rows: passages up to and including this shard.
        passages_bytes: size of ``passages.arrow`` after this shard.
        digest: chained digest of all the passages up to and including this shard.
        truncated: of the passages up to and including this shard, those that the encoder cut.
    """

    rows: int
    passages_bytes: int
    digest: str
    truncated: int = 0


@dataclass
class Journal:
    """An unfinished build.

    Attributes:
        identity: all that decides the bytes besides the passages; plain JSON values.
        segment: the name that the segment will get.
        shards: what is done, in order.
    """

    identity: dict[str, Any]
    segment: str
    shards: list[Shard] = field(default_factory=list)

    def to_bytes(self) -> bytes:
        """The file's content."""
        shards = [[one.rows, one.passages_bytes, one.digest, one.truncated] for one in self.shards]
        return sealed(
            {
                "format": _FORMAT,
                "identity": self.identity,
                "segment": self.segment,
                "shards": shards,
            },
            indent=None,
        )

    def check(self, identity: dict[str, Any], folder: Path) -> None:
        """Refuse to go on with another encoder or other settings.

        Raises:
            MismatchError: names each difference, then and now, and what to do.
        """
        differences = [
            f"{name} was {canonical(self.identity.get(name), name)}, is "
            f"{canonical(identity.get(name), name)}"
            for name in sorted(identity.keys() | self.identity.keys())
            if canonical(self.identity.get(name), name) != canonical(identity.get(name), name)
        ]
        if differences:
            raise MismatchError(
                f"{folder}: its unfinished build was begun otherwise: {'; '.join(differences)}. "
                f"Run it as it was begun to continue, or overwrite to begin again"
            )


def read_journal(path: Path) -> Journal:
    """Read a journal.

    Raises:
        CorruptionError: it is damaged.
    """
    remedy = "overwrite to begin this build again"
    value = unsealed(path, remedy)
    try:
        if value["format"] != _FORMAT:
            raise ValueError(f"format {value['format']!r}")
        name = str(value["segment"])
        if not name.isdecimal():
            raise ValueError(f"segment {name!r}")
        shards = [
            Shard(int(rows), int(size), str(digest), int(truncated))
            for rows, size, digest, truncated in value["shards"]
        ]
        return Journal(dict(value["identity"]), name, shards)
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptionError(f"{path}: has a wrong entry ({error!r}); {remedy}") from error
