"""Which 2M regions earlier live runs have split since this boot: a small file, since splits last until the next one.

The kernel counts splits but tells where they are only in debugfs. A run that could read the frames of its secret pages
(as root) notes their regions here, so that the next snapshot knows them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["known_regions", "note_regions"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def _file() -> Path:
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "simcore" / "split_regions.json"


def known_regions() -> tuple[int, ...]:
    """Return the first page frames of the regions noted since this boot, ascending."""
    try:
        noted = json.loads(_file().read_text(encoding="utf-8"))
        if noted["boot"] != _BOOT_ID.read_text(encoding="ascii").strip():
            return ()
        return tuple(sorted({int(pfn) for pfn in noted["regions"]}))
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def note_regions(pfns: Iterable[int]) -> None:
    """Add the regions of page frames. Where nothing can be written, nothing is remembered."""
    regions = {pfn >> 9 << 9 for pfn in pfns} | set(known_regions())
    if not regions:
        return
    path = _file()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"boot": boot, "regions": sorted(regions)}), encoding="utf-8")
        os.replace(partial, path)
