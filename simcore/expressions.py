"""Safe expressions over dotted names and quantities with units, for `expect:` and `where:`.

An expression is parsed by Python's `ast` into a tree of which every node is checked against a whitelist;
nothing is ever handed to `eval`. `simcore.expression_text` makes a text readable for the parser.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from simcore.errors import nearest_name
from simcore.expression_text import COMPARISONS, ExpressionError, Source

__all__ = ["Expression", "ExpressionError", "parse", "parse_condition"]

Value = Any
"""A number, a string, a boolean, None, or a tuple of these: what YAML scalars can be."""

EXPONENT_LIMIT = 64
"""Largest exponent of `**`: enough for powers of two of 64-bit quantities, too little to hang a run."""

VALUE_FUNCTIONS: Mapping[str, Callable[..., Value]] = {"min": min, "max": max, "abs": abs, "round": round}
"""Functions of values that every expression may call."""

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
    _source: Source = field(repr=False, compare=False)

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
    return _build(Source(text), reductions)


def parse_condition(subject: str, text: str | int | float, reductions: Collection[str] = ()) -> Expression:
    """Read a condition on `subject` that begins with its operator: `> 0.9 * machine.memory`, `>= 1 and < 5`.

    The subject stands before every comparison that lacks a left side. It is a name, or a reduction of one:
    `peak(direct_map.4k_bytes)`. A bare number means equality.

    Raises:
        ExpressionError: as `parse`, or the text does not begin with a comparison.
    """
    if isinstance(text, int | float):
        text = f"== {text!r}"
    source = Source(text, subject)
    if not source.subject_used:
        raise ExpressionError(f"a condition begins with one of {' '.join(COMPARISONS)}", text, 0)
    return _build(source, reductions)


def _build(source: Source, reductions: Collection[str]) -> Expression:
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

    def __init__(self, source: Source, reductions: Collection[str]) -> None:
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
        self, source: Source, values: Mapping[str, Value], reductions: Mapping[str, Callable[[str], float]]
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
