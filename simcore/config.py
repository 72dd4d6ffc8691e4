"""Loading a configuration: a YAML mapping, what it inherits by ``base:``, what ``--set`` changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simcore.errors import ConfigError, nearest_name
from simcore.yaml_source import KeyPath, Position, Source, parse_yaml

__all__ = ["Loaded", "Overrides", "from_mapping", "load"]

#: Changes to a configuration: ``key.path=value`` texts, or a mapping from dotted keys to values.
Overrides = Iterable[str] | Mapping[str, Any]


@dataclass
class Loaded:
    """A configuration with the position of every key.

    Attributes:
        data: Plain values; ``base`` is gone, overrides are in.
        positions: File and line by path of keys.
        path: The file, None when the configuration came from Python.
    """

    data: dict[str | int, Any]
    positions: dict[KeyPath, Position] = field(default_factory=dict)
    path: Path | None = None

    @property
    def directory(self) -> Path:
        """Where relative paths in the configuration start."""
        return self.path.parent if self.path else Path.cwd()

    def error(
        self, message: str, path: KeyPath, expected: str | None = None, nearest: str | None = None
    ) -> ConfigError:
        """Return an error about the value at ``path``, placed at the closest key that the files hold."""
        known = path
        while known and known not in self.positions:
            known = known[:-1]
        position = self.positions.get(known)
        file = position.file if position else self.path
        return ConfigError(
            message,
            file=file,
            line=position.line if position else None,
            key=dotted(path) or None,
            expected=expected,
            nearest=nearest,
        )

    def located(self, error: ConfigError) -> ConfigError:
        """Return ``error`` with the file and line of its key, if it does not know them yet."""
        if error.file is not None or error.key is None:
            return error
        path = self.path_of(error.key)
        return self.error(error.message, path, error.expected, error.nearest)

    def path_of(self, key: str) -> KeyPath:
        """Return the path that a dotted key stands for in this configuration."""
        return _path(self.data, key)


def dotted(path: KeyPath) -> str:
    """Return a path as people write it: ``machine.nodes.0``."""
    return ".".join(map(str, path))


def load(path: Path | str, overrides: Overrides = ()) -> Loaded:
    """Read a configuration file, its bases, and overrides on top.

    Args:
        path: A YAML file with one mapping.
        overrides: ``key.path=value`` texts (the value is YAML), or a mapping from dotted keys to values.

    Raises:
        ConfigError: A file that is missing or not a mapping of plain values, bases that inherit from each
            other, or an override that does not fit.
    """
    path = Path(path)
    loaded = _load(path, ())
    loaded.path = path
    _override(loaded, overrides)
    return loaded


def from_mapping(data: Mapping[str, Any], overrides: Overrides = ()) -> Loaded:
    """Return a configuration that Python code made; ``base:`` is relative to the working directory."""
    loaded = _inherit(_copy(dict(data)), {}, Path.cwd() / "(mapping)", ())
    loaded.path = None
    _override(loaded, overrides)
    return loaded


def _load(path: Path, inheriting: tuple[Path, ...]) -> Loaded:
    source = _read(path)
    if source.value is None:
        raise ConfigError("is empty", file=path, expected="a mapping of keys to values")
    if not isinstance(source.value, dict):
        raise ConfigError(f"holds a {_kind(source.value)}", file=path, expected="a mapping of keys to values")
    return _inherit(source.value, source.positions, path, inheriting)


def _read(path: Path) -> Source:
    try:
        return parse_yaml(path.read_bytes(), path)
    except FileNotFoundError:
        directory = path.parent
        there = (entry.name for entry in directory.iterdir()) if directory.is_dir() else ()
        raise ConfigError("no such file", file=path, nearest=nearest_name(path.name, there)) from None
    except IsADirectoryError:
        raise ConfigError("is a directory", file=path, expected="a YAML file") from None
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path) from None


def _inherit(
    data: dict[str | int, Any], positions: dict[KeyPath, Position], path: Path, inheriting: tuple[Path, ...]
) -> Loaded:
    """Put ``data`` on top of the base that it names."""
    loaded = Loaded(data, positions, path)
    if "base" not in data:
        return loaded
    base = data["base"]
    if not isinstance(base, str):
        raise loaded.error(
            f"{base!r} is not a file name", ("base",), "the path of a YAML file, relative to this one"
        )
    inheriting = (*inheriting, path.resolve())
    base_path = path.parent / base
    if base_path.resolve() in inheriting:
        chain = " -> ".join(entry.name for entry in (*inheriting, base_path))
        raise loaded.error(f"files inherit from each other: {chain}", ("base",))
    try:
        below = _load(base_path, inheriting)
    except ConfigError as error:
        if error.message == "no such file":
            raise loaded.error(f"{base!r}: no such file", ("base",), nearest=error.nearest) from None
        raise
    del data["base"]
    merged = Loaded(below.data, below.positions, path)
    _merge(merged, data, positions, ())
    return merged


def _merge(
    onto: Loaded, data: Mapping[str | int, Any], positions: dict[KeyPath, Position], path: KeyPath
) -> None:
    target = _at(onto.data, path)
    for key, value in data.items():
        here = (*path, key)
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge(onto, value, positions, here)
            continue
        target[key] = value
        depth = len(here)
        for old in [known for known in onto.positions if known[:depth] == here]:
            del onto.positions[old]
        onto.positions.update((known, at) for known, at in positions.items() if known[:depth] == here)


def _override(loaded: Loaded, overrides: Overrides) -> None:
    if isinstance(overrides, Mapping):
        changes = [(str(key), _copy(value), f"set {key}") for key, value in overrides.items()]
    else:
        changes = [_parse_override(text) for text in overrides]
    for key, value, origin in changes:
        path = _path(loaded.data, key)
        try:
            _set(loaded.data, path, value)
        except (TypeError, IndexError):
            raise ConfigError(
                "there is no such key to set below a single value", file=origin, key=key
            ) from None
        for old in [known for known in loaded.positions if known[: len(path)] == path]:
            del loaded.positions[old]
        loaded.positions[path] = Position(origin, None)


def _parse_override(text: str) -> tuple[str, Any, str]:
    origin = f"--set {text}"
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError("cannot be read", file=origin, expected="key.path=value")
    if value.strip().startswith((">", "|", "!=")):
        # A condition such as `> 3`, which YAML would take for the head of a block or a tag.
        return key.strip(), value.strip(), origin
    try:
        return key.strip(), parse_yaml(value, origin).value, origin
    except ConfigError as error:
        raise ConfigError(error.message, file=origin, key=error.key, expected=error.expected) from None


def _path(data: Any, key: str) -> KeyPath:
    """Split a dotted key. Keys that hold dots themselves (names of series) are preferred when they exist."""
    parts = key.split(".")
    path: list[str | int] = []
    while parts:
        taken = 1
        step: str | int = parts[0]
        if isinstance(data, dict):
            for length in range(len(parts), 0, -1):
                candidate = ".".join(parts[:length])
                if candidate in data:
                    step, taken = candidate, length
                    break
            else:
                if parts[0].isdigit() and int(parts[0]) in data:
                    step = int(parts[0])
            data = data.get(step)
        elif isinstance(data, list) and parts[0].isdigit():
            step = int(parts[0])
            data = data[step] if step < len(data) else None
        else:
            data = None
        path.append(step)
        parts = parts[taken:]
    return tuple(path)


def _set(data: dict[str | int, Any], path: KeyPath, value: Any) -> None:
    target: Any = data
    for step in path[:-1]:
        if isinstance(target, dict) and target.get(step) is None:
            target[step] = {}
        target = target[step]
    target[path[-1]] = value


def _at(data: Any, path: KeyPath) -> Any:
    for step in path:
        data = data[step]
    return data


def _copy(value: Any) -> Any:
    """Copy containers, so that a caller's own are never changed."""
    if isinstance(value, Mapping):
        return {key: _copy(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(entry) for entry in value]
    return value


def _kind(value: Any) -> str:
    return {list: "list", str: "text", bool: "boolean", int: "number", float: "number"}.get(
        type(value), "value"
    )
