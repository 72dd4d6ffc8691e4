"""Tables that a run leaves for the map of memory: the direct map at the start, and what became of it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from models.kernel.direct_map import SIZE_PAGES, DirectMap
from models.kernel.map_changes import ABSENT_SHIFT, GIGA, LEVEL_MASK, SECRET

__all__ = ["map_tables"]

REGION_PAGES = 512
"""Pages of a region, the unit of both tables: 2 MiB."""


def map_tables(direct_map: DirectMap) -> dict[str, pa.Table]:
    """Return `map_start` and `map_changes`.

    `map_start` has a row per run of regions of one kind: ``first`` region, ``regions``, ``level`` of the entries
    (1: 4K, 2: 2M, 3: 1G; 0: in no direct map). `map_changes` has, in order of time, what a region became: ``time_ns``,
    ``region``, ``level``, ``absent`` (pages out of the direct map: 0 none, 1 some, 2 all), ``secret`` (it holds secret
    pages), and ``giga``: the row tells the level of all regions of the 1G region ``region``. Within buckets of
    ``bucket_ns`` (in the schema's metadata) a region's last change alone was kept.
    """
    return {"map_start": _start(direct_map), "map_changes": _changes(direct_map)}


def _start(direct_map: DirectMap) -> pa.Table:
    runs: list[list[int]] = []  # first region, region behind, level
    for start, count, level in direct_map.tiles:
        first, behind = start // REGION_PAGES, -(-(start + count) // REGION_PAGES)
        end = runs[-1][1] if runs else 0
        if end < first:
            runs.append([end, first, 0])
        elif runs and first < end:  # a region of which two tiles have a part
            first = end
        if first >= behind:
            continue
        if runs and runs[-1][2] == level:
            runs[-1][1] = behind
        else:
            runs.append([first, behind, level])
    cells = np.array(runs, np.int64).reshape(-1, 3)
    return pa.table(
        {
            "first": cells[:, 0].astype(np.int32),
            "regions": (cells[:, 1] - cells[:, 0]).astype(np.int32),
            "level": cells[:, 2].astype(np.int8),
        }
    )


def _changes(direct_map: DirectMap) -> pa.Table:
    time_ns, region, code = direct_map.changes.rows()
    table = pa.table(
        {
            "time_ns": time_ns,
            "region": region,
            "level": (code & LEVEL_MASK).astype(np.int8),
            "absent": (code >> ABSENT_SHIFT & 3).astype(np.int8),
            "secret": (code & SECRET) != 0,
            "giga": (code & GIGA) != 0,
        }
    )
    facts = {"bucket_ns": str(direct_map.changes.bucket_ns), "region_bytes": str(REGION_PAGES * SIZE_PAGES[1] * 4096)}
    return table.replace_schema_metadata(facts)
