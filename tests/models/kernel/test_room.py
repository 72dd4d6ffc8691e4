"""Plenty of memory: where it is said, no small request fails."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from models.kernel.chains import take
from models.kernel.pages.layout import MOVABLE, NONE, RECLAIMABLE, UNMOVABLE
from models.kernel.room import plenty
from tests.models.kernel.machines import boot

LARGEST = 10


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from((UNMOVABLE, MOVABLE, RECLAIMABLE))), max_size=200))
def test_no_small_request_fails_where_there_is_plenty(requests: list[tuple[int, int]]) -> None:
    """Down to the last moment at which it is said."""
    kernel = boot({"memory": "128MiB", "cpus": 1})
    while plenty(kernel.handle, 0):
        for order, migratetype in requests or [(0, MOVABLE)]:
            assert take(kernel.handle, 0, 0, order, migratetype) != NONE
        if not requests:
            take(kernel.handle, 0, 0, LARGEST, MOVABLE)


def test_small_pieces_are_not_plenty() -> None:
    """Much memory, but no block of the highest order: some order might find none."""
    kernel = boot({"memory": "256MiB", "cpus": 1})
    assert plenty(kernel.handle, 0)
    while take(kernel.handle, 0, 0, LARGEST, MOVABLE) != NONE:
        pass
    assert not plenty(kernel.handle, 0)
