"""Numbers laid out on a Hilbert curve, so that neighbours in the row stay neighbours in the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["hilbert_image", "hilbert_places"]


def hilbert_places(order: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Column and line of each step of the curve through a square of ``2**order`` cells a side.

    Returns:
        Two arrays of shape ``(4**order,)``. Consecutive steps are neighbours; the curve begins at (0, 0), and the
        first half of it fills half of the square.
    """
    step = np.arange(4**order, dtype=np.int64)
    column, line = np.zeros_like(step), np.zeros_like(step)
    for bit in range(order):
        # The quadrant at this scale; two of them hold the smaller curve turned over.
        right, down = step >> 1 & 1, (step ^ step >> 1) & 1
        side = 1 << bit
        flipped = (down == 0) & (right == 1)
        column, line = np.where(flipped, side - 1 - column, column), np.where(flipped, side - 1 - line, line)
        column, line = np.where(down == 0, line, column), np.where(down == 0, column, line)
        column, line = column + side * right, line + side * down
        step = step >> 2
    return column, line


def hilbert_image(cells: int) -> NDArray[np.int64]:
    """Number of the cell at each place of a picture of ``cells`` cells.

    Args:
        cells: how many, at least 1.

    Returns:
        Array of shape (lines, columns), as small as holds them all; -1 where there is no cell.
    """
    order = 0
    while 4**order < cells:
        order += 1
    column, line = hilbert_places(order)
    column, line = column[:cells], line[:cells]
    image = np.full((int(line.max()) + 1, int(column.max()) + 1), -1, np.int64)
    image[line, column] = np.arange(cells)
    return image if image.shape[1] >= image.shape[0] else np.ascontiguousarray(image.T)
