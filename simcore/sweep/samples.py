"""Space-filling samples: Latin hypercubes and Sobol sequences, also laid out for Sobol indices."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from simcore.errors import ConfigError
from simcore.sweep.design import Range, Sampled, Values
from simcore.sweep.scales import Choice, Scale

__all__ = ["sample"]


def sample(kind: str, given: Sampled, place: str) -> list[Values]:
    """Return the points of a Latin hypercube or Sobol sample.

    Args:
        kind: `lhs` or `sobol`.
        given: how many points over which keys.
        place: of the sample in the configuration, for messages.

    Raises:
        ConfigError: a number of points, a range or an option that this kind does not take.
    """
    from scipy.stats import qmc  # noqa: PLC0415  (takes half a second, which every worker would pay)

    if kind == "sobol" and given.points & (given.points - 1):
        near = 1 << round(math.log2(given.points))
        raise ConfigError(
            f"{given.points} is not a power of two", key=f"{place}.points", expected=f"for example {near}"
        )
    if kind == "lhs" and given.indices:
        raise ConfigError("only a Sobol design gives indices", key=f"{place}.indices")
    scales: dict[str, Scale | Choice] = {}
    for key, over in given.over.items():
        if isinstance(over, Range):
            if over.steps is not None:
                raise ConfigError(
                    f"a {kind} design takes no `steps`; `points` says how many", key=f"{place}.over.{key}.steps"
                )
            scales[key] = Scale(over, f"{place}.over.{key}")
        else:
            scales[key] = Choice(over, f"{place}.over.{key}")
    dimensions = len(scales)
    if kind == "lhs":
        shares = qmc.LatinHypercube(dimensions, rng=np.random.default_rng(given.seed)).random(given.points)
    else:
        wide = 2 * dimensions if given.indices else dimensions
        sequence = qmc.Sobol(wide, scramble=True, rng=np.random.default_rng(given.seed))
        shares = sequence.random_base2(given.points.bit_length() - 1)
        if given.indices:
            shares = _saltelli(shares)
    return [
        {key: scale.sample(float(share)) for (key, scale), share in zip(scales.items(), row, strict=True)}
        for row in shares
    ]


def _saltelli(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return blocks A, A with column j of B for every j, B, from A and B side by side (Saltelli 2010)."""
    dimensions = shares.shape[1] // 2
    first, second = shares[:, :dimensions], shares[:, dimensions:]
    blocks = np.repeat(first[:, None, :], dimensions + 2, axis=1)
    for column in range(dimensions):
        blocks[:, column + 1, column] = second[:, column]
    blocks[:, -1, :] = second
    return blocks.reshape(-1, dimensions)
