"""YAML text to plain values with their positions, without the traps of YAML 1.1 and without anything unsafe.

``simcore.yaml_scalars`` says what scalars mean. Duplicate keys, merge keys, tags other than the core ones, several
documents, and documents that are too large, too deep or grow too much through aliases are refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from simcore.errors import ConfigError
from simcore.yaml_scalars import CORE_TAG, parse_scalar

__all__ = ["KeyPath", "Position", "Source", "parse_yaml"]

SIZE_LIMIT_BYTES = 4 << 20
NODE_LIMIT = 200_000
DEPTH_LIMIT = 64

#: Keys and indices from the top of the document down to a value.
KeyPath = tuple[str | int, ...]

# libyaml needs no Python stack per level; the pure-Python parser is the fallback where PyYAML was built
# without it.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Position:
    """Where a value stands: the file (or option) and its one-based line."""

    file: str
    line: int | None


@dataclass(frozen=True)
class Source:
    """A document: its value, and the position of every key and item in it."""

    value: Any
    positions: dict[KeyPath, Position]


def parse_yaml(text: str | bytes, file: Path | str) -> Source:
    """Read one YAML document.

    Args:
        text: The document.
        file: Its name, for messages.

    Raises:
        ConfigError: Not YAML, or one of the things that this module refuses; with file and line.
    """
    if len(text) > SIZE_LIMIT_BYTES:
        raise ConfigError(
            f"{len(text)} bytes of YAML",
            file=file,
            expected=f"at most {SIZE_LIMIT_BYTES} bytes of configuration",
        )
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise ConfigError(
                f"byte {error.object[error.start]:#x} is not UTF-8", file=file, line=line
            ) from None
    return _Reader(text, str(file)).read()


class _Reader:
    """Builds values straight from parser events: no node graph, so that limits hold before memory is used."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._positions: dict[KeyPath, Position] = {}
        self._anchors: dict[str, list[yaml.Event]] = {}
        self._nodes = 0

    def read(self) -> Source:
        try:
            events = self._events()
            value = self._value(_Cursor(events), (), ()) if events else None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            what = (error.problem or "cannot be read").removeprefix("did not find expected ")
            expected = what if what != error.problem else None
            message = "not valid YAML" if expected else f"not valid YAML: {what}"
            if "nesting depth" in what:  # newer scanners look a thousand levels ahead, and give up before the first
                message, expected = f"nested more than {DEPTH_LIMIT} levels deep", None
            line = mark.line + 1 if mark else None
            raise ConfigError(message, file=self._file, line=line, expected=expected) from None
        except yaml.YAMLError as error:
            position = getattr(error, "position", 0)
            line = self._text[: position or 0].count("\n") + 1
            reason = str(getattr(error, "reason", error))
            raise ConfigError(f"not valid YAML: {reason}", file=self._file, line=line) from None
        return Source(value, self._positions)

    def _fail(self, event: yaml.Event, message: str, **details: Any) -> ConfigError:
        return ConfigError(message, file=self._file, line=_line(event), **details)

    def _events(self) -> list[yaml.Event]:
        """Return the events of the only document, checked for depth."""
        loader = _Loader(self._text)
        events: list[yaml.Event] = []
        depth = documents = 0
        try:
            while True:
                event = loader.get_event()
                if event is None or isinstance(event, yaml.StreamEndEvent):
                    return events
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        raise self._fail(event, "a second document begins here", expected="one YAML document")
                elif isinstance(event, yaml.CollectionStartEvent):
                    depth += 1
                    if depth > DEPTH_LIMIT:
                        raise self._fail(event, f"nested more than {DEPTH_LIMIT} levels deep")
                    events.append(event)
                elif isinstance(event, yaml.CollectionEndEvent):
                    depth -= 1
                    events.append(event)
                elif isinstance(event, yaml.NodeEvent):
                    events.append(event)
        finally:
            loader.dispose()

    def _value(self, cursor: _Cursor, path: KeyPath, open_anchors: tuple[str, ...]) -> Any:
        """Build the value that starts at the cursor; leave the cursor behind it."""
        start = cursor.at
        event = cursor.next()
        self._nodes += 1
        if self._nodes > NODE_LIMIT:
            raise self._fail(event, f"more than {NODE_LIMIT:,} values, counting each use of an alias")
        if len(path) > DEPTH_LIMIT:
            raise self._fail(event, f"nested more than {DEPTH_LIMIT} levels deep")
        anchor: str | None = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor in open_anchors:
                raise self._fail(event, f"alias *{anchor} contains itself")
            if anchor not in self._anchors:
                raise self._fail(event, f"alias *{anchor} has no anchor before it")
            return self._value(_Cursor(self._anchors[str(anchor)]), path, (*open_anchors, str(anchor)))
        inner = (*open_anchors, anchor) if anchor else open_anchors
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._check_tag(event, "seq")
            value = self._sequence(cursor, path, inner)
        else:
            assert isinstance(event, yaml.MappingStartEvent)
            self._check_tag(event, "map")
            value = self._mapping(cursor, path, inner)
        if anchor:
            self._anchors[anchor] = cursor.events[start : cursor.at]
        return value

    def _sequence(self, cursor: _Cursor, path: KeyPath, anchors: tuple[str, ...]) -> list[Any]:
        items: list[Any] = []
        while not isinstance(cursor.peek(), yaml.SequenceEndEvent):
            here = (*path, len(items))
            self._positions[here] = self._position(cursor.peek())
            items.append(self._value(cursor, here, anchors))
        cursor.next()
        return items

    def _mapping(self, cursor: _Cursor, path: KeyPath, anchors: tuple[str, ...]) -> dict[str | int, Any]:
        mapping: dict[str | int, Any] = {}
        lines: dict[str | int, int | None] = {}
        while not isinstance(event := cursor.peek(), yaml.MappingEndEvent):
            key = (
                self._value(cursor, path, anchors)
                if not isinstance(event, yaml.CollectionStartEvent)
                else event
            )
            dotted = ".".join(map(str, path)) or None
            if isinstance(key, bool) or not isinstance(key, str | int):
                raise self._fail(
                    event, "this key is not a name", key=dotted, expected="text or an integer as a key"
                )
            if key == "<<":
                raise self._fail(
                    event, "merge keys are not supported", key=dotted, expected="`base: other.yaml`"
                )
            if key in mapping:
                dotted = ".".join(map(str, (*path, key)))
                raise self._fail(event, f"the key stands twice, first in line {lines[key]}", key=dotted)
            lines[key] = _line(event)
            here = (*path, key)
            self._positions[here] = self._position(event)
            mapping[key] = None  # taken, while its value is read
            mapping[key] = self._value(cursor, here, anchors)
        cursor.next()
        return mapping

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text = event.value
        plain = event.implicit[0]
        if event.tag is None or event.tag == "!":
            return parse_scalar(text) if plain and event.tag is None else text
        if not isinstance(event.tag, str) or not event.tag.startswith(CORE_TAG):
            raise self._unsafe(event)
        kind = event.tag.removeprefix(CORE_TAG)
        if kind == "str":
            return text
        value = parse_scalar(text)
        if kind == "float" and type(value) is int:
            return float(value)
        if {"int": int, "float": float, "bool": bool, "null": type(None)}.get(kind) is type(value):
            return value
        raise (
            self._unsafe(event)
            if kind not in {"int", "float", "bool", "null"}
            else self._fail(event, f"{text!r} is not a {kind}")
        )

    def _check_tag(self, event: yaml.Event, kind: str) -> None:
        if getattr(event, "tag", None) not in {None, "!", CORE_TAG + kind}:
            raise self._unsafe(event)

    def _unsafe(self, event: yaml.Event) -> ConfigError:
        tag = str(getattr(event, "tag", "")).replace(CORE_TAG, "!!")
        return self._fail(event, f"tag {tag} is not allowed", expected="plain values without tags")

    def _position(self, event: yaml.Event) -> Position:
        return Position(self._file, _line(event))


def _line(event: yaml.Event) -> int | None:
    """One-based line of an event."""
    return event.start_mark.line + 1 if event.start_mark else None


class _Cursor:
    """A place in a list of events."""

    def __init__(self, events: list[yaml.Event]) -> None:
        self.events = events
        self.at = 0

    def peek(self) -> yaml.Event:
        return self.events[self.at]

    def next(self) -> yaml.Event:
        self.at += 1
        return self.events[self.at - 1]
