"""Safe expressions over dotted names and quantities with units, for `expect:` and `where:`.

An expression is parsed by Python's `ast` into a tree of which every node is checked against a whitelist;
nothing is ever handed to `eval`. Names are dotted and may hold segments that begin with a digit
(`direct_map.4k_bytes`) or that are Python keywords, so the text is tokenised here first and names reach the
parser as plain identifiers.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from simcore.errors import SimcoreError, nearest_name
from simcore.units import BYTE_UNITS, TIME_UNITS, UnitError, nearest_unit, parse_bytes, parse_ns

__all__ = ["Expression", "ExpressionError", "parse", "parse_condition"]

Value = Any
"""A number, a string, a boolean, None, or a tuple of these: what YAML scalars can be."""

LENGTH_LIMIT = 2000
"""Longest text that is parsed, in characters: keeps the tree shallow enough for Python's stack."""

EXPONENT_LIMIT = 64
"""Largest exponent of `**`: enough for powers of two of 64-bit quantities, too little to hang a run."""

VALUE_FUNCTIONS: Mapping[str, Callable[..., Value]] = {"min": min, "max": max, "abs": abs, "round": round}
"""Functions of values that every expression may call."""

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<string>'[^'\\\n]*'|"[^"\\\n]*")
      | (?P<number>(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:[eE][+-]?\d+)?)(?P<unit>[^\W\d]\w*)?
      | (?P<name>[^\W\d]\w*(?:\.\w+)*)
      | (?P<operator>\*\*|//|<=|>=|==|!=|[-+*/%<>(),\[\]])""",
    re.VERBOSE,
)
_SUBJECT_CALL = re.compile(r"\s*([^\W\d]\w*)\s*\(\s*([^\W\d]\w*(?:\.\w+)*)\s*\)\s*")
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
_WORDS = {"and", "or", "not", "in"}
_CONSTANTS = {"true": True, "false": False, "True": True, "False": False, "null": None, "None": None}

_BINARY: Mapping[type[ast.operator], Callable[[Value, Value], Value]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Value, Value], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}


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


@dataclass(frozen=True)
class Expression:
    """A checked expression.

    Attributes:
        text: as the user wrote it.
        names: dotted names whose values it needs.
        series: dotted names that it passes to reductions, such as `peak(direct_map.4k_bytes)`.
    """

    text: str
    names: frozenset[str]
    series: frozenset[str]
    _body: ast.expr = field(repr=False, compare=False)
    _source: _Source = field(repr=False, compare=False)

    def evaluate(
        self,
        values: Mapping[str, Value],
        reductions: Mapping[str, Callable[[str], float]] | None = None,
    ) -> Value:
        """Return the value of the expression.

        Args:
            values: what each of `names` stands for.
            reductions: functions of a series' name, the same that `parse` was told of.

        Raises:
            ExpressionError: a name is unknown (with the nearest that is known), a division by zero, or an
                operation on values of the wrong kind.
        """
        return _Evaluation(self._source, values, reductions or {}).visit(self._body)


def parse(text: str, reductions: Collection[str] = ()) -> Expression:
    """Read an expression such as `tasks <= limit.pages and machine.memory >= 4GiB`.

    Args:
        text: the expression; numbers may carry a unit of size or time, and become bytes or nanoseconds.
        reductions: names of functions whose one argument is a series, passed by name and not by value.

    Raises:
        ExpressionError: the text is not an expression, or uses what is not allowed.
    """
    return _build(_Source(text), reductions)


def parse_condition(subject: str, text: str | int | float, reductions: Collection[str] = ()) -> Expression:
    """Read a condition on `subject` that begins with its operator: `> 0.9 * machine.memory`, `>= 1 and < 5`.

    The subject stands before every comparison that lacks a left side. It is a name, or a reduction of one:
    `peak(direct_map.4k_bytes)`. A bare number means equality.

    Raises:
        ExpressionError: as `parse`, or the text does not begin with a comparison.
    """
    if isinstance(text, int | float):
        text = f"== {text!r}"
    source = _Source(text, subject)
    if not source.subject_used:
        raise ExpressionError(f"a condition begins with one of {' '.join(_COMPARISONS)}", text, 0)
    return _build(source, reductions)


class _Source:
    """The tokenised text: what Python's parser is given, and the way back from it."""

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
                if subject and match["operator"] in _COMPARISONS and lacks_left_side:
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
        if offset >= self._length - 1:
            return len(self.text)
        return max((old for new, old in self._columns if new <= offset), default=0)

    def fail(self, reason: str, node: ast.AST) -> ExpressionError:
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


