"""The reference of all keys of an experiment, written from the classes that read them: names, kinds, defaults, texts.

What a key means stands once, in the docstring of its class (``Attributes:``) or in the field's description.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from simcore.experiment import EngineKeys
from simcore.model import find_model
from simcore.units import format_bytes, format_ns

__all__ = ["describe", "reference", "texts_of"]

_KINDS = {"parse_bytes": "size", "parse_ns": "time", "parse_pages": "pages", "parse_ratio": "share"}
"""By the function of `simcore.units` that reads a value."""
_PLAIN: dict[Any, str] = {int: "integer", float: "number", str: "text", bool: "true or false", Any: "anything"}

_HEAD = """# Configuration

<!-- Written by `simcore schema --reference --out docs/configuration.md`; edit the classes' docstrings instead. -->

An experiment is one YAML mapping. Sizes are numbers with KiB, MiB, GiB, TiB (a bare number counts bytes), times with
ns, us, ms, s, min, h, d (a bare number counts nanoseconds), shares numbers from 0 to 1 or percentages.
`base: other.yaml` takes over another file, relative to this one, and keys given here replace its;
`--set key.path=value` changes a key from the command line. A key that is not listed here is an error.
"""


def reference(model_name: str | None = None) -> str:
    """Return the reference as Markdown.

    Args:
        model_name: The model; None is the only installed one.

    Raises:
        ConfigError: No such model.
    """
    from simcore.sweep.plan import SweepConfig  # noqa: PLC0415 - simcore.sweep imports much

    seen: set[type[BaseModel]] = set()
    parts = [_HEAD, "## Every experiment\n", *_section(EngineKeys, "", seen)]
    parts += ["## The model's keys\n", *_section(find_model(model_name).Config, "", seen)]
    parts += ["## Sweeps\n", *_section(SweepConfig, "", seen)]
    return "\n".join(parts)


def _section(model: type[BaseModel], path: str, seen: set[type[BaseModel]]) -> Iterator[str]:
    """Yield the lines of a class's keys, then those of the classes in them."""
    seen.add(model)
    texts = texts_of(model)
    yield "| key | kind | default | |\n|---|---|---|---|"
    inner: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        parts = [part for part in _models(field.annotation) if part not in seen]
        kind = _kind(field.annotation, field.metadata)
        yield f"| `{key}` | {kind} | {_default(field, kind)} | {_cell(texts.get(name, ''))} |"
        many = any(get_origin(part) in {dict, list, tuple} for part in _members(field.annotation))
        seen.update(parts)
        inner += [(f"{path}{key}.{'NAME.' if many else ''}", part) for part in parts]
    yield ""
    for where, part in inner:
        tag = part.model_fields.get("kind")
        title = where.rstrip(".")
        if tag is not None and isinstance(tag.default, str):
            title += f", kind `{tag.default}`"
        yield f"### {title}\n"
        if summary := _summary(part):
            yield f"{summary}\n"
        yield from _section(part, where, seen)


def texts_of(model: type[BaseModel]) -> dict[str, str]:
    """Return what each field of a class means: its description, else its line in a docstring's ``Attributes:``."""
    texts: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            texts |= _attributes(base.__doc__ or "")
    return texts | {name: field.description for name, field in model.model_fields.items() if field.description}


def describe(schema: dict[str, Any], model: type[BaseModel], seen: set[type[BaseModel]] | None = None) -> None:
    """Add what is known of fields to a JSON schema of a class and of those in it; editors show it.

    Args:
        schema: A schema with ``$defs`` and the class's own ``properties``; changed in place.
        model: The class.
        seen: Classes done already.
    """
    seen = set() if seen is None else seen
    place = schema if not seen else schema.get("$defs", {}).get(model.__name__, {})
    while "properties" not in place and "anyOf" in place:
        place = next((part for part in place["anyOf"] if "anyOf" in part or "properties" in part), {})
    seen.add(model)
    for name, text in texts_of(model).items():
        if name in model.model_fields:
            key = model.model_fields[name].alias or name
            field = place.get("properties", {}).get(key)
            if isinstance(field, dict):
                field.setdefault("description", text)
    for field in model.model_fields.values():
        for part in _models(field.annotation):
            if part not in seen:
                describe(schema, part, seen)


def _attributes(docstring: str) -> dict[str, str]:
    """Return the entries of a Google docstring's ``Attributes:``."""
    _, found, rest = docstring.partition("Attributes:\n")
    texts: dict[str, str] = {}
    if not found:
        return texts
    first = re.match(r"[ ]+", rest)
    indent = len(first.group()) if first else 0
    name = ""
    for line in rest.splitlines():
        depth = len(line) - len(line.lstrip())
        if not line.strip() or depth < indent:
            break
        if depth == indent and ":" in line:
            name, _, text = line.strip().partition(":")
            texts[name] = text.strip()
        elif name:
            texts[name] += f" {line.strip()}"
    return texts


def _summary(model: type[BaseModel]) -> str:
    text = (model.__doc__ or "").partition("Attributes:")[0]
    return " ".join(text.replace("``", "`").split())


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Return the pydantic classes in an annotation."""
    found = [part for part in _members(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
    return list(dict.fromkeys(found))


def _members(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        if get_origin(annotation) is not typing.Literal and not isinstance(argument, str | int):
            yield from _members(argument)


def _kind(annotation: Any, metadata: typing.Sequence[Any] = ()) -> str:
    """Return in words what an annotation takes."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is typing.Annotated:
        return _kind(arguments[0], arguments[1:])
    for note in metadata:
        name = getattr(getattr(note, "func", None), "__name__", "")
        if name in _KINDS:
            return _KINDS[name]
    if origin is typing.Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in {Union, types.UnionType}:
        kinds = [_kind(part) for part in arguments if part is not type(None)]
        return " or ".join(dict.fromkeys(kinds))
    if origin in {list, tuple}:
        return f"list of {_kind(arguments[0])}" if arguments else "list"
    if origin is dict:
        return f"by name: {_kind(arguments[1])}" if arguments else "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return _PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo, kind: str) -> str:
    value = field.default
    if value is PydanticUndefined:
        if field.default_factory is None:
            return "required"
        value = field.default_factory()  # type: ignore[call-arg]
    if value is None or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict | list | tuple | str) and not value:
        return ""
    if value and isinstance(value, int) and kind.startswith(("size", "time")):
        return f"`{format_bytes(value) if kind.startswith('size') else format_ns(value)}`"
    return f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").replace("|", "\\|").split())
