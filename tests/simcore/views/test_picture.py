"""Figures: colours that a grey print still tells apart."""

from __future__ import annotations

import itertools

from matplotlib.colors import to_rgb

from simcore.views.picture import PALETTE


def test_neighbouring_colours_differ_in_lightness() -> None:
    """A grey print must still tell the areas apart."""
    lightness = [0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in map(to_rgb, PALETTE)]
    assert all(abs(one - other) > 0.05 for one, other in itertools.pairwise(lightness))
