"""What a machine's kernel says of itself at one instant, as a file: the format of `machine: {snapshot: ...}`.

Reading a live kernel is the business of `models.host`; here is only what such a file holds, and how it becomes a
machine. Every part may be missing: ``provenance`` says where each part comes from, and why it is not there.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.machine.memory import RangeType
from models.machine.snapshot_parts import (
    Count,
    DirectMapSnapshot,
    FreeCounts,
    KernelSnapshot,
    ListSnapshot,
    NodeSnapshot,
    PageblockCounts,
    PageSnapshot,
    Provenance,
    SecretmemSnapshot,
    ZoneSnapshot,
)
from simcore.errors import ConfigError

__all__ = ["ListSnapshot", "Snapshot", "ZoneSnapshot", "load_snapshot"]


class Snapshot(BaseModel):
    """A machine at one instant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    taken: str
    kernel: KernelSnapshot
    secretmem: SecretmemSnapshot = SecretmemSnapshot()
    memory: tuple[tuple[int, int, RangeType], ...]
    cpus: Annotated[int, Field(ge=1)]
    sockets: Annotated[int, Field(ge=1)] = 1
    nodes: tuple[NodeSnapshot, ...]
    tlb: str | None = None
    host_page: Literal["4K", "2M", "1G"] | None = None
    zones: tuple[ZoneSnapshot, ...] = ()
    direct_map: DirectMapSnapshot = DirectMapSnapshot()
    pageblock_order: Annotated[int, Field(ge=0, le=13)] = 9
    free_blocks: tuple[FreeCounts, ...] = ()
    pageblocks: tuple[PageblockCounts, ...] = ()
    pages: PageSnapshot | None = None
    lists: ListSnapshot | None = None
    kernel_pages: Count | None = None
    provenance: dict[str, Provenance] = {}

    def machine_keys(self) -> dict[str, Any]:
        """Return the keys of a machine's configuration that the snapshot knows."""
        keys: dict[str, Any] = {
            "arch": self.kernel.arch,
            "memory": [list(line) for line in self.memory],
            "cpus": self.cpus,
        }
        if len(self.nodes) == 1 and self.cpus % self.sockets == 0:
            keys["sockets"] = self.sockets
        if len(self.nodes) > 1:
            keys["nodes"] = [{"memory": self._node_ranges(node.id), "cpus": len(node.cpus)} for node in self.nodes]
        if self.tlb is not None:
            keys["tlb"] = self.tlb
        if self.host_page is not None:
            keys["host_page"] = self.host_page
        if self.kernel.arch == "x86_64" and self.kernel.gbpages is not None:
            keys["boot"] = {"gbpages": self.kernel.gbpages}
        return keys

    def _node_ranges(self, node: int) -> list[list[int]]:
        spans = sorted((zone.start_pfn, zone.end_pfn) for zone in self.zones if zone.node == node)
        merged: list[list[int]] = []
        for start, end in spans:
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(end, merged[-1][1])
            else:
                merged.append([start, end])
        return [[start << 12, end << 12] for start, end in merged]


def load_snapshot(path: Path) -> Snapshot:
    """Read a snapshot file; the same object as long as the file does not change.

    Raises:
        ConfigError: The file cannot be read, or is no snapshot.
    """
    try:
        stamp = path.stat().st_mtime_ns
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path, expected="a snapshot file") from None
    return _load(path, stamp)


@lru_cache(maxsize=4)
def _load(path: Path, _stamp: int) -> Snapshot:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        return Snapshot.model_validate(document)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read: {error}", file=path, expected="a snapshot file") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ConfigError(first["msg"], file=path, key=key or None, expected="a snapshot file") from None
