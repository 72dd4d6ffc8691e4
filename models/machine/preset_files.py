"""Presets by name, from the files that come with the program, and users' own, each from a file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel

from simcore.config import load
from simcore.errors import ConfigError, nearest_name
from simcore.validation import validate

__all__ = ["choose", "is_own", "read_own", "read_shipped"]

M = TypeVar("M", bound=BaseModel)


@cache
def read_shipped(path: Path) -> Mapping[str, Any]:
    """Return what a file of the program holds: a mapping from names to presets; read once."""
    document: Mapping[str, Any] = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return document


def choose(name: str, presets: Mapping[str, Any], what: str) -> Any:
    """Return the preset of a name.

    Args:
        name: which one.
        presets: all of them.
        what: what they are, for the message.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in presets:
        known = sorted(presets)
        raise ConfigError(f"no {what} {name!r}", expected=", ".join(known), nearest=nearest_name(name, known))
    return presets[name]


def is_own(name: str) -> bool:
    """Whether a preset's name is the path of a user's file."""
    return name.endswith((".yaml", ".yml"))


def read_own(path: Path, kind: type[M]) -> M:
    """Return the preset that a user's file holds, read like an experiment; it is named after the file if need be.

    Raises:
        ConfigError: the file cannot be read, or holds no such preset; with its line.
    """
    loaded = load(path)
    return validate(kind, {"name": path.stem, **loaded.data}, loaded)
