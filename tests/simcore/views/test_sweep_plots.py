"""Plots of a sweep: they show what the table says, and survive odd tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from simcore.analysis.intervals import mean_interval
from simcore.analysis.tables import AnalysisError
from simcore.views import sweep_plots
from simcore.views.sweep_axes import save_figure
from simcore.views.sweep_plots import COLOURS, plot_curves, plot_heat_map, plot_scatter
from simcore.views.sweeps import plot_sweep
from tests.simcore.views.sweep_tables import table


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Collect the figures that are saved."""
    figures: list[Figure] = []
    save = save_figure

    def collect(figure: Figure, path: Path) -> Path:
        figures.append(figure)
        return save(figure, path)

    monkeypatch.setattr(sweep_plots, "save_figure", collect)
    return figures


def test_curves_show_means_and_intervals(tmp_path: Path, drawn: list[Figure]) -> None:
    """Every point lies at the mean of its runs, every bar spans its interval, every curve has its colour."""
    runs = table()
    path = plot_curves(runs, "direct_map.4k_bytes", "memory", "policy", tmp_path / "curve.png")
    assert imread(path).std() > 0
    (axes,) = drawn[0].axes
    for number, container in enumerate(axes.containers):
        line, _, (bars,) = container.lines  # type: ignore[attr-defined]
        assert line.get_color() == COLOURS[number]
        for place, size in enumerate(sorted(set(runs["memory"]))):
            values = [
                value
                for value, policy, memory in zip(
                    runs["direct_map.4k_bytes"], runs["policy"], runs["memory"], strict=True
                )
                if (policy, memory) == (f"policy{number}", size)
            ]
            interval = mean_interval(values)
            assert line.get_xydata()[place] == pytest.approx([size, interval.mean])
            assert bars.get_segments()[place][:, 1] == pytest.approx([interval.low, interval.high])
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["policy0", "policy1"]
    assert {label.get_text() for label in axes.get_xticklabels()} == {"1GiB", "2GiB", "4GiB"}


def test_heat_map_writes_the_mean_into_every_cell(tmp_path: Path, drawn: list[Figure]) -> None:
    """A point that `where` left out stays empty."""
    runs = {name: values[4:] for name, values in table().items()}
    plot_heat_map(runs, "direct_map.4k_bytes", "memory", "policy", tmp_path / "map.png")
    axes = drawn[0].axes[0]
    assert len(axes.texts) == 5
    first = mean_interval(runs["direct_map.4k_bytes"][:4]).mean / (1 << 20)
    assert f"{first:.1f}"[:3] in axes.texts[0].get_text()


def test_categories_stand_side_by_side(tmp_path: Path, drawn: list[Figure]) -> None:
    """Over a parameter without order there are no lines between points."""
    plot_curves(table(), "direct_map.4k_bytes", "policy", "memory", tmp_path / "curve.png")
    (axes,) = drawn[0].axes
    assert all(container.lines[0].get_linestyle() == "None" for container in axes.containers)  # type: ignore[attr-defined]


def test_samples_are_clouds(tmp_path: Path, drawn: list[Figure]) -> None:
    """A Latin hypercube gets a panel per parameter, categories too."""
    random = np.random.default_rng(2)
    runs = {
        "x": list(random.random(64)),
        "y": list(random.integers(1, 1000, 64)),
        "policy": [f"policy{number % 3}" for number in range(64)],
        "pages": list(random.random(64)),
    }
    made = plot_sweep(runs, ["x", "y", "policy"], ["pages"], tmp_path)
    assert [path.name for path in made] == ["pages.png"]
    assert [axes.get_xlabel() for axes in drawn[0].axes] == ["x", "y", "policy"]


def test_missing_values_do_not_stop_a_plot(tmp_path: Path) -> None:
    """Failed runs leave gaps: in a curve, a map and a cloud."""
    runs = table()
    runs["direct_map.4k_bytes"][:4] = [None] * 4
    for path in (
        plot_curves(runs, "direct_map.4k_bytes", "memory", "policy", tmp_path / "a.png"),
        plot_heat_map(runs, "direct_map.4k_bytes", "memory", "policy", tmp_path / "b.png"),
        plot_scatter(runs, "direct_map.4k_bytes", ["memory", "policy"], tmp_path / "c.png"),
    ):
        assert imread(path).std() > 0


def test_too_many_curves_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="8 values of policy are more than the 7"):
        plot_curves(table(8), "direct_map.4k_bytes", "memory", "policy", tmp_path / "a.png")


def test_colours_can_be_told_apart_without_red_and_green() -> None:
    """Under simulated protanopia and deuteranopia (Machado 2009) no two colours come close."""
    simulations = [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    ]
    colours = np.array([[int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)] for colour in COLOURS])
    for matrix in simulations:
        seen = np.clip(np.where(colours > 0.04, colours**2.2, colours / 12.92) @ np.array(matrix).T, 0, 1) ** (1 / 2.2)
        distances = np.linalg.norm(seen[:, None] - seen[None], axis=2) + 9 * np.eye(len(COLOURS))
        assert distances.min() > 0.1
