"""The text of an expression: its tokens, translated into what Python's parser reads, and the way back.

Names are dotted and may hold segments that begin with a digit (`direct_map.4k_bytes`) or that are Python keywords, so
the text is tokenised here, and names reach the parser as plain identifiers. Quantities with units become bytes and
nanoseconds.
"""

from __future__ import annotations

import ast
import re

from simcore.errors import SimcoreError
from simcore.units import BYTE_UNITS, TIME_UNITS, UnitError, nearest_unit, parse_bytes, parse_ns

__all__ = ["COMPARISONS", "ExpressionError", "Source"]

LENGTH_LIMIT = 2000
"""Longest text that is parsed, in characters: keeps the tree shallow enough for Python's stack."""

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>'[^'\\\n]*'|"[^"\\\n]*")
      | (?P<number>(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:[eE][+-]?\d+)?)(?P<unit>[^\W\d]\w*)?
      | (?P<name>[^\W\d]\w*(?:\.\w+)*)
      | (?P<operator>\*\*|//|<=|>=|==|!=|[-+*/%<>(),\[\]])""",
    re.VERBOSE,
)
_SUBJECT_CALL = re.compile(r"\s*([^\W\d]\w*)\s*\(\s*([^\W\d]\w*(?:\.\w+)*)\s*\)\s*")
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
_WORDS = {"and", "or", "not", "in"}
_CONSTANTS = {"true": True, "false": False, "True": True, "False": False, "null": None, "None": None}


class ExpressionError(SimcoreError):
    """An expression that cannot be read or evaluated; shows the text and marks the place.

    Attributes:
        text: the whole expression.
        column: where in the text the trouble is, counted from 0; None when it is not at one place.
    """

    def __init__(self, reason: str, text: str, column: int | None = None) -> None:
        self.reason = reason
        self.text = text
        self.column = column
        place = "" if column is None else f" (column {column + 1})"
        super().__init__(f"expression `{text}`{place}: {reason}")

    def __reduce__(self) -> tuple[type[ExpressionError], tuple[str, str, int | None]]:
        return type(self), (self.reason, self.text, self.column)


class Source:
    """The tokenised text of an expression.

    Args:
        text: as the user wrote it.
        subject: what stands before every comparison that lacks a left side: a name or a reduction of one.

    Attributes:
        python: what Python's parser is given.
        names: the user's names by identifier.
        subject_used: whether a comparison lacked a left side.

    Raises:
        ExpressionError: empty, too long, or of characters that no expression has.
    """

    def __init__(self, text: str, subject: str | None = None) -> None:
        self.text = text
        self.subject_used = False
        self.names: dict[str, str] = {}
        self._columns: list[tuple[int, int]] = []
        self._parts: list[str] = []
        self._length = 0
        if len(text) > LENGTH_LIMIT:
            raise ExpressionError(f"longer than {LENGTH_LIMIT} characters", text[:60] + "...", None)
        if not text.strip():
            raise ExpressionError("empty", text, None)
        previous = None
        position = 0
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise ExpressionError(f"unexpected {text[position]!r}", text, position)
            if match.lastgroup != "space":
                lacks_left_side = previous in (None, "and", "or", "not", "(")
                if subject and match["operator"] in COMPARISONS and lacks_left_side:
                    self.subject_used = True
                    self._append(self._translate_subject(subject), position)
                self._append(self._translate(match), position)
                previous = match.group()
            position = match.end()
        self.python = " ".join(self._parts)

    def column(self, node: ast.AST) -> int:
        """Return where in the user's text a node begins."""
        offset = getattr(node, "col_offset", 0)
        return self.column_of_offset(offset)

    def column_of_offset(self, offset: int) -> int:
        """Return where in the user's text a place of `python` lies, in UTF-8 bytes from 0."""
        if offset >= self._length - 1:
            return len(self.text)
        return max((old for new, old in self._columns if new <= offset), default=0)

    def fail(self, reason: str, node: ast.AST) -> ExpressionError:
        """Return the error that marks where a node begins."""
        return ExpressionError(reason, self.text, self.column(node))

    def _append(self, part: str, column: int) -> None:
        self._columns.append((self._length, column))
        self._parts.append(part)
        self._length += len(part.encode()) + 1  # ast counts columns in UTF-8 bytes

    def _translate_subject(self, subject: str) -> str:
        """Return `name` or `function(name)` as Python; any other text is taken for a name as a whole."""
        if match := _SUBJECT_CALL.fullmatch(subject):
            return f"{self._identifier(match[1])}({self._identifier(match[2])})"
        return self._identifier(subject)

    def _translate(self, match: re.Match[str]) -> str:
        if match["number"] is not None:
            return self._number(match)
        name = match["name"]
        if name is None or name in _WORDS:
            return match.group()
        if name in _CONSTANTS:
            return repr(_CONSTANTS[name])
        return self._identifier(name)

    def _number(self, match: re.Match[str]) -> str:
        if match["unit"] is None:
            if len(match.group()) > 40:
                raise ExpressionError("number of more than 40 digits", self.text, match.start())
            try:
                value = float(match.group())
            except ValueError:
                raise ExpressionError(f"{match.group()} is no number", self.text, match.start()) from None
            return repr(int(match.group())) if re.fullmatch(r"[\d_]+", match.group()) else repr(value)
        parse_quantity = parse_ns if match["unit"] in TIME_UNITS else parse_bytes
        try:
            return repr(parse_quantity(match.group()))
        except UnitError as error:
            near = nearest_unit(match["unit"], {**BYTE_UNITS, **TIME_UNITS})
            hint = f"; did you mean {near}?" if near else ""
            raise ExpressionError(f"{error.message}{hint}", self.text, match.start()) from None

    def _identifier(self, name: str) -> str:
        for identifier, known in self.names.items():
            if known == name:
                return identifier
        identifier = f"n{len(self.names)}"
        self.names[identifier] = name
        return identifier
