"""The files of one run: written so that a directory is either whole or known not to be, and read back.

``config.yaml`` (effective configuration), ``summary.json``, ``series.parquet``, ``<table>.parquet`` for
tables of the model, and last ``manifest.json``, which lists the others: without it the run is not whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from simcore.errors import ConfigError, OutputError
from simcore.result import Result
from simcore.series import Series
from simcore.yaml_scalars import dump_yaml
from simcore.yaml_source import parse_yaml

__all__ = ["MANIFEST", "check_place", "is_run", "prepare", "read_run", "write_atomically", "write_run"]

MANIFEST = "manifest.json"
CONFIG = "config.yaml"
SUMMARY = "summary.json"
SERIES = "series.parquet"
_KIND = "simcore run"
_TEMPORARY = ".partial"


def is_run(directory: Path) -> bool:
    """Return whether a whole run is there."""
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("kind") == _KIND


def check_place(directory: Path) -> None:
    """Refuse a directory that holds something other than a run, whole or half written.

    Raises:
        OutputError: It does; it is left alone.
    """
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise OutputError(f"{directory}: there is something that is not a run directory; it is left alone")
    if not directory.is_dir() or is_run(directory):
        return
    own = (CONFIG, SUMMARY, SERIES, MANIFEST)
    for entry in sorted(directory.iterdir()):
        if entry.name not in own and not entry.name.endswith(_TEMPORARY):
            raise OutputError(
                f"{directory}: holds {entry.name!r} and is not a run directory; it is left alone"
            )


def prepare(directory: Path) -> None:
    """Make an empty directory, in place of an older run if there is one.

    Raises:
        OutputError: Something is there that is no run, or the disk refuses.
    """
    try:
        check_place(directory)
        if directory.is_dir():
            # First what makes it whole, so that no moment shows a run with parts missing.
            (directory / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(directory)
        directory.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{error.filename or directory}: cannot be written: {error.strerror}") from None


def write_run(result: Result, directory: Path) -> Path:
    """Write a result; return the directory.

    Raises:
        OutputError: Something that is no run is there, or the disk refuses.
    """
    prepare(directory)
    header = "# The effective configuration of this run: every key with the value it had.\n"
    write_atomically(directory / CONFIG, (header + dump_yaml(result.config)).encode())
    write_atomically(directory / SUMMARY, _json(result.summary))
    write_atomically(directory / SERIES, _parquet(result.series.table))
    for name, table in result.tables.items():
        write_atomically(directory / f"{name}.parquet", _parquet(table))
    result.manifest["tables"] = sorted(result.tables)
    result.manifest["files"] = sorted(entry.name for entry in directory.iterdir())
    write_atomically(directory / MANIFEST, _json(result.manifest))
    return directory


def read_run(directory: Path) -> Result:
    """Read a run directory.

    Raises:
        OutputError: Not a run directory, a run that is not whole, or damaged files.
    """
    if not directory.is_dir():
        raise OutputError(f"{directory}: no such run directory")
    if not (directory / MANIFEST).exists():
        raise OutputError(
            f"{directory}: not a run directory, or a run that did not finish ({MANIFEST} is missing)"
        )
    if not is_run(directory):
        raise OutputError(f"{directory}: {MANIFEST} is not that of a run")
    try:
        manifest = json.loads((directory / MANIFEST).read_bytes())
        return Result(
            series=Series(pq.read_table(directory / SERIES)),
            summary=json.loads((directory / SUMMARY).read_bytes()),
            config=parse_yaml((directory / CONFIG).read_bytes(), directory / CONFIG).value,
            manifest=manifest,
            tables={name: pq.read_table(directory / f"{name}.parquet") for name in manifest["tables"]},
            directory=directory,
        )
    except (OSError, ValueError, KeyError, ConfigError, pa.ArrowException) as error:
        raise OutputError(f"{directory}: damaged run: {error}") from None


def write_atomically(path: Path, content: bytes | Callable[[Path], None]) -> None:
    """Write a file under a temporary name and rename it.

    Args:
        path: The file.
        content: What to write, or a function that writes to the path it is given.

    Raises:
        OutputError: The disk refuses.
    """
    temporary = path.with_name(path.name + _TEMPORARY)
    try:
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written: {error.strerror or error}") from None


def _parquet(table: pa.Table) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        pq.write_table(table, path, compression="zstd")

    return write


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
