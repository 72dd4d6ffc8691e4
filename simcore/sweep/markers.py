"""Markers: how far a worker is in its chunk, in a file that outlives it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from simcore.sweep.errors import StoreError
from simcore.sweep.jobs import Report

__all__ = ["Marker", "marked", "read_marker"]


@dataclass(frozen=True)
class Marker:
    """How far a worker is in its chunk, noted in a file so that it outlives the worker.

    Attributes:
        written: jobs of the chunk, from the first, whose rows are in the store.
        current: number of the job being made; None between jobs.
        report: counts over the written jobs.
    """

    written: int
    current: int | None
    report: Report


def read_marker(path: Path) -> Marker:
    """Return what a worker noted last; nothing done when it never began."""
    try:
        noted = json.loads(path.read_text())
    except (OSError, ValueError):
        return Marker(0, None, Report())
    return Marker(noted["written"], noted["current"], Report(noted["done"], noted["failed"], noted["wall_s"]))


@contextlib.contextmanager
def marked(path: Path) -> Iterator[Callable[[Marker], None]]:
    """Yield a function that notes a marker in the file: one small write, in place.

    Raises:
        StoreError: the file cannot be written.
    """
    with _no_space_is_fatal(path):
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC)

    def note(marker: Marker) -> None:
        report = marker.report
        content = {"written": marker.written, "current": marker.current, "done": report.done,
                   "failed": report.failed, "wall_s": report.wall_s}  # fmt: skip
        with _no_space_is_fatal(path):
            os.pwrite(descriptor, json.dumps(content).ljust(160).encode(), 0)

    try:
        yield note
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _no_space_is_fatal(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write {path.parent}: {error.strerror}; everything finished is kept") from error
