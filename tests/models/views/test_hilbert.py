"""The curve: every place once, neighbours beside each other."""

from __future__ import annotations

import numpy as np
import pytest

from models.views.hilbert import hilbert_image, hilbert_places


@pytest.mark.parametrize("order", range(8))
def test_the_curve_visits_every_place_once_in_single_steps(order: int) -> None:
    """A jump would tear neighbouring memory apart in the picture."""
    column, line = hilbert_places(order)
    side = 2**order
    assert len(set(zip(column.tolist(), line.tolist(), strict=True))) == side * side
    assert column.max(initial=0) == line.max(initial=0) == side - 1
    steps = np.abs(np.diff(column)) + np.abs(np.diff(line))
    assert np.all(steps == 1)
    assert (column[0], line[0]) == (0, 0)


@pytest.mark.parametrize("cells", [1, 2, 3, 5, 64, 1000, 2048])
def test_an_image_holds_every_cell_once(cells: int) -> None:
    """Cells beyond the last power of four must neither vanish nor double."""
    image = hilbert_image(cells)
    assert np.array_equal(np.sort(image[image >= 0]), np.arange(cells))
    assert image.shape[1] >= image.shape[0]


def test_half_of_a_square_is_cut_to_half() -> None:
    """A machine of half a square's size gets a picture without an empty half."""
    assert hilbert_image(2 * 4**4).shape == (16, 32)
