"""Build hook: a wheel carries the shipped models, so that installing it is enough to ask questions.

The checkout's models/ folder goes into the wheel as dpr/_models, the first place that the package
looks in. A checkout without that folder builds too, and so does an editable install, which finds
models/ where it is. See docs/decisions/0002-the-wheel-carries-the-models.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ShippedModels(BuildHookInterface):  # type: ignore[type-arg]
    """Adds models/ to a standard wheel where it exists."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        models = Path(self.root) / "models"
        if version == "standard" and models.is_dir():
            build_data["force_include"][str(models)] = "dpr/_models"
