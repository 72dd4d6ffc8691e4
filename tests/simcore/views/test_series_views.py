"""Pictures of series: peaks survive, units suit people, texts stay texts, files are whole."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from PIL import Image

from simcore.errors import SimcoreError
from simcore.result import Result
from simcore.series import Series
from simcore.views import draw_all
from simcore.views.series import PALETTE, scale_of, small_multiples, stacked, track_of


def result_of(columns: dict[str, Any], end_ns: int, name: str = "run") -> Result:
    return Result(Series(pa.table(columns)), {"name": name, "simulated_ns": end_ns, "expect": []}, {}, {})


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


@pytest.mark.parametrize(
    ("name", "largest", "label"),
    [
        ("x_bytes", 64 << 30, "GiB"),
        ("x_bytes", 3000, "KiB"),
        ("x_bytes", 100, "B"),
        ("x_bytes", 0, "B"),
        ("wait_ns", 5e6, "ms"),
        ("wait_ns", 3e9, "s"),
        ("wait_ns", 3 * 86400e9, "d"),
        ("tasks", 1e6, ""),
    ],
)
def test_units_suit_people(name: str, largest: float, label: str) -> None:
    assert scale_of(name, largest).label == label


def test_a_spike_among_many_points_is_still_drawn() -> None:
    values = np.zeros(100_000, dtype=np.int64)
    values[54_321] = 1000
    values[12_345] = -7
    track = track_of(result_of({"time_ns": np.arange(100_000), "x": values}, 100_000), "x")
    assert len(track.values) < 2000
    assert (track.low.min(), track.high.max()) == (-7, 1000)


def test_the_last_value_holds_to_the_end_of_the_run(small: Result) -> None:
    track = track_of(small, "map.4k_bytes")
    assert track.time_ns[-1] == 40
    assert track.values[-1] == 3 << 30


def test_only_series_that_change_are_drawn_unless_asked_for(small: Result) -> None:
    def titles(names: list[str] | None) -> list[str]:
        return [
            axes.get_title(loc="left") for axes in small_multiples(small, names).axes if axes.get_visible()
        ]

    assert titles(None) == ["map.2m_bytes [GiB]", "map.4k_bytes [GiB]"]
    assert titles(["const*"]) == ["constant"]
    with pytest.raises(SimcoreError, match="did you mean 'constant'"):
        small_multiples(small, ["constnt"])


def test_stacked_areas_reach_the_sum(small: Result, tmp_path: Path) -> None:
    figure = stacked(
        small, ["map.4k_bytes", "map.2m_bytes"], ["4K", "2M"], tmp_path / "tiling.png", ylabel="memory"
    )
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


def test_neighbouring_colours_differ_in_lightness() -> None:
    """A grey print must still tell the areas apart."""
    lightness = [0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in map(to_rgb, PALETTE)]
    assert all(abs(one - other) > 0.05 for one, other in itertools.pairwise(lightness))
