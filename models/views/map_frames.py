"""The map over time for a page: its first picture and what changes from moment to moment, packed for JavaScript."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.views.hilbert import hilbert_image
from models.views.map_history import LEVEL_MASK, REGION_BYTES, Cells, Codes, MapHistory, cells_of
from models.views.memory_map import COLOURS, MARKS, border_bytes
from simcore.units import format_bytes, format_ns

__all__ = ["MapFrames", "frames_of"]

_MOMENTS = 120
_CELLS = 1 << 16
_CHANGES = 600_000
"""Changed cells that a page holds at most, over all moments; 5 bytes each."""

# A cell in one byte: 4K and 2M parts in steps of a seventh of the cell, and the marks.
_SMALL_SHIFT, _MIDDLE_SHIFT, _SECRET, _ABSENT = 0, 3, 64, 128


@dataclass(frozen=True)
class MapFrames:
    """Pictures of the map at evenly spaced moments.

    Attributes:
        moments_ns: of each picture.
        sizes: bytes of 4K, 2M and 1G entries at each of them, shape (moments, 3).
        cell_regions: regions in a cell.
        border_bytes: distance of the lines.
        image: number of the cell at each place, -1 for none, shape (lines, columns).
        first: the cells of the first picture, one byte each.
        hole: whether a cell holds no memory at all.
        ends: for each picture, how many changes there are up to it.
        cells: cell of each change.
        codes: what it becomes.
    """

    moments_ns: list[int]
    sizes: NDArray[np.int64]
    cell_regions: int
    border_bytes: int
    image: NDArray[np.int64]
    first: Codes
    hole: NDArray[np.bool_]
    ends: list[int]
    cells: NDArray[np.int32]
    codes: Codes

    def to_json(self) -> dict[str, Any]:
        """Return the same for the page's script."""
        order = np.argsort(self.image, axis=None, kind="stable")[-len(self.first) :]  # place of each cell
        return {
            "times": [format_ns(moment) for moment in self.moments_ns],
            "sizes": [
                ", ".join(f"{name} {format_bytes(size)}" for name, size in zip(("4K", "2M", "1G"), row, strict=True))
                for row in self.sizes.tolist()
            ],
            "cellBytes": self.cell_regions * REGION_BYTES,
            "borderCells": self.border_bytes // (self.cell_regions * REGION_BYTES),
            "height": self.image.shape[0],
            "width": self.image.shape[1],
            "places": _packed(order.astype("<u4")),
            "first": _packed(self.first),
            "hole": _packed(self.hole.astype(np.uint8)),
            "ends": self.ends,
            "cells": _packed(self.cells.astype("<u4")),
            "codes": _packed(self.codes),
            "colours": list(COLOURS),
            "marks": list(MARKS),
        }


def frames_of(history: MapHistory, at_most: int = _MOMENTS) -> MapFrames:
    """Return pictures at up to ``at_most`` moments, fewer when too much changes between them."""
    count = at_most if len(history.time_ns) else 1
    while True:
        frames = _frames(history, count)
        if len(frames.codes) <= _CHANGES or count <= 2:
            return frames
        count = max(2, count // 2)


def _frames(history: MapHistory, count: int) -> MapFrames:
    moments = [history.end_ns * number // max(1, count - 1) for number in range(count)]
    before: Codes | None = None
    sizes, ends, places, codes = [], [], [], []
    changed = 0
    for state in history.over(moments):
        levels = np.bincount(state & LEVEL_MASK, minlength=4)
        sizes.append(levels[1:] * REGION_BYTES)
        cells = cells_of(state, _CELLS)
        now = _codes(cells)
        if before is None:
            first, hole, regions = now, cells.share[:, 0] == 1, cells.regions
        else:
            different = np.flatnonzero(now != before)
            places.append(different)
            codes.append(now[different])
            changed += len(different)
        ends.append(changed)
        before = now
    empty_places, empty_codes = np.zeros(0, np.int64), np.zeros(0, np.uint8)
    return MapFrames(
        moments, np.array(sizes), regions, border_bytes(regions), hilbert_image(len(first)), first, hole, ends,
        np.concatenate([empty_places, *places]).astype(np.int32), np.concatenate([empty_codes, *codes]),
    )  # fmt: skip


def _codes(cells: Cells) -> Codes:
    # Rounded up: the smallest part counts.
    small = np.ceil(cells.share[:, 1] * 7).astype(np.uint8)
    middle = np.minimum(np.ceil(cells.share[:, 2] * 7).astype(np.uint8), 7 - small)
    marks = cells.secret * np.uint8(_SECRET) | cells.absent * np.uint8(_ABSENT)
    return (small << _SMALL_SHIFT | middle << _MIDDLE_SHIFT | marks).astype(np.uint8)


def _packed(values: NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()
