"""Files of a store: whole or not there, and one clear message when the disk refuses.

Each is written under a temporary name, flushed and renamed.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from simcore.sweep.errors import StoreError

__all__ = ["parquet_bytes", "write_whole", "writing"]


def write_whole(path: Path, content: bytes, directory: Path) -> None:
    """Write a file, or leave what was there before.

    Args:
        path: the file.
        content: all of it.
        directory: of the sweep, for the message.

    Raises:
        StoreError: no space, or the directory cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(directory):
        try:
            _write_file(temporary, content)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Turn failures to write into one clear message.

    Raises:
        StoreError: instead of any OSError inside.
    """
    try:
        yield
    except OSError as error:
        kept = "everything that was finished is kept; the same command continues from there"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(f"no space left for {directory}: {kept} once there is space") from error
        raise StoreError(f"cannot write {directory}: {error.strerror}; {kept}") from error


def parquet_bytes(table: pa.Table) -> bytes:
    """Return a table as the content of a Parquet file."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def _write_file(path: Path, content: bytes) -> None:
    """Write and flush to the disk: after the rename the content must be there, even after a power cut."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
