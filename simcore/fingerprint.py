"""The fingerprint of a run: equal exactly when all recorded series and the final state are."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import numpy as np

from simcore.recorder import Recorder

__all__ = ["fingerprint"]


def fingerprint(recorder: Recorder, end_ns: int, state_digest: bytes) -> str:
    """Return a SHA-256 in hex.

    It covers, per series in order of name: name, type, stored rows (times, values, extremes), and the exact
    integral, extremes and final value; then the model's digest of its final state. Numbers enter as
    little-endian 8-byte cells or decimal text, so that the result does not depend on the machine.

    Args:
        recorder: A finished recorder.
        end_ns: Simulated time at the end.
        state_digest: What tells the final state from every other.
    """
    digest = sha256()

    def add(label: str, content: bytes) -> None:
        # Lengths keep neighbouring fields apart.
        digest.update(f"{label}:{len(content)}:".encode())
        digest.update(content)

    for name, columns, position in recorder.columns():
        add("name", name.encode())
        add("type", columns.dtype.name.encode())
        for cells in (columns.times, columns.last(position), columns.low(position), columns.high(position)):
            add("cells", _little_endian(cells))
        numbers = (
            columns.integral(position, end_ns),
            columns.minimum(position),
            columns.maximum(position),
            columns.final(position),
        )
        add("accounts", " ".join(map(repr, numbers)).encode())
    add("state", state_digest)
    return digest.hexdigest()


def _little_endian(cells: Any) -> bytes:
    return np.ascontiguousarray(cells, dtype=cells.dtype.newbyteorder("<")).tobytes()
