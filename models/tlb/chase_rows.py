"""Rows of a recorded pointer chase beside the steps that a preset predicts for them.

How the guest's frames lay is not recorded. With 4K pages it is one number, the part of the frames that lie
alone in their line of the host's table; it is fitted to one row, of 90 MiB. What is stated of predictions is of
smaller rows.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scipy.optimize import brentq

from models.machine.tlb import PageSize, TlbPreset
from models.tlb.chase import predict_chase

__all__ = ["FITTED_PAGES", "KINDS", "Row", "fit_frames", "measured_runs", "read_rows"]

# The row that the layout is fitted to: 90 MiB. Rows above 128 MiB are measured on a shared and busy L3.
FITTED_PAGES = 23_170
_LARGEST_PAGES = 32_768
KINDS: dict[str, PageSize] = {"2M": "2M", "4Kseq": "4K", "4Krnd": "4K"}

Runs = dict[tuple[str, int], list[float]]


@dataclass(frozen=True)
class Row:
    """One footprint: what the runs took and what a preset predicts, in nanoseconds a step.

    Attributes:
        kind: Of page, as the recording names it.
        n_pages: Pages of 4K.
        measured_ns: Of each run, the fastest step.
        predicted_ns: With the fitted layout.
        in_a_row_ns: Predicted if eight frames share each line of the host's table.
        alone_ns: Predicted if every frame lies alone in its line.
    """

    kind: str
    n_pages: int
    measured_ns: tuple[float, ...]
    predicted_ns: float
    in_a_row_ns: float
    alone_ns: float

    @property
    def distance(self) -> float:
        """Predicted over the fastest run, less one."""
        return self.predicted_ns / min(self.measured_ns) - 1


def measured_runs(measured: Path, pattern: str = "page") -> Runs:
    """Return ``ns_min`` of the runs by kind and footprint, up to 128 MiB.

    Args:
        measured: The recording.
        pattern: ``page`` for dependent steps, ``mlp`` for independent ones over the same memory.
    """
    runs: Runs = defaultdict(list)
    with measured.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["pattern"] == pattern and int(row["npages4k"]) <= _LARGEST_PAGES:
                runs[row["page"], int(row["npages4k"])].append(float(row["ns_min"]))
    return dict(runs)


def fit_frames(preset: TlbPreset, measured_ns: float, n_pages: int) -> float:
    """Return the part of a guest's 4K frames that lie alone, from one measured step; the nearest end if none fits."""

    def too_dear(alone: float) -> float:
        return predict_chase(preset, n_pages, host_page="4K", frames=alone).ns - measured_ns

    if too_dear(0.0) >= 0.0:
        return 0.0
    if too_dear(1.0) <= 0.0:
        return 1.0
    return float(brentq(too_dear, 0.0, 1.0, xtol=1e-3))


def read_rows(measured: Path, preset: TlbPreset) -> tuple[list[Row], Mapping[str, float]]:
    """Return a row for each kind and footprint up to 128 MiB, and the fitted part of lone frames of each kind."""
    runs = measured_runs(measured)
    alone = {
        kind: fit_frames(preset, min(runs[kind, FITTED_PAGES]), FITTED_PAGES) if guest == "4K" else 0.0
        for kind, guest in KINDS.items()
    }
    rows = []
    for (kind, n_pages), ns in sorted(runs.items()):
        fitted, in_a_row, lone = (
            predict_chase(preset, n_pages, guest_page=KINDS[kind], host_page="4K", frames=frames).ns
            for frames in (alone[kind], 0.0, 1.0)
        )
        rows.append(Row(kind, n_pages, tuple(ns), fitted, in_a_row, lone))
    return rows, alone
