"""Constants fitted to the published rows that are there for it; everything else is predicted with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml
from scipy.optimize import brentq

from models.machine.costs import FlushCost

__all__ = ["Removal", "Shootdown", "Storm", "fit_removal", "fit_shootdown", "fit_storm", "published", "throughput"]

_FILE: Final = Path(__file__).parent / "published.yaml"
_NS_PER_S: Final = 1e9


@cache
def published() -> dict[str, Any]:
    """The published figures; comments beside them say which rows may be fitted."""
    document: dict[str, Any] = yaml.load(_FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return document


class Shootdown(NamedTuple):
    """A flush of other CPUs' TLBs by interrupt: a + b*(n-1), ns."""

    a_ns: float
    b_ns_per_cpu: float


def fit_shootdown(row: dict[str, Sequence[float]]) -> Shootdown:
    """Fit the flush of one page to the time of an operation over threads; the local operation is the first."""
    local, two, four = row["ns"]
    b_ns = (four - two) / 2
    return Shootdown(two - local - b_ns, b_ns)


class Removal(NamedTuple):
    """What removing every page costs: pages of the workload, and time per page."""

    pages: float
    base_ns: float
    work_ns: float


def fit_removal(row: dict[str, float], flush: FlushCost, cpus: int) -> Removal:
    """Fit the number of pages and the work beside the flush to one machine's row (system time, s).

    With every flush at once a page costs ``work + local flush + a + b*(n-1)`` where it is asked for and an interrupt on
    each other CPU; deferred it costs ``work + local flush``. The difference gives the pages, the rest the work.

    Args:
        row: ``base``, ``xpfo`` and ``deferred_flush``.
        flush: the flush model; its constants are not fitted here.
        cpus: all busy.
    """
    each_ns = flush.initiator_ns(1, cpus - 1) + (cpus - 1) * flush.receiver_ns(1)
    local_ns = flush.local_ns(1)
    pages = (row["xpfo"] - row["deferred_flush"]) * _NS_PER_S / (each_ns - local_ns)
    work_ns = (row["deferred_flush"] - row["base"]) * _NS_PER_S / pages - local_ns
    return Removal(pages, row["base"] * _NS_PER_S / pages, work_ns)


class Storm(NamedTuple):
    """Threads that flush all the time, ns per loop; ``interrupted_ns``: b and a receiver's loss together."""

    work_ns: float
    shared_ns: float
    a_ns: float
    interrupted_ns: float


def throughput(threads: int, think_ns: float, shared_ns: float) -> float:
    """Loops per ns of threads that think, then queue for one server: exact mean value analysis, exponential times."""
    queue = rate = 0.0
    for number in range(1, threads + 1):
        response_ns = shared_ns * (1 + queue)
        rate = number / (think_ns + response_ns)
        queue = rate * response_ns
    return rate


def fit_storm(rows: dict[str, Sequence[float]], broadcast_ns: float) -> Storm:
    """Fit to 1, 2 and 4 threads (thousand loops/s): both rows at 1 and 2, where both interrupt; each one's at 4.

    Args:
        rows: ``threads``, ``ipi`` and ``invlpgb``.
        broadcast_ns: of a broadcast, which is not fitted.
    """
    ipi = dict(zip(rows["threads"], rows["ipi"], strict=True))
    told = dict(zip(rows["threads"], rows["invlpgb"], strict=True))
    whole_ns = 2e6 / (ipi[1] + told[1])

    def solve(distance: Callable[[float], float], low: float, high: float) -> float:
        return float(brentq(distance, low, high, xtol=0.01))

    shared_ns = solve(
        lambda shared: throughput(4, whole_ns - shared + broadcast_ns, shared) - told[4] / 1e6, 1.0, whole_ns - 1
    )
    rates = {2: (ipi[2] + told[2]) / 2e6, 4: ipi[4] / 1e6}
    extra_ns = {
        n: solve(lambda x, n=n: throughput(n, whole_ns - shared_ns + x, shared_ns) - rates[n], 0.0, 1e5)  # type: ignore[misc]
        for n in (2, 4)
    }
    slope_ns = (extra_ns[4] - extra_ns[2]) / 2
    return Storm(whole_ns - shared_ns, shared_ns, extra_ns[2] - slope_ns, slope_ns)
