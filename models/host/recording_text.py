"""From a file to typed records: unpacking, parsing, and how a recording that is refused is named."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from simcore.errors import SimcoreError

__all__ = ["RecordingError", "parse", "read_text"]


class RecordingError(SimcoreError):
    """A recording that is cut short, of an unknown format, or impossible.

    Args:
        message: What is wrong, showing the bad value.
        file: The recording.
        field: Dotted path of the field, e.g. ``initial.free_lists[3].pfns``.
        event: Zero-based index of the event, for a fault in the event stream.
    """

    def __init__(
        self, message: str, *, file: Path | str, field: str | None = None, event: int | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = str(file)
        self.field = field
        self.event = event

    def __str__(self) -> str:
        place = self.file
        if self.field is not None:
            place += f": {self.field}"
        if self.event is not None:
            place += f": event {self.event}"
        return f"{place}: {self.message}"


_R = TypeVar("_R", bound=BaseModel)


def read_text(path: Path) -> bytes:
    """Return the JSON text of a recording, unpacked when it is gzip.

    Raises:
        RecordingError: The file cannot be read or its compressed stream is cut short or damaged.
    """
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    except EOFError as error:
        raise RecordingError("the gzip stream is cut short", file=path) from error
    except (zlib.error, gzip.BadGzipFile) as error:
        raise RecordingError(f"the gzip stream is damaged ({error})", file=path) from error
    except OSError as error:
        raise RecordingError(f"cannot be read ({error.strerror or error})", file=path) from error


def _place(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text


def parse(model: type[_R], text: bytes, path: Path) -> _R:
    """Return ``text`` as ``model``.

    Raises:
        RecordingError: The text is no JSON, or a field is missing, of the wrong type or out of its range.
    """
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        raise RecordingError(f"not a whole JSON text ({first['msg']})", file=path)
    message = first["msg"] if first["type"] == "missing" else f"{first['msg']}, got {_shown(first['input'])}"
    raise RecordingError(message[0].lower() + message[1:], file=path, field=_place(first["loc"]))


def _shown(value: object, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."
