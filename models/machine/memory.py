"""Physical memory: the firmware's ranges, what of them is RAM, and the map that a machine of some size has.

Everything here is O(ranges): nothing is kept per page, so 16 TiB costs what 1 GiB costs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

__all__ = [
    "MAX_MEMORY_BYTES",
    "MIN_MEMORY_BYTES",
    "PAGE_BYTES",
    "Arch",
    "FirmwareRange",
    "MemoryMap",
    "PfnRange",
    "RangeType",
    "clip",
    "firmware_ranges",
]

Arch = Literal["x86_64", "arm64"]
RangeType = Literal["usable", "reserved", "acpi_data", "acpi_nvs", "unusable", "persistent"]

PAGE_BYTES = 4096
MIB = 1 << 20
GIB = 1 << 30
MIN_MEMORY_BYTES = 32 * MIB
MAX_MEMORY_BYTES = 16 << 40
#: Four-level page tables give the x86-64 direct map 64 TiB [6.1: Documentation/x86/x86_64/mm.rst].
MAX_ADDRESS = 64 << 40

# The firmware map of a PC as SeaBIOS and QEMU's `pc` machine write it.
_EBDA_START = 0x9FC00
_BIOS_LOW = 0xF0000
_PCI_HOLE = 3 * GIB
_ACPI_BYTES = 128 * 1024
_BIOS_HIGH = 0xFFFC0000
_HYPERTRANSPORT = (0xFD_0000_0000, 1 << 40)
_ARM64_RAM_START = 1 * GIB


class PfnRange(NamedTuple):
    """Page frames ``start`` to ``end``, end exclusive."""

    start: int
    end: int

    @property
    def pages(self) -> int:
        """Number of pages."""
        return self.end - self.start


@dataclass(frozen=True, order=True)
class FirmwareRange:
    """One line of the firmware's memory map: byte addresses, ``end`` exclusive."""

    start: int
    end: int
    type: RangeType = "usable"

    def __post_init__(self) -> None:
        if self.start < 0 or self.end <= self.start:
            raise ValueError(f"memory range {self} is empty or negative")
        if self.type == "usable" and self.end > MAX_ADDRESS:
            raise ValueError(f"memory range {self} ends above 64 TiB, the reach of the direct map")

    def __str__(self) -> str:
        return f"{self.start:#x}-{self.end:#x} ({self.type})"

    @property
    def whole_pages(self) -> PfnRange:
        """The page frames that lie wholly inside, as the kernel trims them; may be empty."""
        start = -(-self.start // PAGE_BYTES)
        return PfnRange(start, max(start, self.end // PAGE_BYTES))


def firmware_ranges(size_bytes: int, arch: Arch = "x86_64") -> tuple[FirmwareRange, ...]:
    """Return the firmware map of a common machine with ``size_bytes`` of memory.

    x86-64: 639 KiB below the BIOS, RAM from 1 MiB up to the PCI hole at 3 GiB (its last 128 KiB hold ACPI
    tables), the rest from 4 GiB on. The reserved range of AMD's HyperTransport below 1 TiB is left out where
    RAM covers it.
    arm64: one range from 1 GiB on (QEMU's `virt` machine).

    Raises:
        ValueError: Less than 32 MiB, more than 16 TiB, or not whole pages.
    """
    if not MIN_MEMORY_BYTES <= size_bytes <= MAX_MEMORY_BYTES:
        raise ValueError(f"memory of {size_bytes} bytes; a machine has 32MiB to 16TiB")
    if size_bytes % PAGE_BYTES:
        raise ValueError(f"memory of {size_bytes} bytes is not a whole number of 4K pages")
    if arch == "arm64":
        return (FirmwareRange(_ARM64_RAM_START, _ARM64_RAM_START + size_bytes),)
    low = min(size_bytes, _PCI_HOLE)
    ranges = [
        FirmwareRange(0, _EBDA_START),
        FirmwareRange(_EBDA_START, 0xA0000, "reserved"),
        FirmwareRange(_BIOS_LOW, MIB, "reserved"),
        FirmwareRange(MIB, low - _ACPI_BYTES),
        FirmwareRange(low - _ACPI_BYTES, low, "reserved"),
        FirmwareRange(_BIOS_HIGH, 4 * GIB, "reserved"),
    ]
    top = 4 * GIB + size_bytes - low
    if size_bytes > low:
        ranges.append(FirmwareRange(4 * GIB, top))
    if top <= _HYPERTRANSPORT[0]:
        ranges.append(FirmwareRange(*_HYPERTRANSPORT, "reserved"))
    return tuple(ranges)


@dataclass(frozen=True)
class MemoryMap:
    """A machine's firmware ranges, sorted and free of overlaps.

    Raises:
        ValueError: Ranges overlap, a usable one holds no whole page, or the RAM is below 32 MiB or above 16
            TiB.
    """

    firmware: tuple[FirmwareRange, ...]
    arch: Arch = "x86_64"

    def __post_init__(self) -> None:
        for lower, upper in pairwise(self.firmware):
            if upper.start < lower.start:
                raise ValueError(f"memory ranges are not sorted: {upper} comes after {lower}")
            if upper.start < lower.end:
                raise ValueError(f"memory ranges overlap: {lower} and {upper}")
        for line in self.firmware:
            if line.type == "usable" and not line.whole_pages.pages:
                raise ValueError(f"memory range {line} holds no whole 4K page")
        if not MIN_MEMORY_BYTES - MIB <= self.ram_bytes <= MAX_MEMORY_BYTES:
            raise ValueError(
                f"{self.ram_bytes} bytes of RAM in the memory ranges; a machine has 32MiB to 16TiB"
            )

    @classmethod
    def from_size(cls, size_bytes: int, arch: Arch = "x86_64") -> MemoryMap:
        """Return the map of a common machine of ``size_bytes``; see `firmware_ranges`."""
        return cls(firmware_ranges(size_bytes, arch), arch)

    @classmethod
    def from_ranges(cls, ranges: Iterable[FirmwareRange], arch: Arch = "x86_64") -> MemoryMap:
        """Return the map of explicit ranges in any order."""
        return cls(tuple(sorted(ranges)), arch)

    @cached_property
    def ram(self) -> tuple[PfnRange, ...]:
        """What the kernel takes as RAM, ascending, neighbours joined.

        On x86 without page 0 and 640 KiB to 1 MiB, whatever the firmware says [6.1 arch/x86/kernel/setup.c,
        `trim_bios_range`].
        """
        ranges: list[PfnRange] = []
        for line in self.firmware:
            if line.type != "usable":
                continue
            pages = line.whole_pages
            parts = [pages]
            if self.arch == "x86_64":
                parts = clip([pages], 1, 0xA0) + clip([pages], 0x100, pages.end)
            for part in parts:
                if ranges and ranges[-1].end == part.start:
                    ranges[-1] = PfnRange(ranges[-1].start, part.end)
                else:
                    ranges.append(part)
        return tuple(ranges)

    @cached_property
    def ram_pages(self) -> int:
        """Pages of RAM."""
        return sum(part.pages for part in self.ram)

    @property
    def ram_bytes(self) -> int:
        """Bytes of RAM."""
        return self.ram_pages * PAGE_BYTES

    @property
    def max_pfn(self) -> int:
        """One past the last page frame of RAM."""
        return self.ram[-1].end if self.ram else 0


def clip(ranges: Iterable[PfnRange], start: int, end: int) -> list[PfnRange]:
    """Return the parts of ``ranges`` between the page frames ``start`` and ``end`` (exclusive)."""
    clipped = (PfnRange(max(part.start, start), min(part.end, end)) for part in ranges)
    return [part for part in clipped if part.pages > 0]
