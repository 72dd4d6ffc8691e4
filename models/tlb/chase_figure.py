"""The pointer chase as a figure: measured steps and predicted ones over the footprint.

``python -m models.tlb.chase_figure MEASURED.csv FIGURE.png`` draws it and prints the distance of each row.
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from models.machine.tlb import PageSize, TlbPreset, load_tlb
from models.tlb.chase import predict_chase

__all__ = ["Row", "draw", "read_rows"]

# Rows above this are measured on a shared and busy L3.
LARGEST_PAGES = 32_768
KINDS: dict[str, tuple[PageSize, Literal["contiguous", "scattered"], str]] = {
    "2M": ("2M", "contiguous", "2M pages"),
    "4Kseq": ("4K", "contiguous", "4K pages, frames in a row"),
    "4Krnd": ("4K", "scattered", "4K pages, frames scattered"),
}


@dataclass(frozen=True)
class Row:
    """One footprint: what the runs took and what a preset predicts, in nanoseconds a step."""

    kind: str
    n_pages: int
    measured_ns: tuple[float, ...]
    predicted_ns: float

    @property
    def distance(self) -> float:
        """Predicted over the fastest run, less one."""
        return self.predicted_ns / min(self.measured_ns) - 1


def read_rows(measured: Path, preset: TlbPreset) -> list[Row]:
    """Return a row for each kind and footprint of the dependent chase up to 128 MiB."""
    runs: dict[tuple[str, int], list[float]] = defaultdict(list)
    with measured.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["pattern"] == "page" and int(row["npages4k"]) <= LARGEST_PAGES:
                runs[row["page"], int(row["npages4k"])].append(float(row["ns_min"]))
    rows = []
    for (kind, n_pages), ns in sorted(runs.items()):
        guest, frames, _ = KINDS[kind]
        step = predict_chase(preset, n_pages, guest_page=guest, host_page="4K", frames=frames)
        rows.append(Row(kind, n_pages, tuple(ns), step.ns))
    return rows


def draw(rows: Sequence[Row], others: Sequence[Row], figure: Path) -> None:
    """Draw one panel for each kind: runs as points, ``rows`` and ``others`` (two presets) as lines."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - only when asked
    from matplotlib.figure import Figure  # noqa: PLC0415

    canvas = FigureCanvasAgg(Figure(figsize=(11, 4.2), layout="constrained"))
    panels = canvas.figure.subplots(1, len(KINDS), sharey=True)
    for panel, (kind, (_, _, title)) in zip(panels, KINDS.items(), strict=True):
        here = [row for row in rows if row.kind == kind]
        there = [row for row in others if row.kind == kind]
        mib = [row.n_pages / 256 for row in here]
        for run in range(max(len(row.measured_ns) for row in here)):
            points = [(row.n_pages / 256, row.measured_ns[run]) for row in here if run < len(row.measured_ns)]
            panel.plot(
                *zip(*points, strict=True), ".", color="0.35", label="measured, 3 runs" if run == 0 else None
            )
        panel.plot(mib, [row.predicted_ns for row in here], color="tab:blue", label="zen5_hashed")
        if kind != "2M":
            ends = [[row.predicted_ns for row in rows if row.kind == layout] for layout in ("4Kseq", "4Krnd")]
            panel.fill_between(
                mib, *ends, color="tab:blue", alpha=0.12, linewidth=0, label="from no to all frames alone"
            )
        panel.plot(
            mib, [row.predicted_ns for row in there], "--", color="tab:orange", label="zen5 (LRU sets)"
        )
        for entries, name in ((96, "96 entries"), (4096, "4,096 entries")):
            panel.axvline(entries / 256, color="0.8", linewidth=0.8, zorder=0)
            panel.annotate(
                name, (entries / 256, 1.3), rotation=90, fontsize=7, color="0.5", va="bottom", ha="right"
            )
        panel.set(xscale="log", yscale="log", title=title, xlabel="footprint (MiB)", ylim=(1, 100))
        panel.set_xticks([0.25, 1, 4, 16, 64], ["¼", "1", "4", "16", "64"])
        panel.set_yticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
        panel.minorticks_off()
    panels[0].set_ylabel("time of a dependent step (ns)")
    panels[1].legend(loc="upper left", frameon=False)
    canvas.figure.savefig(figure, dpi=150)


def main(arguments: Sequence[str]) -> None:
    """Draw the figure and print the distances."""
    measured, figure = Path(arguments[0]), Path(arguments[1])
    rows = read_rows(measured, load_tlb("zen5_hashed"))
    others = read_rows(measured, load_tlb("zen5"))
    draw(rows, others, figure)
    print("pages of  footprint  measured (fastest)  zen5_hashed  distance    zen5  distance")
    for row, other in zip(rows, others, strict=True):
        print(
            f"{row.kind:8} {row.n_pages / 256:7.2f} MiB {min(row.measured_ns):15.2f} ns "
            f"{row.predicted_ns:9.2f} ns {row.distance:+8.1%} "
            f"{other.predicted_ns:7.2f} {other.distance:+8.1%}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
