"""The presets of footprints that come with the package, read from YAML."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml

from models.kernel.footprints import Footprints, FootprintsError, unknown_name

__all__ = ["footprint_presets", "load_footprints"]


def footprint_presets() -> list[str]:
    """Names of the presets that come with the package."""
    folder = resources.files("models.kernel") / "presets" / "footprints"
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def load_footprints(name: str) -> Footprints:
    """Loads a preset by name.

    Raises:
        FootprintsError: If there is no such preset.
        pydantic.ValidationError: If the preset's file is wrong.
    """
    names = footprint_presets()
    if name not in names:
        raise FootprintsError(unknown_name("footprints preset", name, names))
    return Footprints.model_validate(_read(name))


def _read(name: str) -> dict[str, Any]:
    """A preset's mapping; `base` names a preset whose keys (and operations, one by one) it replaces."""
    file = resources.files("models.kernel") / "presets" / "footprints" / f"{name}.yaml"
    data: dict[str, Any] = yaml.load(file.read_text("utf-8"), Loader=yaml.CSafeLoader)
    base = data.pop("base", None)
    if base is None:
        return data
    merged = _read(base)
    operations = {**merged["operations"], **data.pop("operations", {})}
    return {**merged, **data, "operations": operations}
