"""The overview of a run: what changed is there, what did not is left out, other models are left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from models.views.report import sections
from models.views.time_series import draw, overview
from simcore.report.run_report import run_report
from simcore.result import Result
from simcore.series import Series
from tests.models.views.direct_map_runs import HOSTILE, fork_bomb

OTHER = Result(
    Series(pa.table({"time_ns": np.array([0, 5]), "queue.length": np.array([0, 3])})),
    {
        "name": HOSTILE, "simulated_ns": 10, "expect": [], "statistics": {}, "events": 3, "wall_s": 0.1,
        "fingerprint": "f",
    },
    {"name": HOSTILE},
    {},
)  # fmt: skip


def test_panels_show_what_changes() -> None:
    """A fork bomb splits, takes memory and flushes; it collapses nothing, and nobody stands by."""
    axes = [axis for axis in overview(fork_bomb()).axes if axis.get_visible()]
    titles = [axis.get_title(loc="left") for axis in axes]
    assert {"tiling", "4K entries", "splits", "splits per second", "free memory"} <= set(titles)
    assert "slowdown of bystanders" not in titles
    assert "2M collapsed" not in [label for axis in axes for label in axis.get_legend_handles_labels()[1]]


def test_a_peak_reaches_the_panel() -> None:
    """What the table calls the largest value is in the picture."""
    result = fork_bomb()
    panel = next(axis for axis in overview(result).axes if axis.get_title(loc="left") == "secret pages")
    drawn = max(float(np.max(line.get_ydata())) for line in panel.get_lines())
    assert drawn == result.statistics("secretmem.pages")["max"]


def test_runs_of_other_models_get_no_overview(tmp_path: Path) -> None:
    """Entry points are asked for every run, whatever its model."""
    assert draw(OTHER, tmp_path) is None
    assert sections(OTHER) == []
    assert not list(tmp_path.iterdir())


def test_the_report_of_another_model_shows_its_series() -> None:
    """The engine's report needs no model's help, and escapes what it is given."""
    page = run_report(OTHER)
    assert "queue.length" in page
    assert "<script>window.attacked" not in page
    assert "Map of memory" not in page


def test_the_report_shows_each_series_once() -> None:
    """A series that a model's section shows is not among the others again."""
    result = fork_bomb()
    shown = [name for section in sections(result) for name in section.series]
    assert len(shown) == len(set(shown))
    assert {"direct_map.4k_bytes", "secretmem.pages", "memory.free_bytes"} <= set(shown)
