"""What every recording says about the machine and its boot, and which kernel build it was made with."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from models.machine.memory import FirmwareRange, MemoryMap

RECORDINGS = Path(__file__).parents[2] / "recordings"


@dataclass(frozen=True)
class BootRecording:
    """The parts of one recording that are about the boot."""

    name: str
    profile: str
    gbpages: bool
    huge_pages: bool
    cpus: int
    memory_bytes: int
    memory: MemoryMap
    zones: list[dict[str, Any]]
    tiles: list[tuple[int, int, int]]
    reported_kb: tuple[int, int, int]
    pcp: list[dict[str, Any]]


@cache
def boot_recordings() -> tuple[BootRecording, ...]:
    """Read all of tests/recordings/allocator and counters."""
    found = [_read(path) for path in sorted(RECORDINGS.glob("*/*.json.gz"))]
    assert found, f"no recordings in {RECORDINGS}"
    return tuple(found)


def _read(path: Path) -> BootRecording:
    with gzip.open(path) as stream:
        record = json.load(stream)
    machine, initial = record["machine"], record["initial"]
    if path.parent.name == "counters":
        profile = "distribution" if record["source"]["build"] == "distribution" else "minimal_plain"
        zones = [
            {"name": name, "wmark_min": zone["min"], "wmark_low": zone["low"]} | zone
            for name, zone in machine["zones"].items()
            if zone["managed"]
        ]
        tiles = [(start, pages, level) for start, pages, level in initial["direct_map_tiles"]]
        reported = initial["direct_map_kb"]
        command_line = record["source"]["cmdline"]
    else:
        profile = "minimal" if machine["pageblock_order"] == 9 else "minimal_pb10"
        zones = machine["zones"]
        tiles = [
            (start, pages, level)
            for start, pages, level, present, _ in initial["direct_map"]["runs"]
            if present
        ]
        reported = machine["boot_direct_map_kb"]
        command_line = record["source"]["kernel_cmdline"]
    return BootRecording(
        name=path.stem.removesuffix(".json"),
        profile=profile,
        gbpages="nogbpages" not in command_line,
        huge_pages=profile in {"minimal", "distribution"},
        cpus=machine["cpus"],
        memory_bytes=machine["memory_bytes"],
        memory=MemoryMap(tuple(FirmwareRange(*line) for line in machine["e820"])),
        zones=zones,
        tiles=joined(tiles),
        reported_kb=(
            reported["4k"],
            reported["2m"],
            max(0, reported["1g"]),
        ),  # -1: no such line in /proc/meminfo
        pcp=initial.get("pcp", []),
    )


def joined(tiles: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Join neighbours of one level that a page-table walk tells apart by other attributes."""
    rows: list[tuple[int, int, int]] = []
    for start, pages, level in tiles:
        if rows and rows[-1][2] == level and sum(rows[-1][:2]) == start:
            rows[-1] = (rows[-1][0], rows[-1][1] + pages, level)
        else:
            rows.append((start, pages, level))
    return rows
