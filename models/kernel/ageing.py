"""What memory looks like before an experiment: a boot's leftovers, or a long life's.

Neither writes free lists by hand: both let the allocator work, on a stream of random requests, and keep what remains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.kernel.ageing_preset import fresh_preset
from models.kernel.arena import reserve
from models.kernel.chains import append, give_chain, take
from models.kernel.layout import State, chains, page_handle
from models.kernel.pages.allocator import ALLOC_DEFAULT, alloc_from_zone, free_pages
from models.kernel.pages.fallback import LRU
from models.kernel.pages.layout import MOVABLE, NONE, RECLAIMABLE, UNMOVABLE, pages
from models.kernel.records import ANON, CHAINS, FIRST_RUN
from simcore.compiled import jit

__all__ = ["KERNEL_SHARE", "Life", "age_fragmented", "age_fresh"]

_ORDER_SHARES = (0.80, 0.09, 0.05, 0.06)
_MEAN_RUN = 24
KERNEL_SHARE = 0.25
_UNMOVABLE_SHARE = 0.6
_DRAWS = 1 << 14
_DRAW = np.dtype(
    [
        ("length", "<i8"), ("order", "<i8"), ("migratetype", "<i8"), ("cpu", "<i8"),
        ("coin", "<f8"), ("which", "<f8"),  # whether to take or to free; which run is freed
    ]
)  # fmt: skip
_PROGRESS = np.dtype(
    [
        ("runs", "<i8"), ("drawn", "<i8"),  # runs alive, draws used up
        ("held", "<i8"), ("churned", "<i8"), ("target", "<i8"), ("churn", "<i8"),  # pages
    ]
)  # fmt: skip


def age_fresh(
    state: State, random: np.random.Generator, node_of: Sequence[int], late_freed_pages: int = 0
) -> None:
    """Boot: what the kernel keeps for itself and its first processes, taken request by request on all CPUs.

    This leaves blocks of the split ones in the lists of all orders, per-CPU lists partly filled and a few pageblocks
    of each type, as the recordings show of machines that have just started; `presets/ageing.yaml` says how many.

    Args:
        state: the kernel's.
        random: where all draws come from.
        node_of: NUMA node of each CPU.
        late_freed_pages: pages of the lowest zone that the boot gave back through the first CPU's list.
    """
    preset, store = fresh_preset(), state.pages.handle
    taken = [
        int(alloc_from_zone(store, 0, 0, 0, MOVABLE, ALLOC_DEFAULT))
        for _ in range(min(late_freed_pages, int(state.pages.per_cpu[0, 0]["high"]) - 1))
    ]
    for pfn in reversed(taken):
        if pfn != NONE:
            free_pages(store, 0, pfn, 0)
    types, orders = preset.draw(random, len(node_of))
    cpus = random.integers(0, len(node_of), len(types))
    page = state.pages.pages
    for migratetype, order, cpu in zip(types.tolist(), orders.tolist(), cpus.tolist(), strict=True):
        pfn = int(take(state.handle, cpu, node_of[cpu], order, migratetype))
        if pfn == NONE:
            return
        if migratetype == MOVABLE:
            page["flags"][pfn] |= LRU


def age_fragmented(state: State, random: np.random.Generator, age: float, used: float) -> None:
    """A long life: memory taken and freed at random until ``age`` times its size has been churned.

    In the end ``used`` of memory is in use and free memory lies scattered, see `Life`.
    """
    managed = int(state.pages.zones["managed"].sum())
    Life(state, random, int(used * managed)).churn(int(age * managed))


class Life:
    """Memory that comes and goes: what a machine does all day, as far as the page allocator sees it.

    Most runs of blocks that are taken are page cache and anonymous memory, which can be migrated; the others, a
    quarter unless told otherwise, are kernel memory; a run dies at random, as likely as any other. The shares are
    rough magnitudes, not fits. Every run is a holder of pages, numbered from `FIRST_RUN` on.
    """

    def __init__(
        self, state: State, random: np.random.Generator, target_pages: int, kernel_share: float = KERNEL_SHARE
    ) -> None:
        """Start with nothing held.

        Args:
            state: the kernel's.
            random: where all draws come from.
            target_pages: memory in use that it tends to.
            kernel_share: part of the runs that is kernel memory.
        """
        self._state = state
        self._random = random
        self._kernel_share = kernel_share
        self._progress = np.zeros(1, _PROGRESS)
        self._progress["target"] = target_pages
        self._runs = reserve(int(state.pages.zones["managed"].sum()), np.int64)
        self._draws = np.zeros(0, _DRAW)

    @property
    def held_pages(self) -> int:
        """Pages in use at present."""
        return int(self._progress[0]["held"])

    def churn(self, pages: int) -> None:
        """Take ``pages`` more, free as much as keeps memory in use at its target; nothing when there is no memory."""
        progress = self._progress[0]
        progress["churn"] = progress["churned"] + pages
        while progress["held"] > progress["target"] or progress["churned"] < progress["churn"]:
            if progress["drawn"] == len(self._draws):
                self._draw()
            if not _live(self._state.handle, self._draws, self._runs, self._progress):
                return

    def _draw(self) -> None:
        random, cpus = self._random, int(self._state.pages.config[0]["cpus"])
        draws = np.zeros(_DRAWS, _DRAW)
        draws["length"] = random.geometric(1 / _MEAN_RUN, _DRAWS)
        draws["coin"], draws["which"] = random.random(_DRAWS), random.random(_DRAWS)
        kernel = random.random(_DRAWS) < self._kernel_share
        unmovable = random.random(_DRAWS) < _UNMOVABLE_SHARE
        draws["migratetype"] = np.where(kernel, np.where(unmovable, UNMOVABLE, RECLAIMABLE), MOVABLE)
        draws["order"] = np.where(kernel, random.choice(4, _DRAWS, p=_ORDER_SHARES), 0)
        draws["cpu"] = random.integers(cpus, size=_DRAWS)
        self._draws, self._progress["drawn"] = draws, 0


@jit
def _live(handle: int, draws: NDArray[Any], runs: NDArray[np.int64], progress: NDArray[Any]) -> bool:
    """Take or free a run for each draw; false when there is nothing more to do.

    Args:
        runs: numbers of the runs alive, plus one, then those of the dead, for use again; 0: not used yet.
    """
    page, now = pages(page_handle(handle)), progress[0]
    while now.drawn < len(draws):
        if now.churned >= now.churn and now.held <= now.target:
            return False
        draw = draws[now.drawn]
        now.drawn += 1
        if now.churned < now.churn and (now.held < now.target or draw.coin < 0.5):
            slot = runs[now.runs]
            run = FIRST_RUN + (slot - 1 if slot > 0 else now.runs)
            got = 0
            while got < draw.length:
                pfn = take(handle, draw.cpu, 0, draw.order, draw.migratetype)
                if pfn == NONE:
                    break
                append(handle, run, ANON, pfn, LRU if draw.migratetype == MOVABLE else 0)
                got += 1
            if got > 0:
                runs[now.runs] = run - FIRST_RUN + 1
                now.runs += 1
            now.held += got << draw.order
            now.churned += max(1, got << draw.order)
        elif now.runs > 0:
            which = int(draw.which * now.runs)
            now.runs -= 1
            slot = runs[which]
            runs[which], runs[now.runs] = runs[now.runs], slot
            chain = chains(handle)[(FIRST_RUN + slot - 1) * CHAINS + ANON]
            now.held -= chain.blocks << page[chain.head].order if chain.blocks > 0 else 0
            give_chain(handle, draw.cpu, FIRST_RUN + slot - 1, ANON, chain.blocks, 1, True)
        else:
            return False
    return True
