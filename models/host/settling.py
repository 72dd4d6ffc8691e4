"""How many kernel pages a live run takes and gives back before it begins, so that the free lists' heads are known."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from models.host.live_plan import LivePlan
from simcore.units import format_bytes

__all__ = ["Settling", "plan_settling"]

_MOST_PAGES = 4096
_OTHERS_PAGES = 256
"""What a process or two of somebody else may take of them meanwhile."""
_TASK_PAGES = 20
"""Kernel pages that a forked task takes beside its secret pages: stack, page tables, slabs."""


@dataclass(frozen=True)
class Settling:
    """Pages to take on each of some CPUs; see `models.host.worker_settle`."""

    pages: int
    cpus: tuple[int, ...]

    @property
    def request(self) -> dict[str, Any]:
        """What the worker is told."""
        return {"pages": self.pages, "cpus": list(self.cpus)}

    @property
    def statement(self) -> str:
        """What the user is told before."""
        memory = format_bytes(4096 * self.pages * len(self.cpus))
        return (
            f"{self.pages} kernel pages are taken and given back first, on {len(self.cpus)} CPU(s), {memory} in all: "
            "then it is known what the free lists hand out next"
        )


def plan_settling(wanted: LivePlan) -> Settling:
    """Return about as many pages as the run will take, on the CPUs that it runs on: one task stays on the first."""
    filler = wanted.workload.get("filler") in {"page_tables", "pipe"}
    pages = wanted.secret_pages + _TASK_PAGES * wanted.tasks + (wanted.filler_bytes // 4096 if filler else 0)
    cpus = sorted(os.sched_getaffinity(0))
    return Settling(min(pages + pages // 4 + _OTHERS_PAGES, _MOST_PAGES), tuple(cpus if wanted.tasks else cpus[:1]))
