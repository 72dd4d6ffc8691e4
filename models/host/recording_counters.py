"""A recording of a kernel without a recorder: counters, zones and free blocks, but no lists and no events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.host.recording_counters_format import (
    Churn,
    CountersMachine,
    CountersSample,
    CountersWorkload,
    RawCounters,
)
from models.host.recording_fields import frozen
from models.host.recording_format import Source, unroll_secret_pfns
from models.host.recording_machine import DirectMapKb, check_e820, usable_end_pfn
from models.host.recording_text import RecordingError, parse

__all__ = ["CountersRecording", "build_counters_recording"]

#: Pages that one CPU may at most hold back from a zone's counter [6.1: calculate_normal_threshold].
_MAX_STAT_THRESHOLD = 125


@dataclass(frozen=True)
class CountersRecording:
    """One file of ``counters/``.

    Attributes:
        path: The file.
        name: Its name without extension, as it says itself.
        source: Kernel, policy and accounting.
        machine: Memory, CPUs, zones.
        direct_map_kb: Sizes by page size at the start, as reported.
        direct_map_tiles: int64[n, 3]: first pfn, pages, level 1 to 3, from a page-table walk; or None.
        free_blocks: Zone name to its free blocks by order.
        workload: What the recorded program did.
        samples: Counters at its steps.
        secret_pfns: int64, frame of every secret page in fault order.
        repeatable: Whether the run gives the same recording again.
    """

    path: Path
    name: str
    source: Source
    machine: CountersMachine
    direct_map_kb: DirectMapKb
    direct_map_tiles: NDArray[np.int64] | None
    free_blocks: Mapping[str, tuple[int, ...]]
    workload: CountersWorkload
    samples: tuple[CountersSample, ...]
    secret_pfns: NDArray[np.int64]
    repeatable: bool


def build_counters_recording(text: bytes, path: Path) -> CountersRecording:
    """Return the recording whose JSON is ``text``, checked.

    Raises:
        RecordingError: A field is missing or wrong, or what the recording says cannot be.
    """
    raw = parse(RawCounters, text, path)
    end_pfn = _check_zones(raw, path)
    tiles = None
    if raw.initial.direct_map_tiles is not None:
        tiles = np.array(raw.initial.direct_map_tiles, dtype=np.int64).reshape(-1, 3)
        _check_tiles(tiles, path)
        frozen(tiles)
    if isinstance(raw.workload, Churn):
        _check_operations(raw.workload, path)
    time_ns = 0
    for at, sample in enumerate(raw.samples):
        if sample.time_ns < time_ns:
            raise RecordingError(
                f"time goes back from {time_ns} to {sample.time_ns}",
                file=path,
                field=f"samples[{at}].time_ns",
            )
        time_ns = sample.time_ns
    return CountersRecording(
        path,
        raw.name,
        raw.source,
        raw.machine,
        raw.initial.direct_map_kb,
        tiles,
        raw.initial.free_blocks,
        raw.workload,
        tuple(raw.samples),
        unroll_secret_pfns(raw.secret_pfns, end_pfn, path),
        raw.repeatable,
    )


def _check_zones(raw: RawCounters, path: Path) -> int:
    """Refuse zones that overlap, or whose free blocks are not what they count; return the last one's end."""
    check_e820(raw.machine.e820, path)
    end_pfn = 0
    for name, zone in raw.machine.zones.items():
        field = f"machine.zones.{name}"
        if not zone.managed <= zone.present <= zone.spanned:
            raise RecordingError(
                f"{zone.spanned} spanned, {zone.present} present, {zone.managed} managed",
                file=path,
                field=field,
            )
        if zone.managed == 0:
            continue
        lacking = [key for key, value in zone if value is None]
        if lacking or name not in raw.initial.free_blocks:
            what = lacking[0] if lacking else "initial.free_blocks"
            raise RecordingError(f"a zone with memory, but no {what}", file=path, field=field)
        assert zone.start_pfn is not None
        assert zone.nr_free_pages is not None
        if zone.start_pfn < end_pfn:
            raise RecordingError(f"starts at pfn {zone.start_pfn} inside another zone", file=path, field=field)
        end_pfn = zone.start_pfn + zone.spanned
        pages = sum(blocks << order for order, blocks in enumerate(raw.initial.free_blocks[name]))
        if abs(pages - zone.nr_free_pages) > _MAX_STAT_THRESHOLD * (raw.machine.cpus - 1):
            raise RecordingError(
                f"{pages} pages, but the zone counts {zone.nr_free_pages}",
                file=path,
                field=f"initial.free_blocks.{name}",
            )
    if not 0 < end_pfn <= usable_end_pfn(raw.machine.e820):
        raise RecordingError(f"the zones end at pfn {end_pfn}, the memory does not", file=path, field="machine.zones")
    for name in raw.initial.free_blocks:
        if name not in raw.machine.zones:
            raise RecordingError(f"no zone {name!r} in this machine", file=path, field="initial.free_blocks")
    return end_pfn


def _check_tiles(tiles: NDArray[np.int64], path: Path) -> None:
    """Refuse tiles that overlap, or are no whole entries of their level."""
    end = 0
    for at, (first, pages, level) in enumerate(tiles.tolist()):
        size = 1 << 9 * (level - 1)
        if first < end or pages < 1 or first % size or pages % size:
            raise RecordingError(
                f"{pages} pages of level {level} from pfn {first} overlap or are no whole entries",
                file=path,
                field=f"initial.direct_map_tiles[{at}]",
            )
        end = first + pages


def _check_operations(workload: Churn, path: Path) -> None:
    """Refuse a slot that is filled twice or emptied of what it does not hold."""
    held: dict[int, int] = {}
    for at, (slot, pages) in enumerate(workload.operations):
        if pages == 0 or (pages > 0) == (slot in held) or (pages < 0 and held[slot] != -pages):
            raise RecordingError(
                f"{[slot, pages]}, but slot {slot} holds {held.get(slot, 0)} pages",
                file=path,
                field=f"workload.operations[{at}]",
            )
        if pages > 0:
            held[slot] = pages
        else:
            del held[slot]
