"""Parser of the kernel's dump of its page tables (debugfs, x86): the tiling of the direct map."""

from __future__ import annotations

import re

__all__ = ["parse_direct_map_tiles"]

_LINE = re.compile(r"0x([0-9a-f]+)-0x([0-9a-f]+)\s+\d+[KMGTPE]\s*(.*?)\s*\b(pte|pmd|pud|p4d|pgd)\s*$")
_DIRECT_MAP = "Low Kernel Mapping"
_LEVELS = {"pte": 1, "pmd": 2, "pud": 3}


def parse_direct_map_tiles(text: str) -> list[tuple[int, int, int]] | None:
    """Return [first pfn, pages, level] of every run of entries of the direct map, ascending.

    A page that is not present inside a table of 4K entries (a secret page) is an entry of that table. Runs that
    differ only in attributes are joined. The section begins with physical address 0; None when there is none.
    """
    tiles: list[tuple[int, int, int]] = []
    inside, base = False, None
    for line in text.splitlines():
        if line.startswith("---["):
            inside = _DIRECT_MAP in line
            continue
        if not inside or (found := _LINE.match(line)) is None:
            continue
        start, end = int(found[1], 16), int(found[2], 16)
        base = start if base is None else base
        level = _LEVELS.get(found[4], 0)
        if level == 0 or (level > 1 and "PSE" not in found[3]):
            continue  # nothing is mapped there
        first, pages = (start - base) >> 12, (end - start) >> 12
        if tiles and tiles[-1][2] == level and tiles[-1][0] + tiles[-1][1] == first:
            tiles[-1] = (tiles[-1][0], tiles[-1][1] + pages, level)
        else:
            tiles.append((first, pages, level))
    return tiles or None
