"""Parsers of `/proc` files: text in, typed values out; no file is opened here.

Lines that a parser does not know are passed over, since every kernel version adds some; lines that it needs and cannot
read raise `ProcError` with the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from models.machine.memory import RangeType
from simcore.errors import SimcoreError

__all__ = [
    "ORDERS", "PageTypes", "ProcError", "ZoneInfo", "parse_buddyinfo", "parse_cpuinfo", "parse_interrupts",
    "parse_iomem", "parse_list", "parse_meminfo", "parse_pagetypeinfo", "parse_release", "parse_vmstat",
    "parse_zoneinfo",
]  # fmt: skip

ORDERS = 11
_IOMEM = re.compile(r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) : (?P<name>.*)")
_ZONE = re.compile(r"Node\s+(\d+), zone\s+(\w+)")
_FREE_BY_TYPE = re.compile(r"Node\s+(\d+), zone\s+(\w+), type\s+(\w+)\s+(.*)")
_RELEASE = re.compile(r"Linux version (\S+)")
_VERSION = re.compile(r"(\d+)\.(\d+)")


class ProcError(SimcoreError):
    """A `/proc` file that does not read as the kernel writes it."""

    def __init__(self, file: str, message: str) -> None:
        super().__init__(f"/proc/{file}: {message}")


@dataclass
class ZoneInfo:
    """A zone of `/proc/zoneinfo`: sizes and marks in pages; ``pagesets`` by CPU, then by field."""

    node: int
    name: str
    fields: dict[str, int] = field(default_factory=dict)
    protection: tuple[int, ...] = ()
    pagesets: dict[int, dict[str, int]] = field(default_factory=dict)


@dataclass
class PageTypes:
    """`/proc/pagetypeinfo`: free blocks by (node, zone, type), and pageblocks by (node, zone) and type."""

    pageblock_order: int
    free: dict[tuple[int, str, str], tuple[int, ...]] = field(default_factory=dict)
    blocks: dict[tuple[int, str], dict[str, int]] = field(default_factory=dict)


def parse_meminfo(text: str) -> dict[str, int]:
    """Return the lines of `/proc/meminfo` as they are named; kB, or a count where there is no unit."""
    values = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        number = rest.split()
        if number:
            values[name] = _int(number[0], "meminfo", line)
    if "MemTotal" not in values:
        raise ProcError("meminfo", "no line MemTotal")
    return values


def parse_vmstat(text: str) -> dict[str, int]:
    """Return `/proc/vmstat` by name."""
    pairs = (line.split() for line in text.splitlines() if line.strip())
    return {pair[0]: _int(pair[-1], "vmstat", " ".join(pair)) for pair in pairs}


def parse_zoneinfo(text: str) -> list[ZoneInfo]:
    """Return the zones of `/proc/zoneinfo` that hold memory."""
    zones: list[ZoneInfo] = []
    zone: ZoneInfo | None = None
    pageset: dict[str, int] | None = None
    for line in text.splitlines():
        if found := _ZONE.match(line):
            zone, pageset = ZoneInfo(int(found[1]), found[2]), None
            zones.append(zone)
            continue
        words = line.replace(":", ": ").split()
        if zone is None or len(words) < 2:
            continue
        if words[0] == "pages" and words[1] == "free":
            zone.fields["free"] = _int(words[2], "zoneinfo", line)
        elif words[0] == "protection:":
            numbers = re.findall(r"\d+", line)
            zone.protection = tuple(map(int, numbers))
        elif words[0] == "cpu:":
            pageset = zone.pagesets.setdefault(_int(words[1], "zoneinfo", line), {})
        elif line.startswith("  vm stats threshold") and pageset is not None:
            pageset["stat_threshold"] = _int(words[-1], "zoneinfo", line)
        elif len(words) == 2 and words[1].isdigit():
            name = words[0].rstrip(":")
            target = pageset if pageset is not None and name in _PAGESET_FIELDS else zone.fields
            target.setdefault(name, int(words[1]))
    if not zones:
        raise ProcError("zoneinfo", "no zone")
    return [zone for zone in zones if zone.fields.get("managed")]


_PAGESET_FIELDS = frozenset({"count", "high", "batch", "high_min", "high_max"})


def parse_buddyinfo(text: str) -> dict[tuple[int, str], tuple[int, ...]]:
    """Return the free blocks of each (node, zone) by order."""
    free = {}
    for line in text.splitlines():
        if found := _ZONE.match(line):
            free[int(found[1]), found[2]] = _orders(line[found.end() :], "buddyinfo", line)
    return free


def parse_pagetypeinfo(text: str) -> PageTypes:
    """Return free blocks by type and pageblocks by type; '>100000' reads as 100,000 [since 5.5]."""
    order = re.search(r"Page block order:\s*(\d+)", text)
    if order is None:
        raise ProcError("pagetypeinfo", "no line 'Page block order'")
    types = PageTypes(int(order[1]))
    names: list[str] = []
    for line in text.splitlines():
        if found := _FREE_BY_TYPE.match(line):
            types.free[int(found[1]), found[2], found[3]] = _orders(found[4], "pagetypeinfo", line)
        elif line.startswith("Number of blocks type"):
            names = line.split()[4:]
        elif names and (found := _ZONE.match(line)):
            numbers = [_int(word, "pagetypeinfo", line) for word in line[found.end() :].split()]
            if len(numbers) != len(names):
                raise ProcError("pagetypeinfo", f"{len(numbers)} numbers for {len(names)} types: {line.strip()!r}")
            types.blocks[int(found[1]), found[2]] = dict(zip(names, numbers, strict=True))
    return types


def parse_iomem(text: str) -> list[tuple[int, int, RangeType]] | None:
    """Return the firmware's ranges (start, end exclusive, type) of `/proc/iomem`.

    None where the kernel hides the addresses from the reader: every line then reads ``00000000-00000000``.
    """
    ranges: list[tuple[int, int, RangeType]] = []
    for line in text.splitlines():
        found = _IOMEM.fullmatch(line)  # nested lines are indented, and say what lies inside a range
        if found is None:
            continue
        kind = _IOMEM_TYPES.get(found["name"].strip())
        start, end = int(found["start"], 16), int(found["end"], 16) + 1
        if kind is not None and end > start + 1:
            ranges.append((start, end, kind))
    return sorted(ranges) if any(kind == "usable" for _, _, kind in ranges) else None


_IOMEM_TYPES: dict[str, RangeType] = {
    "System RAM": "usable",
    "Reserved": "reserved",
    "reserved": "reserved",
    "ACPI Tables": "acpi_data",
    "ACPI Non-volatile Storage": "acpi_nvs",
    "Unusable memory": "unusable",
    "Persistent Memory": "persistent",
}


def parse_cpuinfo(text: str) -> list[dict[str, str]]:
    """Return one mapping of names to values for each processor of `/proc/cpuinfo`."""
    processors = []
    for paragraph in text.split("\n\n"):
        lines = (line.partition(":") for line in paragraph.splitlines())
        values = {name.strip(): value.strip() for name, _, value in lines if name.strip()}
        if "processor" in values:
            processors.append(values)
    if not processors:
        raise ProcError("cpuinfo", "no processor")
    return processors


def parse_interrupts(text: str) -> int | None:
    """Return how many TLB shootdowns have interrupted a CPU (line ``TLB`` of `/proc/interrupts`); None without it."""
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name.strip() == "TLB":
            return sum(int(word) for word in rest.split() if word.isdigit())
    return None


def parse_list(text: str) -> tuple[int, ...]:
    """Return the numbers of a list as the kernel writes it: ``0-3,8``."""
    numbers: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            numbers.extend(range(int(first), int(last or first) + 1))
    return tuple(numbers)


def parse_release(text: str) -> tuple[str, tuple[int, int]]:
    """Return the release and its first two numbers from `/proc/version`."""
    release = _RELEASE.match(text)
    version = _VERSION.match(release[1]) if release else None
    if release is None or version is None:
        raise ProcError("version", f"no Linux version in {text[:60]!r}")
    return release[1], (int(version[1]), int(version[2]))


def _orders(text: str, file: str, line: str) -> tuple[int, ...]:
    numbers = [_int(word.lstrip(">"), file, line) for word in text.split()]
    if not 1 <= len(numbers) <= 14:
        raise ProcError(file, f"{len(numbers)} orders: {line.strip()!r}")
    # MAX_PAGE_ORDER above 10 (arm64 with 16K or 64K pages) is not modelled: larger blocks count as several of order 10.
    for order in range(len(numbers) - 1, ORDERS - 1, -1):
        numbers[order - 1] += 2 * numbers[order]
    return tuple((numbers + [0] * ORDERS)[:ORDERS])


def _int(word: str, file: str, line: str) -> int:
    try:
        return int(word)
    except ValueError:
        raise ProcError(file, f"no number: {line.strip()!r}") from None
