"""Sobol indices of a function whose indices are known in closed form, over this project's own design."""

from __future__ import annotations

import numpy as np
import pytest

from simcore.analysis.sensitivity import sobol_indices
from simcore.analysis.tables import AnalysisError
from simcore.sweep.design import Design
from simcore.sweep.points import expand


def ishigami_table(points: int) -> dict[str, list[float]]:
    over = {name: {"from": -float(np.pi), "to": float(np.pi)} for name in ("x1", "x2", "x3")}
    design = Design.model_validate({"sobol": {"points": points, "indices": True, "over": over}})
    table: dict[str, list[float]] = {"point": [], "y": []}
    for number, point in enumerate(expand(design, {})):
        y = np.sin(point["x1"]) + 7 * np.sin(point["x2"]) ** 2 + 0.1 * point["x3"] ** 4 * np.sin(point["x1"])
        for replication in (-1, 1):  # replications are averaged
            table["point"].append(number)
            table["y"].append(float(y) + replication)
    return table


def test_ishigami() -> None:
    """First-order and total indices are those of Ishigami and Homma (1990) with a = 7, b = 0.1."""
    a, b = 7.0, 0.1
    first = 0.5 * (1 + b * np.pi**4 / 5) ** 2
    second = a**2 / 8
    variance = second + b * np.pi**4 / 5 + b**2 * np.pi**8 / 18 + 0.5
    interaction = variance - first - second
    rows = sobol_indices(ishigami_table(1024), "y", ["x1", "x2", "x3"])
    assert [row["first_order"] for row in rows] == pytest.approx(
        [first / variance, second / variance, 0.0], abs=0.03
    )
    assert [row["total"] for row in rows] == pytest.approx(
        [(first + interaction) / variance, second / variance, interaction / variance], abs=0.03
    )
    assert all(row["total_half_width"] > 0 for row in rows)


def test_a_design_that_does_not_fit_is_refused() -> None:
    table = ishigami_table(4)
    with pytest.raises(AnalysisError, match="no Sobol design for 2 parameters"):
        sobol_indices(table, "y", ["x1", "x2"])
    with pytest.raises(AnalysisError, match="no Sobol design"):
        sobol_indices({name: values[2:] for name, values in table.items()}, "y", ["x1", "x2", "x3"])
    with pytest.raises(AnalysisError, match="no variance"):
        sobol_indices({**table, "y": [1.0] * len(table["y"])}, "y", ["x1", "x2", "x3"])
