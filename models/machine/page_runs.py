"""Runs of page frames: as text, from a mask, and cut into the blocks that the buddy allocator keeps."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_ORDER", "cut_blocks", "decode_pages", "decode_runs", "encode_pages", "encode_runs", "lie_apart", "runs_of",
]  # fmt: skip

MAX_ORDER: Final = 10


def encode_runs(runs: NDArray[np.int64]) -> str:
    """Return ascending runs as text: ``gap+length`` in hex, the gap from the end of the run before.

    Args:
        runs: shape (n, 2), first page frame and end.
    """
    steps = np.diff(runs.ravel(), prepend=0).reshape(-1, 2)
    return " ".join(f"{gap:x}+{length:x}" for gap, length in steps.tolist())


def decode_runs(text: str) -> NDArray[np.int64]:
    """Return the runs of `encode_runs`, shape (n, 2): first page frame and end.

    Raises:
        ValueError: The text is no such list.
    """
    numbers = np.array([int(part, 16) for pair in text.split() for part in pair.split("+")], np.int64)
    if len(numbers) % 2 or (numbers < 0).any():
        raise ValueError(f"not a list of runs: {text[:40]!r}")
    return np.cumsum(numbers).reshape(-1, 2)


def encode_pages(pfns: NDArray[np.int64]) -> str:
    """Return page frames as text, in their order, in hex."""
    return " ".join(f"{pfn:x}" for pfn in pfns.tolist())


def decode_pages(text: str) -> NDArray[np.int64]:
    """Return the page frames of `encode_pages`."""
    return np.array([int(part, 16) for part in text.split()], np.int64)


def lie_apart(starts: NDArray[np.int64], pages: NDArray[np.int64]) -> bool:
    """Return whether no page lies in two of some blocks, and each block is aligned to its size.

    Args:
        starts: first page frame of each block, in any order.
        pages: its pages, a power of two.
    """
    order = np.argsort(starts)
    first, end = starts[order], (starts + pages)[order]
    return bool((starts % pages == 0).all() and (first[1:] >= end[:-1]).all())


def runs_of(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return first index and end of every run of true values, ascending, shape (n, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return edges.astype(np.int64).reshape(-1, 2)


def cut_blocks(runs: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut runs of free pages into the blocks that the buddy allocator keeps.

    Free buddies always merge, so a run consists of the largest aligned blocks that fit.

    Args:
        runs: shape (n, 2), first page frame and end.

    Returns:
        (first pfn, order) of each block, ascending.
    """
    pfns: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    orders: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    at, end = runs[:, 0].copy(), runs[:, 1]
    while len(at):
        aligned = np.where(at == 0, 1 << MAX_ORDER, at & -at)
        # frexp is exact where log2 may round up just below a power of two.
        fits = np.left_shift(1, np.frexp((end - at).astype(np.float64))[1].astype(np.int64) - 1)
        size = np.minimum(np.minimum(aligned, fits), 1 << MAX_ORDER)
        # A long run of the largest blocks is cut in one step.
        many = np.where(size == 1 << MAX_ORDER, (end - at) >> MAX_ORDER, 1)
        pfns.append(np.repeat(at, many) + _counted(many) * np.repeat(size, many))
        orders.append(np.repeat(np.frexp(size.astype(np.float64))[1].astype(np.int64) - 1, many))
        at = at + many * size
        left = at < end
        at, end = at[left], end[left]
    pfn, order = np.concatenate(pfns), np.concatenate(orders)
    ascending = np.argsort(pfn, kind="stable")
    return pfn[ascending], order[ascending]


def _counted(many: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return 0, 1, ... many[0]-1, 0, 1, ... many[1]-1, and so on."""
    first = np.repeat(np.cumsum(many) - many, many)
    return np.arange(int(many.sum()), dtype=np.int64) - first
