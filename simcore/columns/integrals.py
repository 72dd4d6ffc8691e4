"""Exact integrals of a column over time, settled whenever its value changes."""

from __future__ import annotations

from simcore.columns.store import AREA, CURRENT, SINCE, Cells, Int64s
from simcore.compiled import jit, jit_inline

__all__ = ["add_area", "integral_of", "settle_float", "settle_int"]

_LOW_32 = (1 << 32) - 1
_LOW_31 = (1 << 31) - 1


@jit_inline
def settle_int(book: Int64s, column: int, now: int) -> None:
    """Add value x elapsed time to the integral exactly: 64 x 63 bits, in pieces of 32 bits.

    The elapsed time is split at bit 31 (lines from ``AREA + 3`` on count in units of 2**31 ns), the value
    at bit 32, so that no product leaves 63 bits; carries move up at once, so that no piece ever overflows.
    """
    elapsed = now - book[SINCE, column]
    if elapsed == 0:
        return
    book[SINCE, column] = now
    value = book[CURRENT, column]
    value_low = value & _LOW_32
    value_high = value >> 32
    for piece in range(2):
        factor = (elapsed & _LOW_31) if piece == 0 else (elapsed >> 31)
        if factor == 0:
            continue
        line = AREA + 3 * piece
        product = value_low * factor
        low = book[line, column] + (product & _LOW_32)
        middle = book[line + 1, column] + (product >> 32) + (low >> 32)
        product = value_high * factor
        middle += product & _LOW_32
        book[line, column] = low & _LOW_32
        book[line + 1, column] = middle & _LOW_32
        book[line + 2, column] += (product >> 32) + (middle >> 32)


@jit_inline
def settle_float(book: Int64s, ledger: Cells, column: int, now: int) -> None:
    """Add value x elapsed time to the integral of a float column, in order of the changes."""
    elapsed = now - book[SINCE, column]
    book[SINCE, column] = now
    ledger[AREA, column] += ledger[CURRENT, column] * elapsed


@jit
def add_area(book: Int64s, column: int, area: int) -> None:
    """Add a number of 63 bits to the integral."""
    low = book[AREA, column] + (area & _LOW_32)
    middle = book[AREA + 1, column] + (area >> 32) + (low >> 32)
    book[AREA, column] = low & _LOW_32
    book[AREA + 1, column] = middle & _LOW_32
    book[AREA + 2, column] += middle >> 32


def integral_of(book: Int64s, column: int, end_ns: int) -> int:
    """Return the exact integral of an int64 column from its first row to ``end_ns``, in value x ns."""
    total = 0
    for line, weight in ((AREA, 0), (AREA + 3, 31)):
        low, middle, high = (int(piece) for piece in book[line : line + 3, column])
        total += (low + (middle << 32) + (high << 64)) << weight
    return total + int(book[CURRENT, column]) * (end_ns - int(book[SINCE, column]))
