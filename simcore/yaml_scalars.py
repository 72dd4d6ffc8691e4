"""What a plain YAML scalar means, and values as text that means the same.

Scalars follow YAML 1.2's core schema: only ``true`` and ``false`` are booleans (``on``, ``off``, ``yes``
and ``no`` are strings, which a boolean option of a configuration still understands), ``1e-3`` is a number,
``12:30:00`` and dates are strings.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

__all__ = ["CORE_TAG", "dump_yaml", "parse_scalar"]

CORE_TAG = "tag:yaml.org,2002:"
"""What the tags of YAML's own types begin with."""

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9][0-9_]*")
_OTHER_INT = re.compile(r"0o[0-7_]+|0x[0-9a-fA-F_]+|0b[01_]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")


def parse_scalar(text: str) -> Any:
    """Return what a plain YAML scalar means: None, bool, int, float or the text itself."""
    if text in _BOOL:
        return _BOOL[text]
    if _NULL.fullmatch(text):
        return None
    # Python refuses to read integers of more than 4300 digits; such text is no number to anyone.
    if len(text) < 400:
        if _INT.fullmatch(text):
            return int(text.replace("_", ""))
        if _OTHER_INT.fullmatch(text):
            return int(text.replace("_", ""), 0)
        if _FLOAT.fullmatch(text):
            return float(text.replace("_", ""))
        if special := _SPECIAL.fullmatch(text):
            return float(special[1] + special[2].lower())
    return text


def dump_yaml(data: Any) -> str:
    """Return YAML text that ``simcore.yaml_source.parse_yaml`` reads back to the same values."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Quotes whatever text either kind of YAML would take for something else, and never writes aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    if not text.isprintable():
        style = '"'  # the only style that escapes line ends of every kind
    elif isinstance(parse_scalar(text), str):
        style = None
    else:
        style = "'"
    return dumper.represent_scalar(CORE_TAG + "str", text, style=style)


_Dumper.add_representer(str, _represent_text)
