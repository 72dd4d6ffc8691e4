"""Nested mappings by dotted names."""

from __future__ import annotations

from simcore.sweep.dotted_names import flatten


def test_flatten() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": 3}) == {"a.b": 1, "a.c.d": [2], "e": 3}
