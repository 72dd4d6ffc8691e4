"""First-order and total Sobol indices of a metric over a Sobol design with `indices: true` (by SALib)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simcore.analysis.tables import AnalysisError, groups, numbers

__all__ = ["sobol_indices"]


def sobol_indices(
    table: Any,
    metric: str,
    parameters: Sequence[str],
    *,
    point: str = "point",
    confidence: float = 0.95,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return how much of a metric's variance each parameter explains, alone and with all its interactions.

    Replications of a point are averaged. The rows must come from a design `sobol: {points: N, indices:
    true}`, which lays out N blocks of (parameters + 2) points as Saltelli (2010) has it.

    Args:
        table: any table, one row per run, with a column that numbers the points of the design from 0.
        metric: numeric column.
        parameters: names of the parameters in the design's order.
        point: the column that numbers the points.
        confidence: coverage of the bootstrapped intervals.
        seed: of the bootstrap.

    Returns:
        Rows `parameter, first_order, first_order_half_width, total, total_half_width`.

    Raises:
        AnalysisError: SALib is not installed, points are missing, or their number does not fit the
            parameters.
    """
    try:
        from SALib.analyze import sobol  # noqa: PLC0415  (an extra)
    except ImportError:
        raise AnalysisError("Sobol indices need SALib: pip install 'simcore[sensitivity]'") from None
    values = numbers(table, metric)
    averages: dict[int, float] = {}
    for (number,), members in groups(table, [point]).items():
        sample = values[members]
        sample = sample[~np.isnan(sample)]
        if not sample.size:
            raise AnalysisError(f"point {number} has no value of {metric}: Sobol indices need every point")
        averages[int(number)] = float(sample.mean())
    count, block = len(averages), len(parameters) + 2
    samples = count // block
    whole = count % block == 0 and samples & (samples - 1) == 0 and set(averages) == set(range(count))
    if not parameters or not whole:
        raise AnalysisError(
            f"{count} points are no Sobol design for {len(parameters)} parameters: "
            f"needs `sobol: {{points: N, indices: true}}` and all of its N * {block} points"
        )
    outputs = np.array([averages[number] for number in range(count)])
    if np.ptp(outputs) == 0:
        raise AnalysisError(f"{metric} is the same at every point: it has no variance to explain")
    problem = {
        "num_vars": len(parameters),
        "names": list(parameters),
        "bounds": [[0.0, 1.0]] * len(parameters),
    }
    found = sobol.analyze(
        problem, outputs, calc_second_order=False, conf_level=confidence, print_to_console=False, seed=seed
    )
    return [
        {
            "parameter": name,
            "first_order": float(found["S1"][index]),
            "first_order_half_width": float(found["S1_conf"][index]),
            "total": float(found["ST"][index]),
            "total_half_width": float(found["ST_conf"][index]),
        }
        for index, name in enumerate(parameters)
    ]
