"""The text of an expression: what the parser is given leads back to what the user wrote."""

from __future__ import annotations

import ast
import pickle

import pytest

from simcore.expression_text import ExpressionError, Source
from simcore.expressions import parse


def test_names_and_quantities_become_what_the_parser_reads() -> None:
    source = Source("limit.from<=4KiB and direct_map.4k_bytes in ['\u00e4', 2ms] and limit.from")
    assert source.python == "n0 <= 4096 and n1 in [ '\u00e4' , 2000000 ] and n0"
    assert source.names == {"n0": "limit.from", "n1": "direct_map.4k_bytes"}


def test_every_node_leads_back_to_its_place() -> None:
    """Beyond quantities that grow, names that shrink, and text of more than a byte a character."""
    text = "'\u00e4\u00f6' == machine.policy or 16GiB<tasks"
    source = Source(text)
    body = ast.parse(source.python, mode="eval").body
    assert isinstance(body, ast.BoolOp)
    first, second = body.values
    assert isinstance(first, ast.Compare)
    assert isinstance(second, ast.Compare)
    nodes = (first, first.comparators[0], second, second.comparators[0])
    places = ("'", "machine", "16GiB", "tasks")
    assert [source.column(node) for node in nodes] == [text.index(place) for place in places]
    assert source.column_of_offset(10**6) == len(text)


@pytest.mark.parametrize(
    ("text", "subject", "python", "used"),
    [
        ("> 1 and < 5", "tasks", "n0 > 1 and n0 < 5", True),
        ("> 1", "peak(tasks.alive)", "n0(n1) > 1", True),
        ("tasks > 1", "tasks", "n0 > 1", False),
    ],
)
def test_the_subject_stands_where_a_left_side_lacks(text: str, subject: str, python: str, used: bool) -> None:
    source = Source(text, subject)
    assert (source.python, source.subject_used) == (python, used)


def test_error_survives_pickling() -> None:
    """Errors travel from worker to parent whole."""
    with pytest.raises(ExpressionError) as caught:
        parse("1 +")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