def _build(source: _Source, reductions: Collection[str]) -> Expression:
    try:
        body = ast.parse(source.python, mode="eval").body
        check = _Check(source, reductions)
        check.visit(body)
    except SyntaxError as error:
        # the parser reports 0 for "at the end"
        column = source.column_of_offset(error.offset - 1) if error.offset else len(source.text)
        raise ExpressionError("cannot be read here", source.text, column) from None
    except (RecursionError, MemoryError):
        raise ExpressionError("nested too deeply", source.text, None) from None
    return Expression(source.text, frozenset(check.names), frozenset(check.series), body, source)


class _Check(ast.NodeVisitor):
    """Refuses every node that is not on the list, and collects names."""

    def __init__(self, source: _Source, reductions: Collection[str]) -> None:
        self.source = source
        self.reductions = reductions
        self.names: set[str] = set()
        self.series: set[str] = set()

    def generic_visit(self, node: ast.AST) -> None:
        allowed = (
            ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.BinOp, ast.Compare,
            ast.Constant, ast.Tuple, ast.List, ast.Load, *_BINARY, *_COMPARE,
        )  # fmt: skip
        if not isinstance(node, allowed):
            raise self.source.fail(f"{type(node).__name__} is not allowed", node)
        super().generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.names.add(self.source.names[node.id])

    def visit_Call(self, node: ast.Call) -> None:
        if not isinstance(node.func, ast.Name):
            raise self.source.fail("only a named function can be called", node)
        function = self.source.names[node.func.id]
        if function in self.reductions:
            if len(node.args) != 1 or not isinstance(node.args[0], ast.Name):
                raise self.source.fail(f"{function}() takes the name of one series", node)
            self.series.add(self.source.names[node.args[0].id])
            return
        if function not in VALUE_FUNCTIONS:
            known = ", ".join(sorted({*VALUE_FUNCTIONS, *self.reductions}))
            raise self.source.fail(f"no function {function}(); there are {known}", node)
        if not node.args:
            raise self.source.fail(f"{function}() needs an argument", node)
        for argument in node.args:
            self.visit(argument)


class _Evaluation:
    """One evaluation: the values of the names and a method per kind of node."""

    def __init__(
        self, source: _Source, values: Mapping[str, Value], reductions: Mapping[str, Callable[[str], float]]
    ) -> None:
        self.source = source
        self.values = values
        self.reductions = reductions

    def visit(self, node: ast.expr) -> Value:
        try:
            return self._evaluate(node)
        except ExpressionError:
            raise
        except (TypeError, ValueError, ArithmeticError) as error:
            raise self.source.fail(str(error), node) from None

    def _evaluate(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self._lookup(node)
            case ast.Tuple() | ast.List():
                return tuple(self.visit(element) for element in node.elts)
            case ast.BoolOp():
                stop = isinstance(node.op, ast.Or)
                return next((stop for value in node.values if bool(self.visit(value)) is stop), not stop)
            case ast.UnaryOp():
                value = self.visit(node.operand)
                return not value if isinstance(node.op, ast.Not) else self._sign(node.op, value)
            case ast.BinOp():
                return self._arithmetic(node)
            case ast.Compare():
                return self._compare(node)
            case ast.Call():
                return self._call(node)
        raise self.source.fail(f"{type(node).__name__} is not allowed", node)

    def _lookup(self, node: ast.Name) -> Value:
        name = self.source.names[node.id]
        if name not in self.values:
            near = nearest_name(name, self.values)
            hint = f"; did you mean {near}?" if near else ""
            raise self.source.fail(f"unknown name {name}{hint}", node)
        return self.values[name]

    def _sign(self, sign: ast.unaryop, value: Value) -> Value:
        return -value if isinstance(sign, ast.USub) else +value

    def _arithmetic(self, node: ast.BinOp) -> Value:
        left, right = self.visit(node.left), self.visit(node.right)
        for value in (left, right):
            if isinstance(value, str | tuple) or value is None:
                raise self.source.fail(f"cannot calculate with {value!r}", node)
        if isinstance(node.op, ast.Pow) and (abs(right) > EXPONENT_LIMIT or abs(left) > 2**64):
            raise self.source.fail(f"{left} ** {right} is too large a power", node)
        return _BINARY[type(node.op)](left, right)

    def _compare(self, node: ast.Compare) -> bool:
        left = self.visit(node.left)
        for comparison, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.visit(comparator)
            if not _COMPARE[type(comparison)](left, right):
                return False
            left = right
        return True

    def _call(self, node: ast.Call) -> Value:
        assert isinstance(node.func, ast.Name)
        function = self.source.names[node.func.id]
        if function in VALUE_FUNCTIONS and function not in self.reductions:
            return VALUE_FUNCTIONS[function](*(self.visit(argument) for argument in node.args))
        if function not in self.reductions:
            raise self.source.fail(f"{function}() is not known here", node)
        assert isinstance(node.args[0], ast.Name)
        return self.reductions[function](self.source.names[node.args[0].id])
