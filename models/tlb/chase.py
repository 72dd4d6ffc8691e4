"""What a step of a pointer chase costs: one line of each page, in a fixed random order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from models.machine.tlb import PageSize, TlbPreset
from models.tlb.exact import ExactTlb
from models.tlb.hierarchy import SIZE_CODE, SIZE_SHIFT, Hierarchy
from models.tlb.walk import LINE_BYTES, PTES_PER_LINE

__all__ = ["ChaseStep", "predict_chase"]

_WARM_ROUNDS, _COUNTED_ROUNDS = 12, 3
LINES_PER_TABLE = 512 // PTES_PER_LINE


@dataclass(frozen=True)
class ChaseStep:
    """One dependent step of a chase.

    Attributes:
        ns: Predicted time.
        miss_l1: Steps that miss the first TLB level.
        walks: Steps that walk.
        data_cycles: Cycles of the load itself.
        walk_cycles: Cycles of a walk.
    """

    ns: float
    miss_l1: float
    walks: float
    data_cycles: float
    walk_cycles: float


class _TableLines(NamedTuple):
    """One kind of table lines that a walk reads.

    Attributes:
        lines: how many there are.
        references: how many of them a walk reads.
        of_one_page: each serves one page only, and comes back as regularly as the page's data.
    """

    lines: float
    references: float
    of_one_page: bool = False


def predict_chase(
    preset: TlbPreset,
    n_pages: int,
    *,
    guest_page: PageSize = "4K",
    host_page: PageSize | None = None,
    frames: Literal["contiguous", "scattered"] | float = "contiguous",
    seed: int = 0,
) -> ChaseStep:
    """Predict a chase over one line of each of ``n_pages`` 4K pages.

    The line's offset moves on from page to page. The TLBs are run exactly. The data caches are taken as
    LRU: a chase returns to a data line after it has been everywhere else, so that a set that is asked for
    more lines than it has ways keeps none of them; table lines are shared by pages and come back after a
    random, exponentially distributed time. L1D sets are picked by the offset in the page and fill evenly, L2
    sets also by the frame and fill at random.

    A frame lies alone if no other of the chase is in its line of the host's tables (eight entries of 8 bytes).
    Lone frames are taken as 64 to a table, one in each line, as where memory is broken up into single pages:
    a line more for each, but few tables more.

    Args:
        preset: The CPU.
        n_pages: Pages of 4K in the footprint.
        guest_page: How the tables of the process map them.
        host_page: How the host maps the virtual machine; None on bare metal.
        frames: Whether guest frames follow one another, so that eight pages share a line of the host's
            tables; or the part of them that lie alone, from 0 (contiguous) to 1 (scattered). The frames of a
            2M page always follow one another.
        seed: Of the order of visits.

    Raises:
        ValueError: No page at all, or a part that is none.
    """
    if n_pages < 1:
        raise ValueError(f"a chase needs a page, not {n_pages}")
    alone = {"contiguous": 0.0, "scattered": 1.0}[frames] if isinstance(frames, str) else frames
    if not 0.0 <= alone <= 1.0:
        raise ValueError(f"frames: a part lies between 0 and 1, not {frames}")
    miss_l1, walks = _tlb_rates(preset, n_pages, guest_page, host_page, seed)
    caches = preset.caches
    guest_shift = SIZE_SHIFT[SIZE_CODE[guest_page]]
    tables = [_TableLines(_line_count(n_pages, guest_shift), 1.0)]
    own = 0.0
    regions = n_pages / 512
    pde = preset.paging_structure_caches.pde
    if guest_page == "4K":
        tables.append(_TableLines(_line_count(n_pages, 9), max(0.0, 1.0 - pde / regions)))
    if host_page is not None:
        host_shift = SIZE_SHIFT[SIZE_CODE[host_page]]
        if host_shift or guest_shift:
            alone = 0.0
        own = alone
        tables.append(_TableLines(_line_count(round(n_pages * (1.0 - alone)), host_shift), 1.0 - alone))
        if host_page == "4K":
            units = alone * n_pages / LINES_PER_TABLE + (1.0 - alone) * regions
            tables.append(_TableLines(max(1.0, units / PTES_PER_LINE), max(0.0, 1.0 - pde / units)))
    if own:
        tables.append(_TableLines(own * n_pages, own, of_one_page=True))
    table_lines = [(kind.lines, kind.references * walks) for kind in tables if kind.references * walks > 0]
    sets_l2 = caches.l2_kib * 1024 / LINE_BYTES / caches.l2_ways
    lines_l1, lines_l2 = (kib * 1024 / LINE_BYTES for kib in (caches.l1d_kib, caches.l2_kib))
    live = n_pages + sum(min(count, n_pages * rate) for count, rate in table_lines)
    in_l1 = 1.0 if live <= lines_l1 else 0.0
    in_l2 = max(in_l1, _poisson_below(live / sets_l2, caches.l2_ways))
    l1, l2, l3 = float(caches.l1d_cycles), float(caches.l2_cycles), float(caches.l3_cycles)
    data = in_l1 * l1 + (in_l2 - in_l1) * l2 + (1.0 - in_l2) * l3
    time_l1, time_l2 = _time(table_lines, lines_l1, n_pages), _time(table_lines, lines_l2, n_pages)
    walk = float(preset.walk_start_cycles + (preset.nested_walk_cycles if host_page is not None else 0))
    for kind in tables:
        rate = kind.references * walks / kind.lines
        far1, far2 = math.exp(-rate * time_l1), math.exp(-rate * time_l2)
        if kind.of_one_page:
            far1, far2 = 1.0 - in_l1, 1.0 - in_l2
        walk += kind.references * ((1.0 - far1) * l1 + (far1 - far2) * l2 + far2 * l3)
    cycles = data + miss_l1 * preset.l2_latency_cycles + walks * walk
    return ChaseStep(cycles / preset.ghz, miss_l1, walks, data, walk)


def _tlb_rates(
    preset: TlbPreset, n_pages: int, guest_page: PageSize, host_page: PageSize | None, seed: int
) -> tuple[float, float]:
    hierarchy = Hierarchy.from_preset(preset, host_page=host_page, coalesce=False)
    tlb = ExactTlb(hierarchy, seed=seed)
    order = np.random.default_rng(seed).permutation(n_pages)
    sizes = np.full(n_pages, SIZE_CODE[guest_page], np.uint8)
    for _ in range(_WARM_ROUNDS):
        tlb.run(order, sizes=sizes)
    counts = tlb.run(np.tile(order, _COUNTED_ROUNDS), sizes=np.tile(sizes, _COUNTED_ROUNDS))
    return counts.l1_miss_rate, counts.walk_rate


def _line_count(n_pages: int, shift: int) -> float:
    return max(1.0, n_pages / (1 << shift) / PTES_PER_LINE)


def _time(tables: list[tuple[float, float]], capacity: float, n_pages: int) -> float:
    """Return the steps that fill a cache of ``capacity`` lines once (bisection on lines seen)."""

    def seen(steps: float) -> float:
        return min(steps, n_pages) + sum(count * -math.expm1(-rate / count * steps) for count, rate in tables)

    low, high = 0.0, 64.0 * capacity
    if seen(high) <= capacity:
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if seen(middle) < capacity else (low, middle)
    return high


def _poisson_below(mean: float, ways: int) -> float:
    """Return P(fewer than ``ways`` other lines in a line's set), the set filling at random."""
    term, total = math.exp(-mean), 0.0
    for k in range(ways):
        total += term
        term *= mean / (k + 1)
    return total
