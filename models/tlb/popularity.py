"""Popularity laws: how often each page of a footprint is visited, as shares that sum to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Popularity"]


@dataclass(frozen=True, eq=False)
class Popularity:
    """Shares of visits by page.

    Attributes:
        rates: Visits of each page per visit of any page; float64, shape (pages,), positive, sums to one.
    """

    rates: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        rates = np.asarray(self.rates, np.float64)
        if rates.ndim != 1 or not rates.size:
            raise ValueError(f"popularity needs one rate per page, at least one, not shape {rates.shape}")
        if not np.isfinite(rates).all() or rates.min() < 0 or rates.sum() <= 0:
            raise ValueError("popularity rates must be finite, not negative, and not all zero")
        object.__setattr__(self, "rates", rates / rates.sum())

    def __len__(self) -> int:
        return int(self.rates.size)

    @classmethod
    def zipf(cls, n_pages: int, exponent: float) -> Popularity:
        """Return the law ``rate ~ rank ** -exponent``, most popular page first.

        Raises:
            ValueError: ``n_pages`` below 1 or a negative ``exponent``.
        """
        if n_pages < 1 or exponent < 0:
            raise ValueError(f"zipf needs n_pages >= 1 and exponent >= 0, not {n_pages} and {exponent}")
        return cls(np.arange(1, n_pages + 1, dtype=np.float64) ** -exponent)

    @classmethod
    def uniform(cls, n_pages: int) -> Popularity:
        """Return equal shares."""
        return cls.zipf(n_pages, 0.0)

    @classmethod
    def mixture(cls, parts: Sequence[tuple[float, Popularity]]) -> Popularity:
        """Return the weighted sum of laws over the same pages (shorter ones cover the first pages only).

        Args:
            parts: Pairs of weight and law.
        """
        rates = np.zeros(max(len(law) for _, law in parts))
        for weight, law in parts:
            rates[: len(law)] += weight * law.rates
        return cls(rates)

    def scattered(self, rng: np.random.Generator) -> Popularity:
        """Return the same shares on shuffled pages, so that neighbours in memory are none in rank."""
        return Popularity(rng.permutation(self.rates))

    def sample(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Draw ``count`` page indexes independently by their shares."""
        cumulated = np.cumsum(self.rates)
        drawn: npt.NDArray[np.int64] = np.searchsorted(
            cumulated, rng.random(count) * cumulated[-1], side="right"
        )
        last = np.int64(len(self) - 1)
        return np.asarray(np.minimum(drawn, last), np.int64)
