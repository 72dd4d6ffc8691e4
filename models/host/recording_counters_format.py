"""The JSON text of a recording without a recorder, as typed records: its machine, workloads and counters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from models.host.recording_fields import Count, OrUnknown, StrictRecord
from models.host.recording_format import SecretRuns, Source
from models.host.recording_machine import DirectMapKb, E820Range

__all__ = [
    "Churn",
    "CountersMachine",
    "CountersSample",
    "CountersWorkload",
    "CountersZone",
    "ForkBomb",
    "ManyFiles",
    "OneFile",
    "RawCounters",
    "Spread",
]

_FreeBlocks = dict[str, Annotated[tuple[Count, ...], Field(min_length=11, max_length=11)]]


class CountersZone(StrictRecord):
    """A zone as /proc/zoneinfo tells it, in pages; a zone without memory lacks the last five."""

    min: Count
    low: Count
    spanned: Count
    present: Count
    managed: Count
    nr_free_pages: Count | None = None
    pcp_count: Count | None = None
    pcp_high: Count | None = None
    pcp_batch: Count | None = None
    start_pfn: Count | None = None


class CountersMachine(StrictRecord):
    """The recorded machine."""

    memory_bytes: Annotated[int, Field(gt=0, le=1 << 40)]
    cpus: Annotated[int, Field(ge=1, le=36)]
    e820: tuple[E820Range, ...]
    zones: dict[str, CountersZone]


class _Stoppable(StrictRecord):
    stop_below_free_kb: Count | None = None


class OneFile(StrictRecord):
    """One file of ``pages``, touched in order."""

    type: Literal["one_file"]
    pages: Count


class ManyFiles(_Stoppable):
    """Files mapped side by side."""

    type: Literal["many_files"]
    files: Count
    pages_per_file: Count


class ForkBomb(_Stoppable):
    """Tasks that all live until the last is there."""

    type: Literal["fork_bomb"]
    tasks: Count
    secret_pages: Count
    ordinary_pages_before: Count
    ordinary_pages_after: Count


class Spread(_Stoppable):
    """Filler pages before each secret page, which are then freed."""

    type: Literal["spread"]
    filler: str
    filler_pages: Count
    pages: Count | None
    compact_after: bool = False
    rounds: Count | None = None


class Churn(_Stoppable):
    """Files opened and closed: ``[slot, +pages]`` opens and fills, ``[slot, -pages]`` unmaps and closes."""

    type: Literal["churn"]
    operations: list[tuple[Count, int]]


CountersWorkload = Annotated[OneFile | ManyFiles | ForkBomb | Spread | Churn, Field(discriminator="type")]


class CountersSample(StrictRecord):
    """Counters at one step of the workload; -1: not known."""

    label: str
    time_ns: Count
    secret_pages: OrUnknown
    direct_map_kb: DirectMapKb
    level2_splits: Count
    level3_splits: Count
    free_kb: Count
    page_tables_kb: Count
    secret_2m_regions: OrUnknown
    secret_1g_regions: OrUnknown
    free_blocks: _FreeBlocks


class _RawInitial(StrictRecord):
    direct_map_kb: DirectMapKb
    direct_map_tiles: list[tuple[Count, Count, Literal[1, 2, 3]]] | None
    free_blocks: _FreeBlocks


class RawCounters(StrictRecord):
    """A whole file of ``counters/``."""

    format: Literal[1]
    tier: Literal["counters"]
    name: str
    source: Source
    machine: CountersMachine
    initial: _RawInitial
    workload: CountersWorkload
    samples: Annotated[list[CountersSample], Field(min_length=1)]
    secret_pfns: SecretRuns
    repeatable: bool
