"""Pictures of series: only what changes, sums, legends, texts that stay texts, files that are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from PIL import Image

from simcore.errors import SimcoreError
from simcore.result import Result
from simcore.views import draw_all
from simcore.views.series import small_multiples, stacked
from tests.simcore.views.made_results import result_of


@pytest.fixture
def small() -> Result:
    return result_of(
        {
            "time_ns": np.array([0, 10, 30]),
            "map.4k_bytes": np.array([0, 1 << 30, 3 << 30]),
            "map.2m_bytes": np.array([8 << 30, 7 << 30, 5 << 30]),
            "constant": np.array([4, 4, 4]),
        },
        end_ns=40,
    )


def test_only_series_that_change_are_drawn_unless_asked_for(small: Result) -> None:
    def titles(names: list[str] | None) -> list[str]:
        return [axes.get_title(loc="left") for axes in small_multiples(small, names).axes if axes.get_visible()]

    assert titles(None) == ["map.2m_bytes [GiB]", "map.4k_bytes [GiB]"]
    assert titles(["const*"]) == ["constant"]
    with pytest.raises(SimcoreError, match="did you mean 'constant'"):
        small_multiples(small, ["constnt"])


def test_stacked_areas_reach_the_sum(small: Result, tmp_path: Path) -> None:
    figure = stacked(small, ["map.4k_bytes", "map.2m_bytes"], ["4K", "2M"], tmp_path / "tiling.png", ylabel="memory")
    (axes,) = figure.axes
    areas = [area for area in axes.collections if isinstance(area, PolyCollection)]
    tops = [max(np.asarray(path.vertices)[:, 1].max() for path in area.get_paths()) for area in areas]
    assert tops == [3.0, 8.0]
    assert axes.get_ylabel() == "memory [GiB]"
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["2M", "4K"]
    with Image.open(tmp_path / "tiling.png") as image:
        assert image.size[0] > 800


def test_runs_are_laid_over_each_other_with_a_legend(small: Result) -> None:
    figure = small_multiples([small, small], ["map.4k_bytes"], labels=["first", "second"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["first", "second"]


def test_a_name_with_mathematics_or_markup_stays_text(small: Result, tmp_path: Path) -> None:
    small.summary["name"] = r"$\frac{1}{0$ <script>"
    small_multiples(small, None, tmp_path / "x.svg")
    text = (tmp_path / "x.svg").read_text()
    assert "<script>" not in text


def test_the_same_run_gives_the_same_file(small: Result, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        small_multiples(small, None, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_notebooks_get_a_picture(small: Result) -> None:
    picture: Any = small.plot()
    assert picture._repr_png_().startswith(b"\x89PNG")


def test_empty_and_constant_runs_can_be_drawn(tmp_path: Path) -> None:
    empty = result_of({"time_ns": np.array([], dtype=np.int64), "x": np.array([], dtype=np.int64)}, 0)
    assert draw_all(empty, tmp_path / "new")[0].exists()
