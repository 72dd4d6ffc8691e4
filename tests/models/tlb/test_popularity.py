"""Popularity laws."""

from __future__ import annotations

import numpy as np
import pytest

from models.tlb.popularity import Popularity


def test_zipf_follows_its_power() -> None:
    """The tenth page is visited 10**-s as often as the first."""
    law = Popularity.zipf(100, 0.8)
    assert law.rates[9] / law.rates[0] == pytest.approx(10**-0.8)
    assert law.rates.sum() == pytest.approx(1.0)


def test_mixture_weighs_its_parts() -> None:
    """Three parts uniform over all, one part over the first page."""
    law = Popularity.mixture([(3, Popularity.uniform(4)), (1, Popularity.uniform(1))])
    assert law.rates.tolist() == pytest.approx([0.4375, 0.1875, 0.1875, 0.1875])


def test_samples_come_at_their_rates() -> None:
    """Drawn pages are visited as often as the law says."""
    law = Popularity.zipf(50, 1.0)
    drawn = np.bincount(law.sample(200_000, np.random.default_rng(1)), minlength=50) / 200_000
    assert drawn == pytest.approx(law.rates, rel=0.1)


@pytest.mark.parametrize("rates", [[], [0.0, 0.0], [-1.0, 2.0], [float("nan")], [[1.0]]])
def test_bad_rates_are_refused(rates: list[float]) -> None:
    """Rates must be finite, not negative, and not all zero."""
    with pytest.raises(ValueError, match="popularity"):
        Popularity(np.array(rates))


def test_bad_zipf_is_refused() -> None:
    """No pages, or a negative exponent."""
    with pytest.raises(ValueError, match="not 0 and 1"):
        Popularity.zipf(0, 1.0)
