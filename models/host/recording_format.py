"""The JSON text of a whole recording as typed records: what a field is called and may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.host.recording_fields import Count, Numbers, OrUnknown, Signed, StrictRecord, frozen
from models.host.recording_machine import Machine
from models.host.recording_raw_state import RawState
from models.host.recording_text import RecordingError

__all__ = ["RawEvents", "RawRecording", "Sample", "SecretRuns", "Source", "Workload", "unroll_secret_pfns"]


class Source(StrictRecord):
    """Where a recording comes from."""

    kernel: str
    secretmem_policy: Literal["page", "pmd_pool", "pmd_pool_pagewise"]
    emulator: str
    build: Literal["minimal", "distribution"] | None = None
    accounting: Literal["per_mm", "per_user"] | None = None
    kernel_config_notes: str | None = None
    kernel_cmdline: str | None = None
    workload_cmdline: str | None = None
    cmdline: str | None = None


class Workload(StrictRecord):
    """What the recorded program did; ``parameters`` by the names of the recordings' README."""

    type: Literal["one_memfd", "many_memfds", "fork", "adversary_anon", "adversary_fill", "churn"]
    code: str
    parameters: dict[str, int | str]


class Sample(StrictRecord):
    """Counters at one step of the workload."""

    index: Count
    label: str
    time_ns: Count
    event_index: Count | None
    secret_pages: OrUnknown
    direct_map_4k_kb: Count
    direct_map_2m_kb: Count
    direct_map_1g_kb: OrUnknown
    level2_splits: Count
    level3_splits: Count
    free_kb: Count
    page_tables_kb: Count
    mlocked_kb: Count
    unevictable_kb: Count
    unique_2m_regions: OrUnknown
    unique_1g_regions: OrUnknown
    buddyinfo: dict[str, tuple[Count, ...]]


class RawRequests(StrictRecord):
    """The distinct requests; rows of gfp, alloc_flags, context, site."""

    rows: list[tuple[Count, Annotated[int, Field(ge=0, le=1 << 30)], Annotated[int, Field(ge=0, le=3)], Count]]


class RawSites(StrictRecord):
    """The distinct call sites; rows of kind and call chain."""

    rows: list[tuple[str, str]]


class RawEvents(StrictRecord):
    """The event stream as written, in columns."""

    count: Count
    op: str
    cpu: str
    zone: str
    order: str
    type: str
    pfn_delta: Numbers
    request: Numbers
    requests: RawRequests
    sites: RawSites
    aux: Numbers
    pid: list[tuple[Count, Annotated[int, Field(ge=1)]]]


SecretRuns = list[tuple[Count, Count, Annotated[int, Field(ge=1)], Signed]]


class RawRecording(StrictRecord):
    """A whole file of ``allocator/``."""

    format: Literal[1]
    name: str
    source: Source
    machine: Machine
    initial: RawState
    workload: Workload
    notes: tuple[str, ...]
    samples: list[Sample]
    secret_pfns: SecretRuns
    allocator_events: RawEvents
    final: RawState


def unroll_secret_pfns(runs: SecretRuns, end_pfn: int, path: Path) -> NDArray[np.int64]:
    """Return the frames of runs of first index, pfn, count, step."""
    parts, total = [np.zeros(0, np.int64)], 0
    for at, (index, pfn, count, step) in enumerate(runs):
        last = pfn + (count - 1) * step
        if index != total:
            raise RecordingError(f"starts at index {index} after {total} pages", file=path, field=f"secret_pfns[{at}]")
        if not (0 <= last < end_pfn and pfn < end_pfn) or (step == 0 and count > 1):
            raise RecordingError(f"pfn {pfn} to {last} is not memory", file=path, field=f"secret_pfns[{at}]")
        parts.append(pfn + step * np.arange(count, dtype=np.int64))
        total += count
    pfns = np.concatenate(parts)
    frozen(pfns)
    return pfns
