"""Machine code and where it is kept."""

from typing import Any

from numba.core import config

from simcore.compiled import jit, keep_compiled


@jit
def _twice(value: int) -> int:
    return 2 * value


class _NoPlace:
    """A function of a user who can write nowhere."""

    asked = ""

    def enable_caching(self) -> None:
        settings: Any = config
        self.asked = settings.CACHE_DIR
        raise RuntimeError("no locator available")


def test_a_function_is_compiled_and_does_what_it_says() -> None:
    """The compiled function takes the place of the other."""
    assert _twice(21) == 42
    assert _twice.py_func(21) == 42  # type: ignore[attr-defined]


def test_without_a_place_to_write_nothing_is_kept() -> None:
    """An ordinary user without a home compiles anew in each process, and sees no traceback."""
    settings: Any = config
    before, function = settings.CACHE_DIR, _NoPlace()
    keep_compiled(function, __name__)
    assert "simcore" in function.asked
    assert before == settings.CACHE_DIR
