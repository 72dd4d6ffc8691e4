"""Throughput of the exact TLB model against an OrderedDict model of the same hierarchy, in the same run.

Run as a script; it prints ratios, for absolute rates mean little on a shared machine:
``python tests/benchmarks/bench_tlb.py [--json]``.
"""

from __future__ import annotations

import argparse
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from time import process_time
from typing import Any

import numpy as np
import numpy.typing as npt

from models.tlb.counts import Tiling
from models.tlb.exact import ExactTlb
from models.tlb.hierarchy import SIZE_SHIFT, Hierarchy
from models.tlb.popularity import Popularity

N_PAGES = 1 << 20
Pages = npt.NDArray[np.int64]
Outcome = tuple[int, int, int]


class OrderedDictTlb:
    """Two LRU levels as one OrderedDict per set: the plain way to write such a model, kept as lean as that
    goes.

    No paging-structure caches, no shared sizes, no invalidation: less work than the model that it is compared
    with.
    """

    def __init__(self, hierarchy: Hierarchy) -> None:
        sets: list[list[OrderedDict[int, None]]] = [
            [OrderedDict() for _ in range(array.sets)] for array in hierarchy.arrays
        ]
        self.plan = []
        for size in range(3):
            first, second = hierarchy.holders(0, size)[0], hierarchy.holders(1, size)[:1]
            self.plan.append(
                (sets[first], hierarchy.arrays[first].ways,
                 sets[second[0]] if second else None, hierarchy.arrays[second[0]].ways if second else 0)
            )  # fmt: skip

    def run(self, pages: list[int], sizes: list[int]) -> Outcome:
        """Feed page numbers with their size codes; return level 1 hits, level 2 hits and walks."""
        hits1 = hits2 = walks = 0
        plan, shifts = self.plan, SIZE_SHIFT
        for page, size in zip(pages, sizes, strict=True):
            number = page >> shifts[size]
            key = number << 2 | size
            sets1, ways1, sets2, ways2 = plan[size]
            first = sets1[number % len(sets1)]
            if key in first:
                first.move_to_end(key)
                hits1 += 1
                continue
            if sets2 is not None:
                second = sets2[number % len(sets2)]
                if key in second:
                    second.move_to_end(key)
                    hits2 += 1
                else:
                    walks += 1
                    if len(second) == ways2:
                        second.popitem(last=False)
                    second[key] = None
            else:
                walks += 1
            if len(first) == ways1:
                first.popitem(last=False)
            first[key] = None
        return hits1, hits2, walks


def zipf_trace(count: int) -> Pages:
    """Return visits by zipf 0.99 over a million scattered 4K pages, one access a visit."""
    rng = np.random.default_rng(7)
    return Popularity.zipf(N_PAGES, 0.99).scattered(rng).sample(count, rng)


def copy_trace(count: int) -> Pages:
    """Return a copy-like stream: random pages, 64 accesses in a row to each."""
    return np.repeat(np.random.default_rng(8).integers(0, N_PAGES, count // 64 + 1), 64)[:count]


def compare(preset: str, make: Callable[[int], Pages], share_4k: float, *, tables: bool) -> dict[str, Any]:
    """Time both models on one trace, check that they agree, and return the ratio of their rates.

    Args:
        preset: The hierarchy (without coalescing, which the plain model does not know).
        make: Makes a trace of a given length.
        share_4k: Share of 2M regions that are mapped with 4K.
        tables: Whether the exact model also keeps the preset's paging-structure caches and counts the table entries
            that walks read, as it does for any user; the plain model never does.
    """
    hierarchy = Hierarchy.from_preset(preset, coalesce=False)
    if not tables:
        hierarchy = replace(hierarchy, psc=(0, 0, 0))
    tiling = Tiling.random(N_PAGES, share_4k, np.random.default_rng(9))
    pages = make(4_000_000)
    few = pages[:400_000]
    sizes = tiling.region_size[few >> 9].tolist()
    ExactTlb(hierarchy).run(few[:1000], tiling=tiling)
    plain_rates, exact_rates = [], []
    for _ in range(3):
        plain = OrderedDictTlb(hierarchy)
        numbers = few.tolist()
        start = process_time()
        told = plain.run(numbers, sizes)
        plain_rates.append(few.size / (process_time() - start))
        exact = ExactTlb(hierarchy)
        start = process_time()
        exact.run(pages, tiling=tiling)
        exact_rates.append(pages.size / (process_time() - start))
    counts = ExactTlb(hierarchy).run(few, tiling=tiling)
    same = told == (sum(counts.l1_hits), sum(counts.l2_hits), sum(counts.walks))
    return {
        "tlb": preset,
        "trace": make.__name__,
        "share_4k": share_4k,
        "tables": tables,
        "ratio": max(exact_rates) / max(plain_rates),
        "exact_m_per_s": max(exact_rates) / 1e6,
        "plain_m_per_s": max(plain_rates) / 1e6,
        "same_counts": same,
    }


def main() -> None:
    """Print a row per combination."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    rows = [
        compare(preset, make, share, tables=tables)
        for preset in ("zen5", "skylake_sp")
        for make, share, tables in (
            (zipf_trace, 1.0, False), (zipf_trace, 1.0, True), (zipf_trace, 0.3, True),
            (copy_trace, 1.0, True),
        )
    ]  # fmt: skip
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        tables = "whole preset" if row["tables"] else "TLBs only"
        print(
            f"{row['tlb']:11} {row['trace']:11} {row['share_4k']:4.0%} at 4K, {tables:12}: "
            f"{row['ratio']:6.1f} times an OrderedDict model "
            f"({row['exact_m_per_s']:.0f} against {row['plain_m_per_s']:.1f} M/s; "
            f"same counts: {row['same_counts']})"
        )


if __name__ == "__main__":
    main()
