"""How a collection is searched: a record that the collection keeps.

Takes plain values; gives checked settings, and plain values to keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from dpr.errors import CorruptionError, SettingsError
from dpr.fusion import FusionSettings
from dpr.indexes.bm25 import BM25Settings

Mode = Literal["auto", "dense", "bm25", "hybrid"]
MODES: tuple[str, ...] = get_args(Mode)
KEY = "search"


@dataclass(frozen=True)
class SearchSettings:
    """How to search.

    Attributes:
        mode: by vectors (``dense``), by words (``bm25``), or by both (``hybrid``); ``auto`` is
            hybrid where words were counted.
        fusion: how both become one.
        bm25: how words are weighed.
        effort: how hard an approximate index tries; None: as it was chosen with the index.
    """

    mode: Mode = "auto"
    fusion: FusionSettings = field(default_factory=FusionSettings)
    bm25: BM25Settings = field(default_factory=BM25Settings)
    effort: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise SettingsError(f"mode is {self.mode!r}; allowed are {', '.join(MODES)}")

    @classmethod
    def kept(cls, search: Mapping[str, Any]) -> SearchSettings:
        """What a manifest keeps.

        Raises:
            CorruptionError: it is nothing that ``to_keep`` gave.
        """
        value = search.get(KEY)
        if value is None:
            return cls()
        try:
            return cls(
                mode=value["mode"],
                fusion=FusionSettings(
                    **{"power": 1.0, **value["fusion"]}
                ),  # earlier ones have none
                bm25=BM25Settings(**value["bm25"]),
                effort=value["effort"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptionError(
                f"the collection keeps search settings that make no sense ({error!r}): {value}; "
                "use the release that made it, or index again"
            ) from error

    def to_keep(self, search: Mapping[str, Any]) -> dict[str, Any]:
        """What the manifest is to keep, these settings put in the place of others."""
        return {**search, KEY: asdict(self)}
