"""Physical memory as a picture: a cell per 2M on a Hilbert curve, coloured by the size of the direct map's entries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.patches import Patch
from numpy.typing import NDArray

from models.views.hilbert import hilbert_image
from models.views.map_history import LEVEL_MASK, REGION_BYTES, Cells, Codes, MapHistory, cells_of
from simcore.errors import SimcoreError
from simcore.result import Result
from simcore.units import format_bytes, format_ns
from simcore.views.picture import Picture, save

__all__ = [
    "COLOURS", "MARKS", "MAX_CELLS", "border_bytes", "draw_map", "map_image", "memory_map", "moments_of",
    "small_maps", "the_history",
]  # fmt: skip

#: By level of entry: nothing mapped, 4K, 2M, 1G. Lightness falls with the size of the blue ones, and the orange stands
#: out from both for readers with any colour vision.
COLOURS = ("#dddddd", "#E69F00", "#9ecae1", "#08519c")
#: Marks in a cell: it holds secret pages; it has pages out of the direct map that are not secret.
MARKS = ("#4a0d67", "#d7191c")
_BORDER = _PAPER = "#ffffff"
MAX_CELLS = 1 << 18
"""Cells of a picture at most; larger machines have more regions in one."""
_PIXELS = 1024
_LEAST_WEIGHT = 0.4
"""A cell of many regions shows the smallest entries in it with this weight at least: a single split stays visible."""


def draw_map(result: Result, directory: Path, *, at_ns: int | None = None, animate: bool = False) -> list[Path]:
    """Draw a run's map of memory into a directory: at a moment, as an animation, or at six moments.

    Raises:
        SimcoreError: the run left no map, or the moment lies outside of it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if animate:
        from models.views.animation import animate_map  # noqa: PLC0415 - it imports this module

        return animate_map(result, directory)
    if at_ns is None:
        path = directory / "map.png"
        small_maps(result, path=path)
    else:
        path = directory / f"map_{at_ns}ns.png"
        memory_map(result, at_ns, path)
    return [path]


def the_history(result: Result) -> MapHistory:
    """The history of a run's direct map.

    Raises:
        SimcoreError: it left none.
    """
    history = MapHistory.of(result)
    if history is None:
        raise SimcoreError(f"the run {result.name!r} left no map of memory (map_start, map_changes)")
    return history


def memory_map(result: Result, at_ns: int | None = None, path: Path | str | None = None) -> Picture:
    """Draw the map at a moment; at the end of the run if none is given.

    Raises:
        SimcoreError: the run left no map, or the moment lies outside of it.
    """
    history = the_history(result)
    moment_ns = history.end_ns if at_ns is None else at_ns
    if not 0 <= moment_ns <= history.end_ns:
        raise SimcoreError(f"no map at {format_ns(moment_ns)}: the run lasted {format_ns(history.end_ns)}")
    return small_maps(result, [moment_ns], path)


