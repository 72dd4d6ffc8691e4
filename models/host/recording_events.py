"""The event stream of a recording, its columns decoded into arrays for compiled loops."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.host.recording_fields import frozen
from models.host.recording_format import RawEvents
from models.host.recording_machine import Machine
from models.host.recording_text import RecordingError

__all__ = ["AUX_COUNT", "OPS", "REQUEST_OPS", "Events", "Site", "build_events", "letter_table"]

#: Every operation that a stream may hold.
OPS = "ABKfgFrdDXYHUIPCSmuLVWRM"
#: Those that carry a request.
REQUEST_OPS = "ABKfgFDIP"
#: How many auxiliary numbers an operation has; those that are not here have none.
AUX_COUNT = {**dict.fromkeys("KfgrdDWRVmuSHUFL", 1), "X": 4, "Y": 3}
_SECTION = "allocator_events"


@dataclass(frozen=True)
class Site:
    """A call site: what the page is for, and the call chain, innermost function first, separated by ``<``."""

    kind: str
    stack: str


@dataclass(frozen=True)
class Events:
    """The event stream in columns of length ``len(events)``, all read-only.

    Attributes:
        op: uint8, code of the operation's letter.
        cpu: uint8.
        zone: int8, index of the zone.
        order: int8; what it means depends on ``op``.
        type: int8.
        pfn: int64, absolute.
        pid: int32.
        gfp: int32, -1 where there is no request; so are the next three.
        alloc_flags: int32.
        context: int8; bit 0: hard interrupt, bit 1: soft interrupt.
        site: int32, index into ``sites``.
        aux: int64[n, 4], filled from the left, -1 where absent (``S`` may say -1 itself).
        sites: Call sites.
    """

    op: NDArray[np.uint8]
    cpu: NDArray[np.uint8]
    zone: NDArray[np.int8]
    order: NDArray[np.int8]
    type: NDArray[np.int8]
    pfn: NDArray[np.int64]
    pid: NDArray[np.int32]
    gfp: NDArray[np.int32]
    alloc_flags: NDArray[np.int32]
    context: NDArray[np.int8]
    site: NDArray[np.int32]
    aux: NDArray[np.int64]
    sites: tuple[Site, ...]

    def __len__(self) -> int:
        return len(self.op)

    def describe(self, index: int) -> str:
        """Return event ``index`` as one line for people."""
        op = chr(self.op[index])
        text = f"{op} cpu {self.cpu[index]} zone {self.zone[index]} order {self.order[index]}"
        text += f" type {self.type[index]} pfn {self.pfn[index]} pid {self.pid[index]}"
        if self.site[index] >= 0:
            text += f" gfp {self.gfp[index]:#x} alloc_flags {self.alloc_flags[index]:#x}"
            text += f" {self.sites[self.site[index]].kind}"
        if AUX_COUNT.get(op):
            text += f" aux {self.aux[index, : AUX_COUNT[op]].tolist()}"
        return text


def letter_table(letters: str) -> NDArray[np.bool_]:
    """Return bool[256]: whether a code is one of ``letters``."""
    table = np.zeros(256, dtype=np.bool_)
    table[list(letters.encode())] = True
    return table


def _digits() -> NDArray[np.int8]:
    table = np.full(256, -1, dtype=np.int8)
    table[list(b"0123456789abcdefghijklmnopqrstuvwxyz")] = np.arange(36)
    return table


class _EventsReader:
    """Decodes one stream; every fault names its event."""

    def __init__(self, raw: RawEvents, machine: Machine, path: Path) -> None:
        self.raw, self.machine, self.path = raw, machine, path

    def fail(self, message: str, field: str | None = None, event: int | None = None) -> RecordingError:
        place = f"{_SECTION}.{field}" if field else _SECTION
        return RecordingError(message, file=self.path, field=place, event=event)

    def build(self) -> Events:
        raw, n = self.raw, self.raw.count
        op = self.letters(raw.op, "op")
        bad = np.flatnonzero(~letter_table(OPS)[op])
        if len(bad):
            raise self.fail(f"unknown operation {chr(op[bad[0]])!r}", "op", int(bad[0]))
        cpu = np.zeros(n, np.int8) if raw.cpu == "0" else self.digits(raw.cpu, "cpu")
        self.require(cpu < self.machine.cpus, cpu, f"CPU of a machine with {self.machine.cpus}", "cpu")
        zone, order = self.digits(raw.zone, "zone"), self.digits(raw.order, "order")
        migratetype = self.digits(raw.type, "type")
        delta = self.numbers(raw.pfn_delta, "pfn_delta", n)
        self.require(np.abs(delta) < 1 << 40, delta, "difference of page frame numbers", "pfn_delta")
        with np.errstate(over="ignore"):
            pfn = np.cumsum(delta)
        gfp, alloc_flags, context, site = self.requests(op)
        events = Events(
            op,
            cpu.astype(np.uint8),
            zone,
            order,
            migratetype,
            pfn,
            self.pids(),
            gfp,
            alloc_flags,
            context,
            site,
            self.aux(op),
            tuple(Site(*row) for row in raw.sites.rows),
        )
        for column in vars(events).values():
            if isinstance(column, np.ndarray):
                frozen(column)
        return events

    def require(self, good: NDArray[np.bool_], values: NDArray[Any], what: str, field: str) -> None:
        bad = np.flatnonzero(~good)
        if len(bad):
            raise self.fail(f"{values[bad[0]]} is no {what}", field, int(bad[0]))

    def letters(self, text: str, field: str) -> NDArray[np.uint8]:
        data = np.frombuffer(text.encode(), dtype=np.uint8)
        if len(text) != len(data):
            at = next(i for i, letter in enumerate(text) if not letter.isascii())
            raise self.fail(f"unknown character {text[at]!r}", field, at)
        if len(data) != self.raw.count:
            raise self.fail(f"{len(data)} characters for {self.raw.count} events", field)
        return data.copy()

    def digits(self, text: str, field: str) -> NDArray[np.int8]:
        data = self.letters(text, field)
        values = _digits()[data]
        bad = np.flatnonzero(values < 0)
        if len(bad):
            raise self.fail(f"{chr(data[bad[0]])!r} is no base-36 digit", field, int(bad[0]))
        return values

    def numbers(self, numbers: list[int], field: str, expected: int) -> NDArray[np.int64]:
        if len(numbers) != expected:
            raise self.fail(f"{len(numbers)} numbers, but the operations need {expected}", field)
        try:
            return np.array(numbers, dtype=np.int64)
        except OverflowError:
            raise self.fail("a number does not fit 64 bits", field) from None

    def pids(self) -> NDArray[np.int32]:
        runs = np.array(self.raw.pid, dtype=np.int64).reshape(-1, 2)
        total = int(runs[:, 1].sum())
        if total != self.raw.count:
            raise self.fail(f"runs of {total} events, the stream has {self.raw.count}", "pid")
        bad = np.flatnonzero(runs[:, 0] > np.iinfo(np.int32).max)
        if len(bad):
            raise self.fail(f"{runs[bad[0], 0]} is no process id", f"pid[{bad[0]}]")
        return np.repeat(runs[:, 0], runs[:, 1]).astype(np.int32)

    def requests(
        self, op: NDArray[np.uint8]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int8], NDArray[np.int32]]:
        """Return gfp, alloc_flags, context and site of every event, -1 where it has no request."""
        has = np.flatnonzero(letter_table(REQUEST_OPS)[op])
        index = self.numbers(self.raw.request, "request", len(has))
        rows = np.array(self.raw.requests.rows, dtype=np.int64).reshape(-1, 4)
        bad = np.flatnonzero((rows[:, 3] >= len(self.raw.sites.rows)) | (rows[:, 0] > np.iinfo(np.int32).max))
        if len(bad):
            raise self.fail(f"impossible gfp or site: {rows[bad[0]].tolist()}", f"requests.rows[{bad[0]}]")
        bad = np.flatnonzero((index < 0) | (index >= len(rows)))
        if len(bad):
            message = f"{index[bad[0]]} is no row of {len(rows)} requests"
            raise self.fail(message, f"request[{bad[0]}]", int(has[bad[0]]))
        columns = np.full((4, len(op)), -1, dtype=np.int32)
        columns[:, has] = rows.T.astype(np.int32)[:, index]
        return columns[0], columns[1], columns[2].astype(np.int8), columns[3]

    def aux(self, op: NDArray[np.uint8]) -> NDArray[np.int64]:
        wanted = np.zeros(256, dtype=np.int64)
        for letter, count in AUX_COUNT.items():
            wanted[ord(letter)] = count
        counts = wanted[op]
        values = self.numbers(self.raw.aux, "aux", int(counts.sum()))
        starts = np.cumsum(counts) - counts
        table = np.full((len(op), 4), -1, dtype=np.int64)
        for column in range(4):
            rows = np.flatnonzero(counts > column)
            table[rows, column] = values[starts[rows] + column]
        return table


def build_events(raw: RawEvents, machine: Machine, path: Path) -> Events:
    """Return the stream decoded, not yet checked beyond its code.

    Raises:
        RecordingError: A column has the wrong length, or an event an unknown operation or a digit, CPU or
            request that cannot be.
    """
    return _EventsReader(raw, machine, path).build()
