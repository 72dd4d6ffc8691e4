"""The file of a snapshot, and what is said when it has been written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import yaml

from models.machine.snapshot import Snapshot

__all__ = ["describe", "to_yaml"]


def to_yaml(snapshot: Snapshot) -> str:
    """Return the file of a snapshot: for people first what it is and where each part came from."""
    document = snapshot.model_dump(mode="json", exclude_none=True, exclude_defaults=False)
    provenance = document.pop("provenance")
    out = io.StringIO()
    out.write(
        f"# A machine at {snapshot.taken}, as its kernel told. `machine: {{snapshot: THIS FILE}}` starts from it.\n"
    )
    yaml.dump({"format": document.pop("format"), "provenance": provenance}, out, _Dumper, sort_keys=False, width=120)
    yaml.dump(document, out, _Dumper, sort_keys=False, width=120)
    return out.getvalue()


class _Dumper(yaml.SafeDumper):
    """Lists of numbers on one line."""

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> Any:
        plain = all(not isinstance(item, dict | list) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=plain)


def describe(snapshot: Snapshot, path: Path) -> list[str]:
    """Return the lines to print: parts, sources, gaps."""
    lines = [f"{path}: {snapshot.kernel.release or 'unknown kernel'}, {snapshot.cpus} CPUs, taken {snapshot.taken}"]
    for part, origin in snapshot.provenance.items():
        lines.append(f"  {part}: {origin.source}" + (f"\n    missing: {origin.gap}" if origin.gap else ""))
    return lines