def moments_of(history: MapHistory, count: int) -> list[int]:
    """Moments from the start to the end of a run, evenly spaced, in ns."""
    return [history.end_ns * number // max(1, count - 1) for number in range(count)]


def small_maps(result: Result, moments_ns: Sequence[int] | None = None, path: Path | str | None = None) -> Picture:
    """Draw the map at several moments side by side.

    Args:
        result: a run.
        moments_ns: in ascending order; six from start to end if None.
        path: where to save.

    Raises:
        SimcoreError: the run left no map.
    """
    history = the_history(result)
    moments = moments_of(history, 6) if moments_ns is None else list(moments_ns)
    states = list(history.over(moments))
    single = len(states) == 1
    images = [
        map_image(state, MAX_CELLS if single else MAX_CELLS // 4, _PIXELS if single else _PIXELS // 2)
        for state in states
    ]
    columns = min(3, len(images))
    lines = -(-len(images) // columns)
    height = images[0].shape[0] / images[0].shape[1]
    width = 8.0 if columns == 1 else 3.6
    picture = Picture(width * columns + 0.2, (width * height + 0.45) * lines + 0.9)
    panels = picture.subplots(lines, columns, squeeze=False).flat
    for number, panel in enumerate(panels):
        panel.set_axis_off()
        if number < len(images):
            panel.imshow(images[number], interpolation="antialiased", aspect="equal")
            panel.set_title(f"{format_ns(moments[number])}   {_sizes(states[number])}", fontsize=8, loc="left")
    name = result.name.replace("$", r"\$")
    picture.suptitle(
        f"{name}: {format_bytes(history.memory_bytes)} of physical addresses", fontsize=11, x=0.01, ha="left"
    )
    picture.legend(handles=_legend(states[-1]), loc="outside lower left", ncols=6, frameon=False, fontsize=8)
    if path is not None:
        save(picture, path)
    return picture


def _legend(state: Codes) -> list[Any]:
    regions = cells_of(state, MAX_CELLS).regions
    handles: list[Any] = [
        Patch(facecolor=colour, label=label) for colour, label in zip(COLOURS[:0:-1], ("1G", "2M", "4K"), strict=True)
    ]
    handles += [
        Patch(facecolor=colour, label=label)
        for colour, label in zip(MARKS, ("secret pages", "unmapped, not secret"), strict=True)
    ]
    size = f"cell {format_bytes(regions * REGION_BYTES)}, borders {format_bytes(border_bytes(regions))}"
    return [*handles, Patch(facecolor="none", label=size)]


def _sizes(state: Codes) -> str:
    counts = np.bincount(state & LEVEL_MASK, minlength=4)
    shown = zip(("4K", "2M", "1G"), counts[1:].tolist(), strict=True)
    return ", ".join(f"{name} {format_bytes(count * REGION_BYTES)}" for name, count in shown)


def border_bytes(regions: int) -> int:
    """Distance of the borders in a map with cells of so many regions: 1 GiB, more where that would be under 8 cells."""
    return max(1 << 30, 64 * regions * REGION_BYTES)


def map_image(state: Codes, at_most: int = MAX_CELLS, pixels: int = _PIXELS) -> NDArray[np.uint8]:
    """Return the map's picture.

    Args:
        state: as `MapHistory.at` returns it.
        at_most: cells.
        pixels: how wide and high it may be, if it has no more cells than that.

    Returns:
        RGB of shape (lines, columns, 3).
    """
    cells = cells_of(state, at_most)
    places = hilbert_image(len(cells.secret))
    colours = np.concatenate([_cell_colours(cells), [_rgb(_PAPER)]])  # the last is for places without a cell
    side = max(1, pixels // max(places.shape))
    image = np.repeat(np.repeat(colours[places], side, axis=0), side, axis=1)
    marks = np.append(np.where(cells.secret, 0, np.where(cells.absent, 1, -1)), -1)[places]
    for kind, colour in enumerate(MARKS):
        _mark(image, marks == kind, side, _rgb(colour))
    if side > 1:
        _draw_borders(image, places, side, border_bytes(cells.regions) // (cells.regions * REGION_BYTES))
    return image.astype(np.uint8)


def _cell_colours(cells: Cells) -> NDArray[np.float32]:
    weight = cells.share.copy()
    if cells.regions > 1:
        for level in (2, 1):  # the smaller last, since it is the one not to be missed
            faint = (weight[:, level] > 0) & (weight[:, level] < _LEAST_WEIGHT)
            others = 1 - weight[faint, level]
            weight[faint] *= ((1 - _LEAST_WEIGHT) / others)[:, None]
            weight[faint, level] = _LEAST_WEIGHT
    return weight @ np.array([_rgb(colour) for colour in COLOURS], np.float32)


def _mark(image: NDArray[Any], marked: NDArray[np.bool_], side: int, colour: NDArray[np.float32]) -> None:
    """Colour the middle of some cells, or all of a cell that has no middle."""
    margin = 0 if side < 3 else max(1, side // 4)
    for down in range(margin, side - margin):
        for right in range(margin, side - margin):
            image[down::side, right::side][marked] = colour


def _draw_borders(image: NDArray[Any], places: NDArray[np.int64], side: int, cells: int) -> None:
    """Draw a line where the cell to the left or above belongs to another block of ``cells`` cells."""
    block = np.where(places < 0, -1, places // cells)
    left = np.zeros(block.shape, bool)
    left[:, 1:] = block[:, 1:] != block[:, :-1]
    above = np.zeros(block.shape, bool)
    above[1:] = block[1:] != block[:-1]
    line = _rgb(_BORDER)
    for step in range(side):
        part = image[step::side, ::side]
        part[left] = 0.35 * part[left] + 0.65 * line
        part = image[::side, step::side]
        part[above] = 0.35 * part[above] + 0.65 * line


def _rgb(colour: str) -> NDArray[np.float32]:
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], np.float32)
