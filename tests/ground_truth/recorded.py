"""The recordings, and what the modes of comparison say of them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from models.host.comparison import Comparison, Options
from models.host.recording import AllocatorRecording, CountersRecording, read_recording
from models.host.validate import MODES

_DEFAULT = Options()
RECORDINGS = Path(__file__).parents[1] / "recordings"


def names(folder: str) -> list[str]:
    """Names of the recordings in a folder."""
    return sorted(path.name.removesuffix(".json.gz") for path in (RECORDINGS / folder).glob("*.json.gz"))


def read(folder: str, name: str) -> AllocatorRecording | CountersRecording:
    return read_recording(RECORDINGS / folder / f"{name}.json.gz")


@lru_cache(maxsize=256)
def compared(mode: str, name: str, options: Options = _DEFAULT) -> Comparison:
    """The outcome of a mode on a recording, worked out once."""
    chosen = MODES[mode]
    return chosen.compare(read(chosen.kind, name), options)


def shortfalls(comparison: Comparison) -> list[str]:
    """What is outside its tolerance, in words."""
    return [f"{row.what}: {row.cell}, asked: {row.required}" for row in comparison.rows if not row.passed]
