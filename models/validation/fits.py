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
    """Threads that flush all the time, ns per loop; ``broadcast_ns``: of a flush without interrupts."""

    work_ns: float
    shared_ns: float
    broadcast_ns: float


def throughput(threads: int, think_ns: float, shared_ns: float, lost_ns: float = 0.0) -> float:
    """Loops per ns of threads that think, then queue for one server, each of whose loops interrupts all others.

    Mean value analysis; thinking is exponential, the server takes always the same time (Reiser 1979: who finds it busy
    waits for half of what it takes). Interrupts slow thinking and serving by the part of the time that they take.

    Args:
        threads: how many.
        think_ns: mean time side by side.
        shared_ns: time at the server.
        lost_ns: what a loop takes from every other thread.
    """

    def loops(slower: float) -> float:
        queue = busy = rate = 0.0
        for number in range(1, threads + 1):
            response_ns = slower * shared_ns * (1 + queue - busy / 2)
            # Half a visit's time is an approximation, which at a full server promises more than it can do.
            rate = min(number / (slower * think_ns + response_ns), 1 / (slower * shared_ns))
            queue, busy = number - rate * slower * think_ns, rate * slower * shared_ns
        return rate

    part_ns = lost_ns * (threads - 1) / threads
    if part_ns == 0:
        return loops(1.0)
    return float(brentq(lambda rate: loops(1 / (1 - rate * part_ns)) - rate, 0.0, (1 - 1e-9) / part_ns))


def fit_storm(rows: dict[str, Sequence[float]], flush: FlushCost) -> Storm:
    """Fit to 1 and 4 threads (thousand loops/s): a loop, its shared part, a broadcast. 2 threads are left as a check.

    One thread gives the whole loop, four that interrupt each other what of it is shared, four that do not a broadcast.

    Args:
        rows: ``threads``, ``ipi`` and ``invlpgb``.
        flush: the flush model; its constants for interrupts are not fitted here.
    """
    ipi = dict(zip(rows["threads"], rows["ipi"], strict=True))
    told = dict(zip(rows["threads"], rows["invlpgb"], strict=True))
    whole_ns = 2e6 / (ipi[1] + told[1])
    wait_ns = flush.initiator_ns(1, 3) - flush.local_ns(1)
    lost_ns = flush.receiver_ns(1)
    shared_ns = _root(
        lambda shared: throughput(4, whole_ns - shared + wait_ns, shared, lost_ns) - ipi[4] / 1e6, 1.0, whole_ns - 1
    )
    broadcast_ns = _root(
        lambda broadcast: throughput(4, whole_ns - shared_ns + broadcast, shared_ns) - told[4] / 1e6, 0.0, 1e5
    )
    return Storm(whole_ns - shared_ns, shared_ns, broadcast_ns)


def _root(distance: Callable[[float], float], low: float, high: float) -> float:
    return float(brentq(distance, low, high, xtol=0.01))
