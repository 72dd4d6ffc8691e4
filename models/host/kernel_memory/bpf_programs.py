"""The BPF programs that read kernel memory: bytes, the present task, a CPU's element, and whole lists."""

from __future__ import annotations

import errno
from typing import Final

from models.host.kernel_memory.bpf_code import FRAME, Code

__all__ = ["MOST_BYTES", "MOST_LISTS", "locate_code", "read_code", "task_code", "walk_code"]

# Helpers [include/uapi/linux/bpf.h].
_GET_CURRENT_TASK, _PROBE_READ_KERNEL, _LOOKUP_PERCPU = 35, 113, 195
_STEPS: Final = 1 << 9
"""Steps of one call: the kernel checks each of a loop's turns before it accepts a program."""

MOST_BYTES: Final = 1 << 20
"""Bytes that one call may read."""

MOST_LISTS: Final = 1 << 17
"""Lists that one walk may walk."""

_LISTS, _WALKED, _ELEMENT, _STORED = 0, 8, 16, 24
"""Offsets in the state of a walk: lists to walk, lists walked, address of the present element, words stored."""


def read_code(bytes_fd: int) -> Code:
    """``read(address, size)``: copy to the array ``bytes_fd``."""
    code = Code()
    code.load(3, 1, 0)
    code.load(2, 1, 8)
    code.jump_if_at_least_number(2, MOST_BYTES + 1, "too large")
    code.value_address(1, bytes_fd)
    code.call(_PROBE_READ_KERNEL)
    code.answer()
    code.label("too large")
    code.answer(-errno.E2BIG)
    return code


def task_code(bytes_fd: int) -> Code:
    """``task()``: the address of the present `struct task_struct`, to the array ``bytes_fd``."""
    code = Code()
    code.call(_GET_CURRENT_TASK)
    code.value_address(1, bytes_fd)
    code.store(1, 0, 0)
    code.answer(0)
    return code


def locate_code(per_cpu_fd: int, bytes_fd: int) -> Code:
    """``locate(cpu)``: the address of that CPU's element of ``per_cpu_fd``, to the array ``bytes_fd``."""
    code = Code()
    code.load(3, 1)
    code.store_number(FRAME, -8, 0)
    code.move(2, FRAME)
    code.add(2, -8)
    code.map_address(1, per_cpu_fd)
    code.call(_LOOKUP_PERCPU)
    code.jump_if_number(0, 0, "no such CPU")
    code.value_address(1, bytes_fd)
    code.store(1, 0, 0)
    code.answer(0)
    code.label("no such CPU")
    code.answer(-errno.ENOENT)
    return code


def walk_code(state_fd: int, heads_fd: int, words_fd: int, most_words: int) -> Code:
    """``walk()``: take `_STEPS` steps: each stores an element of the present list, or 0 at its end.

    Args:
        state_fd: array of where the walk is.
        heads_fd: array of the lists' heads.
        words_fd: array that elements are stored to.
        most_words: that it holds.
    """
    state, steps, element, head = 6, 7, 8, 9
    code = Code()
    code.value_address(state, state_fd)
    code.set(steps, _STEPS)

    code.label("step")
    code.load(1, state, _WALKED)
    code.load(2, state, _LISTS)
    code.jump_if_at_least(1, 2, "stop")
    code.jump_if_at_least_number(1, MOST_LISTS, "stop")
    code.value_address(head, heads_fd)
    code.add_words(head, 1)
    code.load(head, head)
    code.load(element, state, _ELEMENT)
    code.move(3, head)
    code.jump_if_number(element, 0, "next")  # at the beginning of a list

    code.load(2, state, _STORED)
    code.jump_if_at_least_number(2, most_words, "stop")
    code.value_address(1, words_fd)
    code.move(3, 2)
    code.add_words(1, 3)
    code.add(2, 1)
    code.store(state, _STORED, 2)
    code.jump_if_equal(element, head, "end of list")
    code.store(1, 0, element)
    code.move(3, element)

    code.label("next")  # where the element at register 3 points to
    code.set(2, 8)
    code.move(1, FRAME)
    code.add(1, -8)
    code.call(_PROBE_READ_KERNEL)
    code.jump_if_not_number(0, 0, "stop")
    code.load(1, FRAME, -8)
    code.store(state, _ELEMENT, 1)
    code.jump("done")

    code.label("end of list")
    code.store_number(1, 0, 0)
    code.store_number(state, _ELEMENT, 0)
    code.load(1, state, _WALKED)
    code.add(1, 1)
    code.store(state, _WALKED, 1)

    code.label("done")
    code.add(steps, -1)
    code.jump_if_not_number(steps, 0, "step")
    code.answer(0)
    code.label("stop")
    code.answer(1)
    return code
