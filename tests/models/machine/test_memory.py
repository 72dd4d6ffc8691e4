"""Physical memory: common maps against recorded ones, trimming, and maps that cannot be."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.machine.memory import FirmwareRange, MemoryMap, PfnRange, clip, firmware_ranges

RECORDINGS = Path(__file__).parents[2] / "recordings"
GIB = 1 << 30


@pytest.mark.parametrize(
    "path", sorted(RECORDINGS.glob("*/*.json.gz")), ids=lambda path: path.name.split(".")[0]
)
def test_recorded_firmware_map_follows_from_the_size(path: Path) -> None:
    """The ranges of every recorded machine, line by line."""
    with gzip.open(path) as stream:
        machine = json.load(stream)["machine"]
    assert list(firmware_ranges(machine["memory_bytes"])) == [
        FirmwareRange(*line) for line in machine["e820"]
    ]


@given(pages=st.integers((32 << 20) // 4096, (16 << 40) // 4096))
def test_size_is_kept_but_for_the_firmware(pages: int) -> None:
    """Less than 1.2 MiB goes to the BIOS and its tables; nothing lies in the hole between 3 and 4 GiB."""
    memory = MemoryMap.from_size(pages * 4096)
    assert 0 < pages * 4096 - memory.ram_bytes < 1_250_000
    assert not clip(memory.ram, 3 * GIB // 4096, 4 * GIB // 4096)
    assert memory.max_pfn == memory.ram[-1].end


def test_bios_range_and_page_zero_are_never_ram_on_a_pc() -> None:
    """Whatever the firmware says; arm64 has no such hole."""
    whole = [FirmwareRange(0, GIB)]
    assert MemoryMap.from_ranges(whole).ram == (PfnRange(1, 160), PfnRange(256, 262144))
    assert MemoryMap.from_ranges(whole, "arm64").ram == (PfnRange(0, 262144),)


def test_neighbours_are_joined_and_partial_pages_dropped() -> None:
    """The kernel's memblock does both."""
    lines = [FirmwareRange(2 * GIB, 3 * GIB - 100), FirmwareRange(GIB + 1, 2 * GIB)]
    assert MemoryMap.from_ranges(lines).ram == (PfnRange(262145, 786431),)


def test_map_of_16_tib_is_six_ranges() -> None:
    """Nothing grows with the size."""
    assert (
        len(firmware_ranges(16 << 40)) == len(firmware_ranges(8 * GIB)) - 1
    )  # without the HyperTransport hole
    assert MemoryMap.from_size(16 << 40).ram_bytes > (16 << 40) - (2 << 20)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ([(0, GIB), (GIB - 4096, 2 * GIB)], "overlap"),
        ([(0, GIB), (2 * GIB, 2 * GIB + 100)], "holds no whole 4K page"),
        ([(0, 1 << 20)], "32MiB to 16TiB"),
        ([(GIB, 18 << 40)], "32MiB to 16TiB"),
        ([], "32MiB to 16TiB"),
    ],
)
def test_impossible_ranges_are_refused(ranges: list[tuple[int, int]], message: str) -> None:
    """The message shows the range."""
    with pytest.raises(ValueError, match=message):
        MemoryMap.from_ranges(FirmwareRange(start, end) for start, end in ranges)


@pytest.mark.parametrize(("start", "end"), [(GIB, GIB), (GIB, 0), (-4096, GIB), (0, 65 << 40)])
def test_impossible_range_is_refused(start: int, end: int) -> None:
    """Empty, backwards, negative, beyond the direct map's reach."""
    with pytest.raises(ValueError, match="memory range"):
        FirmwareRange(start, end)


def test_unsorted_firmware_is_refused() -> None:
    """The constructor takes sorted ranges only; `from_ranges` sorts."""
    with pytest.raises(ValueError, match="not sorted"):
        MemoryMap((FirmwareRange(GIB, 2 * GIB), FirmwareRange(0, 4096)))


@pytest.mark.parametrize("size", [31 << 20, (16 << 40) + 4096, GIB + 1])
def test_impossible_size_is_refused(size: int) -> None:
    """Too small to boot, beyond 16 TiB, broken pages."""
    with pytest.raises(ValueError, match=str(size)):
        firmware_ranges(size)
