"""Checking a configuration by pydantic models; messages name file, line, key and nearest name."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from simcore.config import Loaded
from simcore.errors import ConfigError, SimcoreError, nearest_name
from simcore.units import UnitError
from simcore.yaml_source import KeyPath

__all__ = ["validate"]

M = TypeVar("M", bound=BaseModel)

_SHOWN = 5
_SHAPES = {
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
}


def validate(model: type[M], data: dict[Any, Any], loaded: Loaded, other_names: Iterable[str] = ()) -> M:
    """Return ``data`` as a ``model``.

    Args:
        model: The pydantic class.
        data: Keys at the top of the configuration that belong to this class.
        loaded: The configuration that ``data`` is part of; it knows the positions.
        other_names: Valid names at the top that belong to other classes.

    Raises:
        ConfigError: The first thing that is wrong, followed by a line for each of the others.
    """
    try:
        return model.model_validate(data, context={"directory": loaded.directory})
    except ValidationError as error:
        raise _translate(error, model, loaded, tuple(other_names)) from None
    except ConfigError as error:
        raise loaded.located(error) from None


def _translate(
    error: ValidationError, model: type[BaseModel], loaded: Loaded, others: tuple[str, ...]
) -> ConfigError:
    """Return one error for all findings; of a union's alternatives only those that came furthest."""
    found: dict[KeyPath, list[tuple[ErrorDetails, list[str]]]] = {}
    for details in error.errors(include_url=False):
        path, names = _walk(details["loc"], model, loaded.data)
        if path and details["type"] == "extra_forbidden" and len(path) == 1:
            names = [*names, *others]
        if details["type"] == "union_tag_not_found":
            path = (*path, str(details.get("ctx", {}).get("discriminator", "")).strip("'"))
        found.setdefault(path, []).append((details, names))
    # Where one alternative of a union took the value's shape and failed deeper, the others' complaints
    # mislead.
    paths = [
        path for path in found if not any(other != path and other[: len(path)] == path for other in found)
    ]
    messages = [_message(path, found[path], loaded) for path in paths]
    first = messages[0]
    lines = [str(other) for other in messages[1:_SHOWN]]
    if len(messages) > _SHOWN:
        lines.append(f"and {len(messages) - _SHOWN} more")
    first.others = tuple(lines)
    return first


def _message(path: KeyPath, found: list[tuple[ErrorDetails, list[str]]], loaded: Loaded) -> ConfigError:
    details, names = found[0]
    kind, given = details["type"], details["input"]
    context = details.get("ctx", {})
    if kind == "extra_forbidden":
        expected = f"one of {', '.join(sorted(names))}" if names else None
        return loaded.error("unknown key", path, expected, nearest_name(str(path[-1]), names))
    if kind in {"missing", "union_tag_not_found"}:
        return loaded.error("this key is missing", path)
    if kind == "union_tag_invalid":
        choices = [tag.strip(" '") for tag in str(context["expected_tags"]).split(",")]
        path = (*path, str(context["discriminator"]).strip("'"))
        tag = str(context["tag"])
        return loaded.error(
            f"{tag!r} is not known", path, f"one of {', '.join(choices)}", nearest_name(tag, choices)
        )
    causes = [entry.get("ctx", {}).get("error") for entry, _ in found]
    cause = next((cause for cause in causes if isinstance(cause, UnitError)), None)
    if cause is not None and not isinstance(given, dict | list):
        return loaded.error(cause.message, path, cause.expected or None, cause.nearest)
    expectations = list(dict.fromkeys(_expectation(entry) for entry, _ in found))
    literals = [text for entry, _ in found for text in _literals(entry)]
    nearest = nearest_name(given, literals) if isinstance(given, str) else None
    if kind in {"value_error", "assertion_error"} and len(found) == 1:
        return loaded.error(expectations[0], path)
    return loaded.error(_shown(given), path, " or ".join(expectations), nearest)


def _expectation(details: ErrorDetails) -> str:
    """Return what would have been accepted, in words."""
    kind = details["type"]
    cause = details.get("ctx", {}).get("error")
    if isinstance(cause, UnitError) and cause.expected:
        return cause.expected
    if isinstance(cause, ValueError | SimcoreError):
        return str(cause)
    if kind in _SHAPES:
        return _SHAPES[kind]
    literals = _literals(details)
    if literals:
        return f"one of {', '.join(literals)}" if len(literals) > 1 else literals[0]
    message = details["msg"]
    for opening in ("Input should be ", "Value error, ", "Assertion failed, "):
        message = message.removeprefix(opening)
    return message[:1].lower() + message[1:]


def _literals(details: ErrorDetails) -> list[str]:
    if details["type"] not in {"literal_error", "enum"}:
        return []
    text = str(details["ctx"]["expected"]).replace(" or ", ", ")
    return [entry.strip(" '") for entry in text.split(",")]


def _shown(value: Any) -> str:
    """Return the bad value for a message, cut to a readable length."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "no value"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _walk(location: tuple[str | int, ...], model: type[BaseModel], data: Any) -> tuple[KeyPath, list[str]]:
    """Follow pydantic's location through types and data at once.

    Pydantic puts names of union members among the keys; types and data together tell which are which.

    Returns:
        The path of keys in the configuration, and the valid names for its last key (when a model has them).
    """
    path: list[str | int] = []
    names: list[str] = []
    members: list[Any] = [model]
    for number, step in enumerate(location):
        labelled = [member for member in members if _is_label(member, step)]
        if len(members) > 1 and labelled:
            members = labelled
            continue
        present = _has(data, step)
        below = [inner for member in members for inner in _below(member, step)]
        if present or (below and number == len(location) - 1):
            names = [name for member in members for name in _fields(member)]
            path.append(step)
            data = data[step] if present else None
            members = [member for inner in below for member in _members(inner)]
        elif labelled:
            members = labelled
    return tuple(path), names


def _members(annotation: Any) -> list[Any]:
    """Return the alternatives of a type: members of unions, without ``Annotated`` and type aliases."""
    if hasattr(annotation, "__value__"):  # a `type` statement of later Pythons
        return _members(annotation.__value__)
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        return _members(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return [member for entry in get_args(annotation) for member in _members(entry)]
    return [annotation]


def _fields(annotation: Any) -> list[str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [field.alias or name for name, field in annotation.model_fields.items()]
    return []


def _below(annotation: Any, step: str | int) -> list[Any]:
    """Return the type of what ``step`` selects in a value of this type, if it can select anything."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            if step in {name, field.alias}:
                return [field.annotation]
        return []
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is dict or (isinstance(origin, type) and issubclass(origin, typing.Mapping)):
        return [arguments[1]]
    if (
        isinstance(step, int)
        and isinstance(origin, type)
        and issubclass(origin, typing.Sequence)
        and arguments
    ):
        return [
            arguments[step]
            if origin is tuple and step < len(arguments) and ... not in arguments
            else arguments[0]
        ]
    return []


def _is_label(member: Any, step: str | int) -> bool:
    """Return whether pydantic names this member of a union ``step``: by class, or by its literal tag."""
    if not (isinstance(member, type) and issubclass(member, BaseModel)):
        return str(step).startswith(getattr(member, "__name__", str(member)))
    if step == member.__name__:
        return True
    return any(
        step in get_args(field.annotation)
        for field in member.model_fields.values()
        if get_origin(field.annotation) is typing.Literal
    )


def _has(data: Any, step: str | int) -> bool:
    if isinstance(data, dict):
        return step in data
    return isinstance(data, list) and isinstance(step, int) and step < len(data)
