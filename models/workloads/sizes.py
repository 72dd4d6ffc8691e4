"""Sizes that workloads draw: a range of pages or bytes, both ends included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

if TYPE_CHECKING:
    import numpy as np

__all__ = ["PageRange", "draw"]


def _ordered(limits: tuple[int, int]) -> tuple[int, int]:
    if limits[0] > limits[1]:
        raise ValueError(f"a range goes from its lowest to its highest value, got {list(limits)}")
    return limits


PageRange = Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], AfterValidator(_ordered)]
"""Lowest and highest number, at least 1."""


def draw(random: np.random.Generator, limits: tuple[int, int]) -> int:
    """A number of a range, each as likely."""
    return int(random.integers(limits[0], limits[1] + 1))
