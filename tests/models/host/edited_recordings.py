"""Edited copies of recordings for tests: read the JSON, change it, write it where a test may."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).parents[2] / "recordings"
ALLOCATOR = RECORDINGS / "allocator"
COUNTERS = RECORDINGS / "counters"
Edit = Callable[[Any], object]


def load(path: Path) -> Any:
    """Return the JSON of a recording, free to be changed."""
    return json.loads(gzip.decompress(path.read_bytes()))


def store(data: Any, path: Path) -> Path:
    """Write ``data`` as a recording."""
    path.write_bytes(gzip.compress(json.dumps(data).encode(), compresslevel=1))
    return path


def smallest(folder: Path) -> Path:
    """Return the recording of ``folder`` with the fewest bytes."""
    return min(folder.glob("*.json.gz"), key=lambda path: path.stat().st_size)


def event_at(data: Any, letter: str, number: int = 0) -> int:
    """Return the index of occurrence ``number`` of an operation."""
    return [at for at, op in enumerate(data["allocator_events"]["op"]) if op == letter][number]


AUX_COUNT = {**dict.fromkeys("KfgrdDWRVmuSHUFL", 1), "X": 4, "Y": 3}


def aux_at(data: Any, event: int) -> int:
    """Return where the auxiliary numbers of an event start."""
    return sum(AUX_COUNT.get(op, 0) for op in data["allocator_events"]["op"][:event])


def request_at(data: Any, event: int) -> int:
    """Return where the request of an event is."""
    return sum(op in "ABKfgFDIP" for op in data["allocator_events"]["op"][:event])


def put_letter(data: Any, column: str, event: int, letter: str) -> None:
    """Change one character of a column of the stream."""
    text = data["allocator_events"][column]
    data["allocator_events"][column] = text[:event] + letter + text[event + 1 :]


def repeat_event(data: Any, event: int) -> None:
    """Write an event a second time, right after itself, with everything that belongs to it."""
    stream = data["allocator_events"]
    letter = stream["op"][event]
    for column in ("op", "zone", "order", "type", "cpu"):
        if len(stream[column]) > 1:
            stream[column] = stream[column][: event + 1] + stream[column][event:]
    stream["pfn_delta"].insert(event + 1, 0)
    if letter in "ABKfgFDIP":
        at = request_at(data, event)
        stream["request"].insert(at, stream["request"][at])
    at, count = aux_at(data, event), AUX_COUNT.get(letter, 0)
    stream["aux"][at:at] = stream["aux"][at : at + count]
    stream["pid"][-1][1] += 1
    stream["count"] += 1
    for sample in data["samples"]:
        if sample["event_index"] is not None and sample["event_index"] > event:
            sample["event_index"] += 1
