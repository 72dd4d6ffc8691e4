"""Nested mappings as one flat mapping by dotted names, as designs and tables name keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["flatten"]


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by dotted name; lists count as leaves."""
    leaves: dict[str, Any] = {}
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            leaves |= flatten(value, f"{name}.")
        else:
            leaves[name] = value
    return leaves
