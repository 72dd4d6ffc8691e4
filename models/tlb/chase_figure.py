"""The pointer chase as a figure: measured steps and predicted ones over the footprint.

``python -m models.tlb.chase_figure MEASURED.csv FIGURE.png`` draws it and prints the distance of each row.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from models.machine.tlb import load_tlb
from models.tlb.chase_rows import Row, read_rows

__all__ = ["draw"]

TITLES = {"2M": "2M pages", "4Kseq": "4K pages, 4Kseq", "4Krnd": "4K pages, 4Krnd"}


def draw(rows: Sequence[Row], others: Sequence[Row], figure: Path) -> None:
    """Draw one panel for each kind: runs as points, ``rows`` and ``others`` (two presets) as lines."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - only when asked
    from matplotlib.figure import Figure  # noqa: PLC0415

    canvas = FigureCanvasAgg(Figure(figsize=(11, 4.2), layout="constrained"))
    panels = canvas.figure.subplots(1, len(TITLES), sharey=True)
    for panel, (kind, title) in zip(panels, TITLES.items(), strict=True):
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
            panel.fill_between(
                mib,
                [row.in_a_row_ns for row in here],
                [row.alone_ns for row in here],
                color="tab:blue",
                alpha=0.12,
                linewidth=0,
                label="no to all frames alone",
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
    rows, others = (read_rows(measured, load_tlb(preset)) for preset in ("zen5_hashed", "zen5"))
    draw(rows, others, figure)
    print("pages of  footprint  measured (fastest)  zen5_hashed  distance    zen5  distance   in a row to alone")
    for row, other in zip(rows, others, strict=True):
        print(
            f"{row.kind:8} {row.n_pages / 256:7.2f} MiB {min(row.measured_ns):15.2f} ns "
            f"{row.predicted_ns:9.2f} ns {row.distance:+8.1%} "
            f"{other.predicted_ns:7.2f} {other.distance:+8.1%}   {row.in_a_row_ns:7.2f} to {row.alone_ns:.2f}"
        )


if __name__ == "__main__":
    main(sys.argv[1:])
