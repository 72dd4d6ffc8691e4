"""Numbers of holders: Python and compiled code hand out the same ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.kernel.numbers import Numbers, give_number, take_number


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 1 << 16)), max_size=60))
def test_either_side_may_take_and_give(steps: list[tuple[bool, bool, int]]) -> None:
    """Nobody gets a number that somebody has; the one given back last comes first."""
    numbers = Numbers(5, 1000)
    mine: list[int] = []
    back: list[int] = []
    for compiled, takes, choice in steps:
        if takes or not mine:
            expected = back.pop() if back else 5 + len(mine)
            assert (take_number(numbers.array) if compiled else numbers.take()) == expected
            assert expected not in mine
            mine.append(expected)
        else:
            number = mine.pop(choice % len(mine))
            if compiled:
                give_number(numbers.array, number)
            else:
                numbers.give(number)
            back.append(number)
        assert numbers.room() == 995 - len(mine)


def test_numbers_end() -> None:
    """One more than there are is refused, with the bound."""
    numbers = Numbers(0, 2)
    assert [numbers.take(), numbers.take()] == [0, 1]
    with pytest.raises(OverflowError, match="more than 2 holders"):
        numbers.take()
