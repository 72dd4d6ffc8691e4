"""Which events of a stream belong together: sections and their requests, captures and what was captured, drains."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from simcore.compiled import jit, jit_allocating

__all__ = ["NO_EVENT", "captures", "causes", "drain_follows", "next_type", "same_bulk"]

NO_EVENT: Final = -1

A, B, K, F = ord("A"), ord("B"), ord("K"), ord("F")
REFILL, STEAL, MOVE = ord("r"), ord("X"), ord("Y")
DRAIN, DRAIN_ALL, CAPTURE = ord("d"), ord("D"), ord("C")


@jit_allocating
def causes(op: NDArray[np.int64], cpu: NDArray[np.int64], cpus: int) -> NDArray[np.int64]:
    """For every refill, steal and move (r, X, Y): the allocation of the same CPU that caused it, which comes after."""
    found = np.full(len(op), NO_EVENT)
    following = np.full(cpus, NO_EVENT)
    for i in range(len(op) - 1, -1, -1):
        if op[i] == A or op[i] == B or op[i] == K:
            following[cpu[i]] = i
            found[i] = i
        elif op[i] == REFILL or op[i] == STEAL or op[i] == MOVE:
            found[i] = following[cpu[i]]
    return found


@jit_allocating
def captures(op: NDArray[np.int64], cpu: NDArray[np.int64], cpus: int) -> NDArray[np.int64]:
    """For every free and drain (d, F): the capture by compaction next to it on the same CPU, or NO_EVENT.

    A waiting request captures one block only, so that no free or drain has two.
    """
    found = np.full(len(op), NO_EVENT)
    last = np.full(cpus, NO_EVENT)
    waiting = np.full(cpus, NO_EVENT)
    for i in range(len(op)):
        c = cpu[i]
        if op[i] == DRAIN or op[i] == F:
            if waiting[c] != NO_EVENT:
                found[i] = waiting[c]
                waiting[c] = NO_EVENT
            last[c] = i
        elif op[i] == CAPTURE:
            if last[c] != NO_EVENT and found[last[c]] == NO_EVENT:
                found[last[c]] = i
            else:
                waiting[c] = i
        elif op[i] != DRAIN_ALL:
            last[c] = NO_EVENT
    return found


@jit
def drain_follows(op: NDArray[np.int64], cpu: NDArray[np.int64], i: int, c: int) -> bool:
    """Whether the next event of the CPU is a drain."""
    for j in range(i + 1, len(op)):
        if cpu[j] == c:
            return bool(op[j] == DRAIN)
    return False


@jit
def same_bulk(op: NDArray[np.int64], cpu: NDArray[np.int64], before: int, cause: int, c: int) -> bool:
    """Whether two bulk pages belong to one request: no other event of the CPU lies between them, but its refills."""
    for j in range(before + 1, cause):
        if cpu[j] == c and op[j] != REFILL and op[j] != STEAL and op[j] != MOVE:
            return False
    return True


@jit
def next_type(op: NDArray[np.int64], cpu: NDArray[np.int64], kind: NDArray[np.int64], i: int, otherwise: int) -> int:
    """Type that the next allocation of the CPU asks for: reserves are given back on behalf of a request."""
    for j in range(i + 1, len(op)):
        if cpu[j] == cpu[i] and (op[j] == A or op[j] == B or op[j] == K):
            return int(kind[j])
    return otherwise
