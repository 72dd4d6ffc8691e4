"""Rows of a recorded pointer chase beside the steps that a preset predicts for them.

How the guest's frames lay is not recorded, and it differed between runs of the same footprint. With 4K pages it is one
number, the part of the frames that lie alone in their line of the host's table. As nothing says which, the
prediction is for half of them, with the two extremes beside it; it is fitted to no row.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from models.machine.tlb import PageSize, TlbPreset
from models.tlb.chase import predict_chase

__all__ = ["ALONE", "KINDS", "Row", "measured_runs", "read_rows"]

ALONE = 0.5
"""Part of a guest's 4K frames that lie alone: the middle of what can be."""
# Rows above 128 MiB are measured on a shared and busy L3.
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
        predicted_ns: If `ALONE` of the frames lie alone in their line of the host's table.
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


def read_rows(measured: Path, preset: TlbPreset) -> list[Row]:
    """Return a row for each kind and footprint up to 128 MiB."""
    rows = []
    for (kind, n_pages), ns in sorted(measured_runs(measured).items()):
        predicted, in_a_row, alone = (
            predict_chase(preset, n_pages, guest_page=KINDS[kind], host_page="4K", frames=frames).ns
            for frames in (ALONE, 0.0, 1.0)
        )
        rows.append(Row(kind, n_pages, tuple(ns), predicted, in_a_row, alone))
    return rows
