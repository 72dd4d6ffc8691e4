"""What tiling costs, as one figure: each bystander's slowdown over the share of memory at 4K, the flushes beside it.

``python -m models.tiling_figure docs/figures/what_tiling_costs.png`` runs configs/what_tiling_costs.yaml with
part of the regions split, on three TLBs and three numbers of CPUs, and configs/what_secret_pages_cost.yaml with more
and more tasks.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from simcore.result import Result
from simcore.run import run

__all__ = ["draw", "flush_cost", "main", "secret_memory", "slowdowns"]

CONFIGS: Final = Path("configs")
SHARES: Final = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
TLBS: Final = ("skylake_sp", "zen5", "zen5_hashed")
CPUS: Final = ((8, 1), (96, 2), (448, 8))
"""CPUs and sockets."""
TASKS: Final = (64, 256, 1024, 4096)
BYSTANDERS: Final = {
    "build": "kernel build", "cache": "memcached", "reader": "page-cache reader", "router": "packet forwarder",
    "crypt": "dm-crypt writer",
}  # fmt: skip

Row = dict[str, Any]


def _share(result: Result) -> float:
    return float(result.summary["direct_map.4k_bytes"] / result.summary["quantities"]["machine.memory"])


def _row(result: Result) -> Row:
    row: Row = {"share": _share(result)}
    for name in BYSTANDERS:
        for key in ("slowdown_reach", "slowdown_reach_low", "slowdown_reach_high"):
            row[f"{name}.{key}"] = result.summary.get(f"bystander.{name}.{key}", 0.0)
    return row


def slowdowns(
    tlb: str, shares: tuple[float, ...] = SHARES, config: Path = CONFIGS / "what_tiling_costs.yaml"
) -> list[Row]:
    """Run with each share of the regions split; intervals on the first TLB only."""
    changes: dict[str, Any] = {"machine.tlb": tlb}
    if tlb != TLBS[0]:
        changes |= {f"bystanders.{name}.uncertainty": 0 for name in BYSTANDERS}
    return [_row(run(config, set={**changes, "workloads.fragmenter.share": share}, progress=False)) for share in shares]


def secret_memory(tasks: tuple[int, ...] = TASKS, config: Path = CONFIGS / "what_secret_pages_cost.yaml") -> list[Row]:
    """Run with so many tasks of one secret page each."""
    changes: dict[str, Any] = {f"bystanders.{name}.uncertainty": 0 for name in BYSTANDERS}
    rows = []
    for count in tasks:
        result = run(config, set={**changes, "workloads.bomb.tasks": count}, progress=False)
        # What it costs while the tasks are there and when they are gone is the same: nothing merges.
        rows.append({**_row(result), "tasks": count})
    return rows


def flush_cost(cpus: int, sockets: int, config: Path = CONFIGS / "what_tiling_costs.yaml") -> list[Row]:
    """CPU time in seconds that flushes and refills have cost when a share of memory was at 4K."""
    changes: dict[str, Any] = {f"bystanders.{name}.uncertainty": 0 for name in BYSTANDERS}
    result = run(config, set={**changes, "machine.cpus": cpus, "machine.sockets": sockets}, progress=False)
    series = result.series
    memory = result.summary["quantities"]["machine.memory"]
    shares = np.asarray(series["direct_map.4k_bytes"]) / memory
    seconds = (np.asarray(series["tlb.flush_ns"]) + np.asarray(series["tlb.refill_ns"])) / 1e9
    keep = np.unique(np.linspace(0, len(shares) - 1, 200).astype(int))
    return [{"share": float(shares[at]), "seconds": float(seconds[at])} for at in keep]


def draw(by_tlb: dict[str, list[Row]], secret: list[Row], flushes: dict[int, list[Row]], path: Path) -> Path:
    """Draw a panel per bystander, and one for the flushes."""
    import matplotlib  # noqa: PLC0415 - only who draws needs it

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(2, 3, figsize=(12, 7), sharex=True, constrained_layout=True)
    panels = list(axes.flat)
    looks = {TLBS[0]: ("C0", "-"), TLBS[1]: ("C2", "-"), TLBS[2]: ("C2", "--")}
    top = 0.0
    for axis, (name, title) in zip(panels, BYSTANDERS.items(), strict=False):
        for tlb, rows in by_tlb.items():
            color, style = looks[tlb]
            shares = [0.0] + [100 * row["share"] for row in rows]
            axis.plot(
                shares, [0.0] + [100 * row[f"{name}.slowdown_reach"] for row in rows], style, color=color, label=tlb
            )
            if tlb == TLBS[0]:
                low, high = (
                    [0.0] + [100 * row[f"{name}.slowdown_reach_{end}"] for row in rows] for end in ("low", "high")
                )
                axis.fill_between(shares, low, high, color=color, alpha=0.15, lw=0, label="90 % of draws, skylake_sp")
                top = max(top, *high)
        axis.plot(
            [100 * row["share"] for row in secret], [100 * row[f"{name}.slowdown_reach"] for row in secret],
            "o:", color="C3", ms=4, label=f"secret pages of {TASKS[0]} to {TASKS[-1]:,} tasks, skylake_sp",
        )  # fmt: skip
        axis.set_title(title)
        axis.grid(alpha=0.3)
        axis.set_ylabel("slowdown, %")
    for axis in panels[:-1]:
        axis.set_ylim(0, top * 1.03)
    last = panels[-1]
    for cpus, rows in flushes.items():
        last.plot([100 * row["share"] for row in rows], [row["seconds"] for row in rows], label=f"{cpus} CPUs")
    last.set_yscale("log")
    last.set_title("flushes and refills on the way")
    last.set_ylabel("CPU seconds, all CPUs together")
    last.grid(alpha=0.3)
    last.legend(fontsize=8)
    for axis in axes[1]:
        axis.set_xlabel("share of memory at 4K, %")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncol=len(labels), fontsize=8)
    figure.suptitle("What splitting the direct map costs, 32 GiB, splits anywhere (lines) or by secret pages (dots)")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def main(path: str) -> None:
    """Run everything and draw; print what is drawn."""
    by_tlb = {tlb: slowdowns(tlb) for tlb in TLBS}
    secret = secret_memory()
    flushes = {cpus: flush_cost(cpus, sockets) for cpus, sockets in CPUS}
    print(draw(by_tlb, secret, flushes, Path(path)))
    for tlb, rows in by_tlb.items():
        for row in rows:
            print(tlb, " ".join(f"{key}={value:.4f}" for key, value in row.items()))
    for row in secret:
        print("secret", " ".join(f"{key}={value:.4f}" for key, value in row.items()))
    for cpus, rows in flushes.items():
        print(cpus, "CPUs:", f"{rows[-1]['seconds']:.3f} CPU seconds at {rows[-1]['share']:.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
