"""Address traces as a stream of page numbers: plain uint64 binaries, Valgrind lackey and DynamoRIO text."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import BinaryIO, Literal, get_args

import numpy as np
import numpy.typing as npt

from simcore.errors import SimcoreError

__all__ = ["FORMATS", "TraceError", "TraceFormat", "detect_format", "read_pages"]

TraceFormat = Literal["uint64", "lackey", "drmemtrace"]
FORMATS: tuple[TraceFormat, ...] = get_args(TraceFormat)

_CHUNK = 1 << 20
_HEAD = 1 << 16
_PAGE_SHIFT = 12
# Valgrind --tool=lackey --trace-mem=yes: " L 1ffefff7e0,8", " S ...", " M ..."; "I  04016b80,3" is an
# instruction.
_LACKEY = re.compile(rb"^ ([LSM]) ([0-9a-fA-F]{1,16}),(\d{1,6})\s*$")
_LACKEY_OTHER = re.compile(rb"^(I  [0-9a-fA-F]+,\d+|(==|--|\*\*)\d+(==|--|\*\*).*|)\s*$")
# DynamoRIO: the view tool ("... read  8 byte(s) @ 0x7ffe... by PC ..."; prefetches and flushes are "pref-r-L1",
# "dflush") and the samples memtrace_simple ("0x...:  8, r") and memtrace_x86 ("0x<pc>,r,8,0x<address>").
_DYNAMORIO = re.compile(rb"\b(?:read|write)\s+(\d{1,6}) byte\(s\) @ 0x([0-9a-fA-F]{1,16})\b")
_DYNAMORIO_SIMPLE = re.compile(rb"^\s*0x([0-9a-fA-F]{1,16}):\s*(\d{1,6}),\s*(\w+)\s*$")
_DYNAMORIO_X86 = re.compile(rb"^0x[0-9a-fA-F]{1,16},[rw],(\d{1,6}),0x([0-9a-fA-F]{1,16})\s*$")
_DYNAMORIO_NO_ACCESS = re.compile(
    rb"\b(?:ifetch|iflush|dflush|pref(?:-\w+)*)\s+\d{1,6} byte\(s\) @ 0x[0-9a-fA-F]{1,16}\b"
)
_DYNAMORIO_OTHER = re.compile(
    # The last: what else follows a record's number and thread ("12 7: 1400000", earlier "12: T1400000").
    rb"(<marker|<--record|<record#>|^\s*-+\s*$|^Format:|^Output|^View|^\s*$|^\s*\d+ : total|"
    rb"^\s*\d+(?:\s+\d+)?:\s+T?\d+\s)"
)


class TraceError(SimcoreError):
    """A trace that cannot be read; says the file and the line or byte.

    Args:
        message: What is wrong.
        file: The trace.
        place: ``line 12`` or ``byte 800``.
    """

    def __init__(self, message: str, file: Path, place: str | None = None) -> None:
        super().__init__(f"{file}: {place}: {message}" if place else f"{file}: {message}")


def detect_format(path: Path) -> TraceFormat:
    """Return the format that the first records of a file have; what is not text is ``uint64``.

    Raises:
        TraceError: The file cannot be read, is empty, or is text of no known format.
    """
    try:
        with path.open("rb") as file:
            return _format_of(file.read(_HEAD), path)
    except OSError as error:
        raise TraceError(f"cannot be read: {error.strerror}", path) from None


def _format_of(head: bytes, path: Path) -> TraceFormat:
    if not head:
        raise TraceError("is empty", path)
    if any(byte < 9 or byte > 126 for byte in head):
        return "uint64"
    for line in head.splitlines():
        if _LACKEY.match(line):
            return "lackey"
        if any(record.search(line) for record in (_DYNAMORIO, _DYNAMORIO_SIMPLE, _DYNAMORIO_X86)):
            return "drmemtrace"
    raise TraceError(f"is text without a record of a known format ({', '.join(FORMATS)})", path, "line 1")


def read_pages(path: Path, trace_format: TraceFormat | None = None) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the 4K page numbers of a trace's data accesses, in arrays of up to about a million.

    An access that crosses a page boundary counts for each page it touches. Instruction fetches, prefetches and
    cache flushes are left out.

    Args:
        path: The trace; ``-`` is the standard input, as it can be a pipe.
        trace_format: Its format; found out from its beginning when None.

    Raises:
        TraceError: The file cannot be read, has a malformed record, or no data access at all.
    """
    empty = True
    kind = trace_format
    try:
        with nullcontext(sys.stdin.buffer) if str(path) == "-" else path.open("rb") as file:
            head = file.read(_HEAD)
            kind = kind or _format_of(head, path)
            for chunk in _binary(head, file, path) if kind == "uint64" else _text(head, file, path, kind):
                if chunk.size:
                    empty = False
                    yield chunk
    except OSError as error:
        raise TraceError(f"cannot be read: {error.strerror}", path) from None
    if empty:
        raise TraceError(f"holds no data access ({kind})", path)


def _binary(head: bytes, file: BinaryIO, path: Path) -> Iterator[npt.NDArray[np.int64]]:
    size = 0
    data = head + file.read(8 * _CHUNK)
    while data:
        size += len(data)
        if size % 8:
            raise TraceError(
                f"ends within an address of 8 bytes ({size} bytes)", path, f"byte {size - size % 8}"
            )
        yield (np.frombuffer(data, "<u8") >> np.uint64(_PAGE_SHIFT)).astype(np.int64)
        data = file.read(8 * _CHUNK)


def _lines(head: bytes, file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file whose first bytes have been read."""
    yield from (head + file.readline()).splitlines(keepends=True)
    yield from file


def _text(head: bytes, file: BinaryIO, path: Path, kind: TraceFormat) -> Iterator[npt.NDArray[np.int64]]:
    parse = _lackey_record if kind == "lackey" else _dynamorio_record
    pages: list[int] = []
    for number, line in enumerate(_lines(head, file), 1):
        record = parse(line)
        if record is None:
            shown = line[:60].decode("ascii", "replace").rstrip()
            raise TraceError(f"{shown!r} is no record of {kind}", path, f"line {number}")
        address, size = record
        if size:
            last = (address + size - 1) >> _PAGE_SHIFT
            if last >> (64 - _PAGE_SHIFT):
                raise TraceError(f"{address:#x} and {size} bytes pass 64 bits", path, f"line {number}")
            pages.extend(range(address >> _PAGE_SHIFT, last + 1))
        if len(pages) >= _CHUNK:
            yield np.array(pages, np.int64)
            pages = []
    yield np.array(pages, np.int64)


def _lackey_record(line: bytes) -> tuple[int, int] | None:
    """Return address and size of a data access, size 0 for a line to skip, None for a malformed one."""
    if match := _LACKEY.match(line):
        return int(match[2], 16), int(match[3])
    return (0, 0) if _LACKEY_OTHER.match(line) else None


def _dynamorio_record(line: bytes) -> tuple[int, int] | None:
    """As `_lackey_record`."""
    if match := _DYNAMORIO.search(line) or _DYNAMORIO_X86.match(line):
        return int(match[2], 16), int(match[1])
    if match := _DYNAMORIO_SIMPLE.match(line):
        # Other words than r and w are instructions.
        return int(match[1], 16), int(match[2]) if match[3] in {b"r", b"w"} else 0
    if b"byte(s)" in line:
        return (0, 0) if _DYNAMORIO_NO_ACCESS.search(line) else None
    return (0, 0) if _DYNAMORIO_OTHER.search(line) else None
