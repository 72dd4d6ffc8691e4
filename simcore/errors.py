"""The errors that this package raises for bad input; every one prints as one readable message."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

__all__ = ["ConfigError", "OutputError", "SimcoreError", "nearest_name"]


class SimcoreError(Exception):
    """Base of all errors that are the user's to mend: the command line prints the message and exits 2."""


class OutputError(SimcoreError):
    """A directory that cannot be written, must not be replaced, or is not a whole run."""


class ConfigError(SimcoreError):
    """A configuration that cannot be used.

    Args:
        message: What is wrong, showing the bad value.
        file: The file that holds it, or the option (``--set``) that brought it.
        line: One-based line in that file.
        key: Dotted path of the key, e.g. ``machine.memory``.
        expected: What would have been accepted.
        nearest: The valid name closest to the one given.

    Attributes:
        others: Further findings in the same configuration, one line each.
    """

    def __init__(
        self,
        message: str,
        *,
        file: Path | str | None = None,
        line: int | None = None,
        key: str | None = None,
        expected: str | None = None,
        nearest: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = None if file is None else str(file)
        self.line = line
        self.key = key
        self.expected = expected
        self.nearest = nearest
        self.others: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = ""
        if self.file is not None:
            where = f"{self.file}:{self.line}: " if self.line is not None else f"{self.file}: "
        text = where + (f"{self.key}: " if self.key else "") + self.message
        if self.expected:
            text += f"; expected {self.expected}"
        if self.nearest:
            text += f"; did you mean {self.nearest!r}?"
        return "\n".join((text, *self.others))


def nearest_name(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like ``name`` (case does not matter), or None when none is alike."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    close = get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.55)
    return by_folded[close[0]] if close else None
