"""What a preset or a snapshot fills into a machine's configuration: every key that is not given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.machine.preset_files import read_shipped
from models.machine.snapshot import load_snapshot
from simcore.errors import ConfigError, nearest_name

__all__ = ["fill_from_preset", "fill_from_snapshot", "machine_names"]

_PRESETS = Path(__file__).parent / "presets" / "machines.yaml"


def machine_names() -> list[str]:
    """Return the names of the machine presets."""
    return sorted(read_shipped(_PRESETS))


def fill_from_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with the keys of its ``preset`` below its own.

    Raises:
        ValueError: There is no such preset.
    """
    name = given["preset"]
    presets = read_shipped(_PRESETS)
    if name not in presets:
        near = nearest_name(str(name), presets)
        hint = f"; did you mean {near!r}?" if near else ""
        raise ValueError(f"no machine preset {name!r}; there are {', '.join(sorted(presets))}{hint}")
    filled = dict(presets[name])
    if isinstance(given.get("nodes"), list | tuple):  # explicit nodes bring their own CPUs
        filled = {key: value for key, value in filled.items() if key not in {"cpus", "sockets"}}
    return _under(filled, given)


def fill_from_snapshot(given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return a configuration with what the snapshot at ``path`` knows below its own keys.

    Raises:
        ValueError: The file is no snapshot, or the configuration names a preset too.
    """
    if given.get("preset") is not None:
        raise ValueError(f"a machine is a preset ({given['preset']!r}) or a snapshot, not both")
    try:
        known = load_snapshot(path).machine_keys()
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return {**_under(known, given), "snapshot": str(path)}


def _under(filled: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, the given keys above, and boot options merged one by one."""
    if isinstance(given.get("boot"), Mapping) and "boot" in filled:
        return {**filled, **given, "boot": {**filled["boot"], **given["boot"]}}
    return {**filled, **given}
