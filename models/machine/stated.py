"""Preset files whose every value says how sure it is: YAML mappings with words of confidence and sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from simcore.errors import ConfigError, nearest_name
from simcore.yaml_source import Position, parse_yaml

__all__ = ["CONFIDENCES", "Confidence", "StatedFile", "read_stated"]

Confidence = Literal["measured", "verified", "unverified"]
CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)


@dataclass
class StatedFile:
    """A preset file without its wrappers.

    Attributes:
        values: The plain values.
        confidences: Confidence word by dotted path (``l1d.0.entries``).
        sources: Where a value comes from, by dotted path, when the file says so.
        positions: Position of each key of the file itself (not of those it takes over).
    """

    values: dict[str, Any] = field(default_factory=dict)
    confidences: dict[str, Confidence] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    positions: Mapping[tuple[str | int, ...], Position] = field(default_factory=dict)

    def line(self, location: tuple[str | int, ...]) -> int | None:
        """Return the line of the key at ``location``, or of the nearest above it; None if it is not here."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.positions:
                return self.positions[location[:length]].line
        return None

    def forget(self, key: str) -> None:
        """Drop what was stated about a top-level key that is given anew."""
        for table in (self.confidences, self.sources):
            for path in [p for p in table if p == key or p.startswith(f"{key}.")]:
                del table[path]


def read_stated(path: Path, presets: Path) -> StatedFile:
    """Read a preset file.

    Any value may be written ``{value: 96, confidence: measured, source: ...}``; ``confidence:`` at the top of
    the file speaks for all others, and is ``unverified`` when it is left out. ``same_as: other`` takes over
    the values of another preset, looked for beside the file and then in ``presets``; further keys replace
    its.

    Raises:
        ConfigError: The file cannot be read, is not such a mapping, or refers to itself; with place and line.
    """
    return _read(path, presets, ())


def _read(path: Path, presets: Path, seen: tuple[Path, ...]) -> StatedFile:
    if path.resolve() in seen:
        raise ConfigError("leads back to this file", file=path, key="same_as")
    try:
        source = parse_yaml(path.read_bytes(), path)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path, expected="a preset file") from None
    if not isinstance(source.value, dict):
        raise ConfigError(f"holds a {type(source.value).__name__}", file=path, expected="a mapping of values")
    document = dict(source.value)
    here = StatedFile(positions=source.positions)
    default = _word(document.pop("confidence", "unverified"), here, path, ("confidence",))
    base = document.pop("same_as", None)
    if base is not None:
        taken = _read(_find(str(base), path, presets), presets, (*seen, path.resolve()))
        here.values, here.confidences, here.sources = taken.values, taken.confidences, taken.sources
    unwrapper = _Unwrapper(here, path, default)
    for key, value in document.items():
        here.forget(str(key))
        here.values[str(key)] = unwrapper.unwrap(value, (str(key),))
    return here


def _find(name: str, path: Path, presets: Path) -> Path:
    file = name if name.endswith((".yaml", ".yml")) else f"{name}.yaml"
    for directory in (path.parent, presets):
        if (directory / file).is_file():
            return directory / file
    known = sorted(preset.stem for preset in presets.glob("*.yaml"))
    raise ConfigError(f"no preset {name!r}", file=path, key="same_as", nearest=nearest_name(name, known))


@dataclass
class _Unwrapper:
    file: StatedFile
    path: Path
    default: Confidence

    def unwrap(self, value: Any, where: tuple[str | int, ...]) -> Any:
        """Return ``value`` without wrappers, noting word and source of every leaf."""
        dotted = ".".join(map(str, where))
        if isinstance(value, dict) and "value" in value:
            extra = sorted(set(value) - {"value", "confidence", "source"})
            if extra:
                raise ConfigError(
                    f"unknown key {extra[0]!r}", file=self.path, line=self.file.line(where), key=dotted,
                    expected="value, confidence and source",
                )  # fmt: skip
            self.file.confidences[dotted] = _word(
                value.get("confidence", self.default), self.file, self.path, where
            )
            if value.get("source"):
                self.file.sources[dotted] = str(value["source"])
            return value["value"]
        if isinstance(value, dict):
            return {str(key): self.unwrap(inner, (*where, str(key))) for key, inner in value.items()}
        if isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
            return [self.unwrap(inner, (*where, i)) for i, inner in enumerate(value)]
        if where != ("note",):
            self.file.confidences[dotted] = self.default
        return value


def _word(value: Any, file: StatedFile, path: Path, where: tuple[str | int, ...]) -> Confidence:
    if value not in CONFIDENCES:
        raise ConfigError(
            f"no confidence word {value!r}", file=path, line=file.line(where), key=".".join(map(str, where)),
            expected=", ".join(CONFIDENCES), nearest=nearest_name(str(value), CONFIDENCES),
        )  # fmt: skip
    return cast(Confidence, value)
