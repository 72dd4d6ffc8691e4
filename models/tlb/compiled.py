"""Numba with the options of the TLB models, and the hash that plain and compiled code share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from simcore.compiled import keep_compiled

__all__ = ["HASH_MASK", "compiled", "inlined", "mix", "unmanaged"]

Function = TypeVar("Function", bound=Callable[..., Any])

HASH_MASK = (1 << 64) - 1


def compiled(function: Function) -> Function:
    """Compile ``function`` without Python objects; IEEE division instead of a test for zero."""
    return _cached(function)


def unmanaged(function: Function) -> Function:
    """Like `compiled`, for functions that allocate nothing: no (atomic, dear) counting of references."""
    return _cached(function, _nrt=False)


def inlined(function: Function) -> Function:
    """Like `unmanaged`, for small functions that their callers should absorb."""
    return _cached(function, _nrt=False, forceinline=True)


def _cached(function: Function, **options: Any) -> Function:
    compiler: Any = numba.njit
    dispatcher = compiler(nogil=True, error_model="numpy", **options)(function)
    keep_compiled(dispatcher, function.__module__)
    return cast(Function, dispatcher)


def mix(value: int) -> int:
    """Return the splitmix64 finalizer of ``value`` as an unsigned 64-bit int (Steele, Lea and Flood 2014)."""
    value &= HASH_MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & HASH_MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & HASH_MASK
    return value ^ (value >> 31)
