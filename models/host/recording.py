"""A recording of a real kernel, read whole and refused when it cannot be true."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.host.recording_checks import check_fields, check_ownership
from models.host.recording_counters import CountersRecording, build_counters_recording
from models.host.recording_events import Events, build_events
from models.host.recording_fields import PAGE_SIZE_BYTES, StrictRecord
from models.host.recording_format import RawRecording, Sample, Source, Workload, unroll_secret_pfns
from models.host.recording_machine import Machine, check_e820, usable_end_pfn
from models.host.recording_state import State
from models.host.recording_state_reader import build_state
from models.host.recording_text import RecordingError, parse, read_text

__all__ = ["AllocatorRecording", "CountersRecording", "RecordingError", "read_recording"]


@dataclass(frozen=True)
class AllocatorRecording:
    """One file of ``allocator/``: everything the allocator did between two exact states.

    Attributes:
        path: The file.
        name: Its name without extension, as it says itself.
        source: Kernel and emulator.
        machine: Memory, zones, CPUs.
        initial: State when the stream begins.
        final: State when it has ended.
        workload: What the recorded program did.
        notes: Lines that it printed.
        samples: Counters at its steps.
        secret_pfns: int64, frame of every secret page in fault order.
        events: The stream.
    """

    path: Path
    name: str
    source: Source
    machine: Machine
    initial: State
    final: State
    workload: Workload
    notes: tuple[str, ...]
    samples: tuple[Sample, ...]
    secret_pfns: NDArray[np.int64]
    events: Events


#: Gaps below 4 GiB that a firmware leaves for devices move memory up by no more than this.
_LARGEST_HOLE_BYTES = 4 << 30


class _Head(StrictRecord):
    format: int
    tier: str | None = None


def read_recording(path: Path | str) -> AllocatorRecording | CountersRecording:
    """Return the recording at ``path``, decoded and checked.

    Raises:
        RecordingError: It is cut short, of an unknown format, lacks a field or has a wrong one, or what it
            says cannot be.
    """
    path = Path(path)
    text = read_text(path)
    head = parse(_Head, text, path)
    if head.format != 1:
        raise RecordingError(f"unknown format {head.format}; 1 is known", file=path, field="format")
    if head.tier == "counters":
        return build_counters_recording(text, path)
    if head.tier not in (None, "allocator"):
        raise RecordingError(f"unknown kind of recording {head.tier!r}", file=path, field="tier")
    raw = parse(RawRecording, text, path)
    _check_machine(raw.machine, path)
    initial = build_state(raw.initial, "initial", raw.machine, path)
    final = build_state(raw.final, "final", raw.machine, path)
    events = build_events(raw.allocator_events, raw.machine, path)
    check_fields(events, raw.machine, path)
    _check_samples(raw.samples, events, path)
    _check_splits(events, initial, final, path)
    check_ownership(events, initial, final, raw.machine, path)
    return AllocatorRecording(
        path,
        raw.name,
        raw.source,
        raw.machine,
        initial,
        final,
        raw.workload,
        raw.notes,
        tuple(raw.samples),
        unroll_secret_pfns(raw.secret_pfns, raw.machine.end_pfn, path),
        events,
    )


def _check_machine(machine: Machine, path: Path) -> None:
    """Refuse ranges and zones that overlap or do not fit the memory."""
    check_e820(machine.e820, path)
    top = usable_end_pfn(machine.e820)
    if top * PAGE_SIZE_BYTES > machine.memory_bytes + _LARGEST_HOLE_BYTES:
        raise RecordingError(
            f"memory of {machine.memory_bytes} bytes cannot end at pfn {top}", file=path, field="machine.e820"
        )
    end = 0
    for at, zone in enumerate(machine.zones):
        field = f"machine.zones[{at}]"
        if zone.start_pfn < end or zone.index in [other.index for other in machine.zones[:at]]:
            raise RecordingError(f"zone {zone.name} overlaps or repeats another", file=path, field=field)
        if not zone.managed <= zone.present <= zone.spanned or zone.end_pfn > top:
            raise RecordingError(
                f"zone {zone.name} of {zone.spanned} spanned, {zone.present} present and "
                f"{zone.managed} managed pages does not fit memory that ends at pfn {top}",
                file=path,
                field=field,
            )
        end = zone.end_pfn
    if sum(zone.present for zone in machine.zones) * PAGE_SIZE_BYTES > machine.memory_bytes:
        raise RecordingError(
            f"the zones have more pages than {machine.memory_bytes} bytes", file=path, field="machine.zones"
        )


def _check_samples(samples: list[Sample], events: Events, path: Path) -> None:
    """Refuse samples out of order, or whose marker is not where they say."""
    markers = np.flatnonzero(events.op == ord("M")).tolist()
    marked = [sample.event_index for sample in samples if sample.event_index is not None]
    time_ns = -1
    for at, sample in enumerate(samples):
        field = f"samples[{at}]"
        if sample.index != at:
            raise RecordingError(f"{sample.index} is not its position", file=path, field=f"{field}.index")
        if sample.time_ns < time_ns:
            raise RecordingError(
                f"time goes back from {time_ns} to {sample.time_ns}", file=path, field=f"{field}.time_ns"
            )
        time_ns = sample.time_ns
        index = sample.event_index
        if index is not None and not (
            index < len(events) and events.op[index] == ord("M") and events.pfn[index] == at
        ):
            raise RecordingError(f"event {index} is not its marker", file=path, field=f"{field}.event_index")
    if marked != markers:
        lost = next(iter(set(markers).symmetric_difference(marked)), None)
        raise RecordingError(
            "a marker without its sample, or out of order", file=path, field="samples", event=lost
        )


def _check_splits(events: Events, initial: State, final: State, path: Path) -> None:
    """Refuse split counters that are not what the stream holds."""
    for level, name in ((2, "level2_splits"), (3, "level3_splits")):
        seen = int(np.count_nonzero((events.op == ord("S")) & (events.order == level)))
        before, after = (getattr(state.direct_map.counters, name) for state in (initial, final))
        if after - before != seen:
            raise RecordingError(
                f"{before} and then {after}, but the events split {seen} entries",
                file=path,
                field=f"final.direct_map.counters.{name}",
            )
