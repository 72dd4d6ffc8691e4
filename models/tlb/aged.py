"""A long LRU set that is alone as ages by way: an entry is looked up, and all ages renewed, in a few instructions."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

from models.tlb.compiled import inlined
from models.tlb.lanes import data_of, everywhere

__all__ = ["MOST_WAYS", "PART", "aged_stride", "empty_aged", "make_oldest", "visit_aged"]

Ints = npt.NDArray[np.int64]

# Ways of a part, whose ages fill a vector of 32 bytes.
PART = 32
# Ages are signed bytes. No age is below that of padding.
MOST_WAYS, _PADDING = 128, 127

_BYTE, _MARK, _WORD = ir.IntType(8), ir.IntType(16), ir.IntType(64)
_AGES, _MARKS = ir.VectorType(_BYTE, PART), ir.VectorType(_MARK, PART)
_NUMBERS = tuple(range(PART))
# An odd multiplier that mixes (2^64 over the golden ratio); a mark is its product's upper 16 bits, made odd: 0 marks a
# way that never held anything.
_MIXER = 0x9E3779B97F4A7C15


def aged_stride(ways: int) -> int:
    """Return the 64-bit integers of a set: keys, marks (16 bits) and ages (8 bits), padded to whole parts."""
    lanes = -(-ways // PART) * PART
    return lanes + lanes // 4 + lanes // 8


@inlined
def _ages(base: int, ways: int) -> int:
    """Return where the ages of the set at ``base`` begin."""
    lanes = (ways + PART - 1) // PART * PART
    return base + lanes + lanes // 4


@inlined
def empty_aged(base: int, ways: int, state: Ints) -> None:
    """Clear the marks and age the ways in their order; the caller empties the keys."""
    lanes = (ways + PART - 1) // PART * PART
    state[base + lanes : base + lanes + lanes // 4] = 0
    ages = _ages(base, ways)
    state[ages : ages + lanes // 8] = 0
    for way in range(lanes):
        state[ages + way // 8] |= (way if way < ways else _PADDING) << way % 8 * 8


@inlined
def make_oldest(way: int, base: int, ways: int, state: Ints) -> None:
    """Let ``way`` be the next to be replaced. Its mark stays, as keys decide."""
    ages = _ages(base, ways)
    former = state[ages + way // 8] >> way % 8 * 8 & 0xFF
    for other in range(ways):
        shift = other % 8 * 8
        age = state[ages + other // 8] >> shift & 0xFF
        if other == way:
            state[ages + other // 8] += (ways - 1 - former) << shift
        elif age > former:
            state[ages + other // 8] -= 1 << shift


def _visit_aged(
    _typing: Any, state: Any, base: Any, count: Any, members: Any, keys: Any, missed: Any, ways: Any, parts: Any
) -> Any:
    """Type and generate `visit_aged`."""

    def generate(context: Any, builder: Any, typed: Any, arguments: Any) -> Any:
        array, first, count, members, keys, missed, ways, _ = arguments
        lists = ((3, members), (4, keys), (5, missed))
        members, keys, missed = (data_of(context, builder, typed.args[number], value) for number, value in lists)
        tags = builder.gep(data_of(context, builder, typed.args[0], array), [first])
        aged = _Aged(builder, tags, typed.args[7].literal_value, ways)
        with cgutils.for_range(builder, count) as loop:
            member = builder.load(builder.gep(members, [loop.index]))
            absent = aged.visit(builder.load(builder.gep(keys, [member])))
            builder.store(absent, builder.gep(missed, [member]))
        aged.leave()
        return context.get_dummy_value()

    return types.void(state, types.intp, types.intp, members, keys, missed, types.int64, parts), generate


class _Aged:
    """The instructions on a set. Marks and ages stay in registers."""

    def __init__(self, builder: Any, tags: Any, parts: int, ways: Any) -> None:
        self.builder, self.tags, self.ways = builder, tags, ways
        lanes = parts * PART
        self.bits = ir.IntType(lanes)
        self.oldest_age = builder.trunc(builder.sub(ways, ir.Constant(_WORD, 1)), _BYTE)
        self.marks_at = self._parts(builder.gep(tags, [ir.Constant(_WORD, lanes)]), _MARKS, parts)
        self.ages_at = self._parts(builder.gep(tags, [ir.Constant(_WORD, lanes + lanes // 4)]), _AGES, parts)
        self.marks = [self._variable(builder.load(part, align=8)) for part in self.marks_at]
        self.ages = [self._variable(builder.load(part, align=8)) for part in self.ages_at]
        self.absent = self._variable(ir.Constant(_WORD, 1))
        self.way = self._variable(ir.Constant(_WORD, 0))

    def _parts(self, first: Any, vector: Any, parts: int) -> list[Any]:
        first = self.builder.bitcast(first, vector.as_pointer())
        return [self.builder.gep(first, [ir.Constant(_WORD, part)]) for part in range(parts)]

    def _variable(self, value: Any) -> Any:
        allocate: Any = cgutils.alloca_once_value
        return allocate(self.builder, value)

    def _bits(self, equal: list[Any]) -> Any:
        """Return an integer with a bit for each lane."""
        builder, bits = self.builder, ir.Constant(self.bits, 0)
        for number, part in enumerate(equal):
            lanes = builder.bitcast(part, ir.IntType(PART))
            if self.bits.width > PART:
                lanes = builder.shl(builder.zext(lanes, self.bits), ir.Constant(self.bits, number * PART))
            bits = builder.or_(bits, lanes)
        return bits

    def _first(self, bits: Any) -> Any:
        """Return the number of the lowest bit of a number that is not 0."""
        builder = self.builder
        first = builder.cttz(bits, ir.Constant(ir.IntType(1), 1))
        return builder.zext(first, _WORD) if self.bits.width < _WORD.width else builder.trunc(first, _WORD)

    def _equal(self, parts: list[Any], value: Any) -> list[Any]:
        """Return for each part which lanes equal ``value``."""
        return [
            self.builder.icmp_signed("==", part, everywhere(self.builder, value, part.type)) for part in parts
        ]

    def visit(self, key: Any) -> Any:
        """Look for ``key`` and make it the newest, in the oldest's way if it is absent; return 1 if it was, else 0."""
        builder = self.builder
        mark = builder.lshr(builder.mul(key, ir.Constant(_WORD, _MIXER)), ir.Constant(_WORD, _WORD.width - 16))
        mark = builder.or_(builder.trunc(mark, _MARK), ir.Constant(_MARK, 1))
        marks = [builder.load(part) for part in self.marks]
        ages = [builder.load(part) for part in self.ages]
        marked = self._bits(self._equal(marks, mark))
        oldest = self._equal(ages, self.oldest_age)
        unmarked = builder.icmp_unsigned("==", marked, ir.Constant(self.bits, 0))
        # Who predicts a miss need not wait for the comparison, nor for the oldest's number.
        with builder.if_else(unmarked) as (then, otherwise):
            with then:
                builder.store(ir.Constant(_WORD, 1), self.absent)
                way = self._first(self._bits(oldest))
                self._renew(marks, ages, key, mark, way, self.oldest_age, oldest)
            with otherwise:
                for age, place in zip(ages, self.ages_at, strict=True):
                    builder.store(age, place, align=8)
                builder.store(ir.Constant(_WORD, 0), self.absent)
                builder.store(self._first(marked), self.way)
                other = builder.icmp_signed("!=", builder.load(builder.gep(self.tags, [builder.load(self.way)])), key)
                with builder.if_then(other, likely=False):
                    self._look_at_all(key, oldest)
                way = builder.load(self.way)
                age = builder.load(builder.gep(builder.bitcast(self.ages_at[0], _BYTE.as_pointer()), [way]))
                chosen = [self._lane(way, number) for number in range(len(ages))]
                self._renew(marks, ages, key, mark, way, age, chosen)
        return builder.load(self.absent)

    def _lane(self, way: Any, number: int) -> Any:
        """Return which lane of a part is ``way``; no way is further off than a byte can say."""
        here = self.builder.trunc(self.builder.sub(way, ir.Constant(_WORD, number * PART)), _BYTE)
        return self.builder.icmp_signed("==", ir.Constant(_AGES, _NUMBERS), everywhere(self.builder, here, _AGES))

    def _renew(
        self, marks: list[Any], ages: list[Any], key: Any, mark: Any, way: Any, age: Any, chosen: list[Any]
    ) -> None:
        """Give ``way``, in the lane ``chosen`` and of an age, to ``key``, and make it the newest."""
        builder = self.builder
        builder.store(key, builder.gep(self.tags, [way]))
        for number, lane in enumerate(chosen):
            marked = builder.select(lane, everywhere(builder, mark, _MARKS), marks[number])
            builder.store(marked, self.marks[number])
            younger = builder.icmp_signed("<", ages[number], everywhere(builder, age, _AGES))
            aged = builder.sub(ages[number], builder.sext(younger, _AGES))
            builder.store(builder.select(lane, ir.Constant(_AGES, None), aged), self.ages[number])

    def _look_at_all(self, key: Any, oldest: list[Any]) -> None:
        """Settle where ``key`` is, another having its mark, by a look at all keys."""
        builder = self.builder
        builder.store(ir.Constant(_WORD, 1), self.absent)
        builder.store(self._first(self._bits(oldest)), self.way)
        with cgutils.for_range(builder, self.ways) as loop:
            held = builder.load(builder.gep(self.tags, [loop.index]))
            with builder.if_then(builder.icmp_signed("==", held, key)):
                builder.store(ir.Constant(_WORD, 0), self.absent)
                builder.store(loop.index, self.way)

    def leave(self) -> None:
        """Write marks and ages back."""
        for variables, places in ((self.marks, self.marks_at), (self.ages, self.ages_at)):
            for variable, place in zip(variables, places, strict=True):
                self.builder.store(self.builder.load(variable), place, align=8)


# ``visit_aged(state, base, count, members, keys, missed, ways, parts)`` looks for ``keys[j]`` of each j of
# ``members[:count]`` in the set of ``ways`` (in so many parts, a literal) that lies from ``state[base]`` on as
# `aged_stride` says, and writes 0 to ``missed[j]``; one that is not there takes the way of the least recently used,
# and 1 is written. An age is the number of ways that were used since.
visit_aged: Any = intrinsic(prefer_literal=True)(_visit_aged)
