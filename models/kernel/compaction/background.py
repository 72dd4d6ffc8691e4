"""When the kernel's own threads compact: kswapd after fragmentation, kcompactd on request or when memory is in pieces.

Sources: mm/vmscan.c (`balance_pgdat`, `wakeup_kswapd`) and mm/compaction.c (`kcompactd`) of 6.1. Nothing here takes
time; `models.workloads.background_compaction` lets it pass. Only what the model's memory can give is reclaimed:
nothing.
"""

from typing import Any, Final

from models.kernel.compaction.control import FOR_EVER, Compaction, work_done
from models.kernel.compaction.moving import run_for
from models.kernel.compaction.zone_run import (
    COMPLETE,
    CONTINUE,
    SUCCESS,
    begin_run,
    drain_lists,
    fragmentation_score,
    suitable,
)  # fmt: skip
from models.kernel.layout import State
from models.machine.costs import CostPreset

__all__ = ["Background"]

_PARTS: Final = (
    ("page_ns", "isolate_page"), ("block_ns", "isolate_block"), ("batch_ns", "compact_batch"),
    ("rotate_ns", "rotate_list"), ("walk_ns", "walk_process"), ("drain_ns", "drain_page"),
)  # fmt: skip
_WHOLE_ZONE: Final = -1
_MAX_RECLAIM_RETRIES: Final = 16
"""Times in a row that kswapd may reclaim nothing before it is left asleep."""
_MAX_DEFER_SHIFT: Final = 6
_PROACTIVENESS: Final = 20
"""`vm.compaction_proactiveness`, its default: memory is in pieces above 100 - 20 + 10 percent."""


class Background:
    """kswapd, as far as it answers boosted watermarks, and kcompactd of a machine with one node.

    Attributes:
        requested: whether kcompactd has been asked for blocks of pageblock order.
        proactive: whether kcompactd looks by itself how fragmented memory is.
        failures: runs in a row in which kswapd could reclaim nothing.
        runs: runs over a zone so far, asked for and not.
        compaction: what the runs keep.
    """

    def __init__(self, state: State, costs: CostPreset, *, proactive: bool = True) -> None:
        self._state, self._store = state, state.pages
        self._boosted = memoryview(self._store.zones["boosted"])  # type: ignore[arg-type]  # NumPy hides its buffer
        self._order = int(self._store.config[0]["pageblock_order"])
        self.requested = False
        self.proactive = proactive
        self.failures = 0
        self.runs = 0
        self.compaction = Compaction(self._store)
        control = self.compaction.control
        control["move_ns"] = costs.part_ns("move_page", costs.ns("munmap_page") + costs.ns("ordinary_fault"))
        # Looking at a pageblock's pages takes as long as writing a table of its entries.
        control["scan_block_ns"] = state.costs["split_2m"] - state.costs["flush_all"]
        control["release_ns"] = costs.part_ns("release_page", costs.ns("munmap_page"))
        for name, part in _PARTS:
            control[name] = costs.part_ns(part)

    @property
    def boosted(self) -> bool:
        """Whether a request has boosted a zone's watermarks and not woken kswapd yet."""
        return any(self._boosted)

    def wake_kswapd(self) -> bool:
        """Let kswapd look after boosted watermarks; returns whether kcompactd is to be woken if it sleeps."""
        self._store.zones["boosted"][:] = 0
        boosts = self._store.zones["boost"]
        if self.failures >= _MAX_RECLAIM_RETRIES or not boosts.any():
            return False
        self.failures += 1
        boosts[:] = 0
        self.requested = True
        return any(self._suitable(zone) for zone in range(len(boosts)))

    def _suitable(self, zone: int) -> bool:
        kinds = self._store.zones["kind"]
        return bool(suitable(self._store.handle, zone, self._order, int(kinds.max())))

    def score(self) -> int:
        """How much of the free memory is in blocks below pageblock order, by zones' shares, in percent."""
        handle, zones = self._store.handle, self._store.zones
        present = [int(pages) for pages in zones["managed"]]
        return sum(
            pages * int(fragmentation_score(handle, zone, self._order)) // (sum(present) + 1)
            for zone, pages in enumerate(present)
        )

    def fragmented(self) -> bool:
        """Whether memory is so much in pieces that kcompactd works unasked (`should_proactive_compact_node`)."""
        return self.proactive and self.score() > 100 - _PROACTIVENESS + 10

    def begin(self, zone: int, cpu: int, *, whole: bool) -> bool:
        """Begin a run over a zone; False: it makes no sense there, or is put off after failures.

        Args:
            whole: unasked, over the whole zone; otherwise for a block of pageblock order.
        """
        if not whole and (self._deferred(zone) or not self._suitable(zone)):
            return False
        order = _WHOLE_ZONE if whole else self._order
        begin_run(self._store.handle, self.compaction.handle, zone, cpu, order, whole)
        self.runs += 1
        return True

    @property
    def work_done(self) -> int:
        """See `control.work_done`; in all runs so far."""
        return int(work_done(self.compaction.handle))

    def run_for(self, budget_ns: int, until_work: int = FOR_EVER) -> tuple[bool, int]:
        """Go on with the run; returns whether it is at its end, and the time spent.

        Args:
            budget_ns: time after which it is asked whether it gives way, at the next moment at which it may.
            until_work: `work_done` up to which that is asked at the latest.
        """
        result, spent_ns = run_for(self._state.handle, self.compaction.handle, budget_ns, until_work)
        self._state.charge["drained"] = self._store.config["drained"]  # that time has been spent
        control = self.compaction.control[0]
        if result != CONTINUE and not control["ignore_skip"]:
            self._finish(int(control["zone"]), int(control["cpu"]), result)
        return result != CONTINUE, int(spent_ns)

    def _finish(self, zone: int, cpu: int, result: int) -> None:
        record: Any = self.compaction.zones[zone]
        if result == SUCCESS:
            record["order_failed"] = max(record["order_failed"], self._order + 1)
        elif result == COMPLETE:
            for other in range(int(self._store.config[0]["cpus"])):
                drain_lists(self._store.handle, zone, other, cpu)
            record["considered"] = 0
            record["defer_shift"] = min(record["defer_shift"] + 1, _MAX_DEFER_SHIFT)
            record["order_failed"] = min(record["order_failed"], self._order)

    def _deferred(self, zone: int) -> bool:
        """Whether the attempt is one of those left out after failures (`compaction_deferred`)."""
        record: Any = self.compaction.zones[zone]
        if self._order < record["order_failed"]:
            return False
        record["considered"] += 1
        if record["considered"] >= 1 << record["defer_shift"]:
            record["considered"] = 1 << record["defer_shift"]
            return False
        return True
