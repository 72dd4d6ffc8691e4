"""Reading a machine part by part: what was read, and where each part came from or why it is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from models.host.procfs import ProcError
from models.host.sources import Sources, Unreadable
from models.machine.snapshot_parts import Provenance

__all__ = ["Taking"]

T = TypeVar("T")


class Taking:
    """The parts read so far, and where each came from."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.provenance: dict[str, Provenance] = {}

    def note(self, part: str, source: str, gap: str = "") -> None:
        """Say where a part came from, and what of it is missing."""
        self.provenance[part] = Provenance(source=source, gap=gap)

    def read(self, part: str, name: str, parse: Callable[[str], T]) -> T | None:
        """Parse a file of `/proc`; without it the part becomes a gap."""
        try:
            value = parse(self.sources.text(name))
        except (Unreadable, ProcError) as reason:
            self.note(part, "nothing", str(reason))
            return None
        self.note(part, f"/proc/{name}")
        return value
