"""LRU sets as vectors in order of use: an entry is looked up, and the order renewed, in a few instructions."""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

__all__ = ["LANES", "data_of", "everywhere", "visit_one_row", "visit_row"]

# Lengths of a vector; a set takes the shortest that holds its ways.
LANES = (4, 8, 16, 32)

_WORD, _LANE = ir.IntType(64), ir.IntType(32)


def _visit_row(_typing: Any, state: Any, base: Any, key: Any, ways: Any, lanes: Any) -> Any:
    """Type and generate `visit_row`."""

    def generate(context: Any, builder: Any, typed: Any, arguments: Any) -> Any:
        array, first, key, ways, _ = arguments
        row = _Row(builder, data_of(context, builder, typed.args[0], array), first, lanes.literal_value, ways)
        held = [builder.load(part, align=8) for part in row.parts]
        found = row.found(held, key)
        renewed = row.moved(held, key, found)
        row.store(renewed, row.parts)
        return row.absent(found)

    return types.int64(state, types.intp, types.int64, types.int64, lanes), generate


def _visit_one_row(
    _typing: Any, state: Any, base: Any, count: Any, members: Any, keys: Any, missed: Any, ways: Any, lanes: Any
) -> Any:
    """Type and generate `visit_one_row`."""

    def generate(context: Any, builder: Any, typed: Any, arguments: Any) -> Any:
        array, first, count, members, keys, missed, ways, _ = arguments
        lists = ((3, members), (4, keys), (5, missed))
        members, keys, missed = (data_of(context, builder, typed.args[number], value) for number, value in lists)
        row = _Row(builder, data_of(context, builder, typed.args[0], array), first, lanes.literal_value, ways)
        # Variables of their own stay in registers.
        kept = [row.variable(builder.load(part, align=8)) for part in row.parts]
        with cgutils.for_range(builder, count) as loop:
            member = builder.load(builder.gep(members, [loop.index]))
            key = builder.load(builder.gep(keys, [member]))
            held = [builder.load(part) for part in kept]
            found = row.found(held, key)
            absent = row.absent(found)
            builder.store(absent, builder.gep(missed, [member]))
            # Who predicts a miss need not wait for the comparison.
            with builder.if_else(builder.trunc(absent, ir.IntType(1))) as (then, otherwise):
                with then:
                    row.store(row.shifted(held, key), kept)
                with otherwise:
                    row.store(row.moved(held, key, found), kept)
        for variable, part in zip(kept, row.parts, strict=True):
            builder.store(builder.load(variable), part, align=8)
        return context.get_dummy_value()

    return types.void(state, types.intp, types.intp, members, keys, missed, types.int64, lanes), generate


def data_of(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Return the pointer to an array's first element."""
    return context.make_array(array_type)(context, builder, value=array).data


def everywhere(builder: Any, value: Any, vector: Any) -> Any:
    """Return a vector that holds ``value`` in each lane."""
    nothing = ir.Constant(vector, ir.Undefined)
    single = builder.insert_element(nothing, value, ir.Constant(_LANE, 0))
    return builder.shuffle_vector(single, single, ir.Constant(ir.VectorType(_LANE, vector.count), [0] * vector.count))


class _Row:
    """The instructions on a row, kept as vectors of up to eight lanes: masks of more are slow to take apart."""

    def __init__(self, builder: Any, data: Any, first: Any, lanes: int, ways: Any) -> None:
        self.builder = builder
        self.width = min(lanes, 8)
        self.vector = ir.VectorType(_WORD, self.width)
        self.bits = ir.IntType(lanes)
        self.parts = [
            builder.bitcast(
                builder.gep(data, [builder.add(first, ir.Constant(_WORD, lane))]), self.vector.as_pointer()
            )
            for lane in range(0, lanes, self.width)
        ]
        ways = builder.trunc(ways, self.bits)
        self.ways = builder.lshr(
            ir.Constant(self.bits, -1), builder.sub(ir.Constant(self.bits, lanes), ways)
        )

    def _shuffle(self, one: Any, other: Any, numbers: list[int]) -> Any:
        return self.builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(_LANE, self.width), numbers))

    def found(self, held: list[Any], key: Any) -> Any:
        """Return an integer with the bit of the way that holds ``key``."""
        builder, wanted = self.builder, everywhere(self.builder, key, self.vector)
        found = ir.Constant(self.bits, 0)
        for number, part in enumerate(held):
            equal = builder.bitcast(builder.icmp_signed("==", part, wanted), ir.IntType(self.width))
            if len(held) > 1:
                equal = builder.zext(equal, self.bits)
                equal = builder.shl(equal, ir.Constant(self.bits, number * self.width))
            found = builder.or_(found, equal)
        return builder.and_(found, self.ways)

    def absent(self, found: Any) -> Any:
        """Return 1 when no way holds the key, else 0."""
        return self.builder.zext(self.builder.icmp_unsigned("==", found, ir.Constant(self.bits, 0)), _WORD)

    def shifted(self, held: list[Any], key: Any) -> list[Any]:
        """Return the row with ``key`` in front. What leaves the ways stays in lanes that nobody looks at."""
        before = [everywhere(self.builder, key, self.vector), *held[:-1]]
        order = [self.width - 1, *range(self.width, 2 * self.width - 1)]
        return [self._shuffle(ahead, part, order) for ahead, part in zip(before, held, strict=True)]

    def moved(self, held: list[Any], key: Any, found: Any) -> list[Any]:
        """Return the row with those up to the way found moved on by one; all of them when none is."""
        builder = self.builder
        halves = ir.VectorType(_LANE, 2 * self.width)
        way = builder.cttz(builder.zext(found, _WORD), ir.Constant(ir.IntType(1), 0))
        beyond = everywhere(builder, builder.add(builder.trunc(way, _LANE), ir.Constant(_LANE, 1)), halves)
        moved = []
        for number, (shifted, part) in enumerate(zip(self.shifted(held, key), held, strict=True)):
            lanes = ir.Constant(halves, [number * self.width + lane // 2 for lane in range(2 * self.width)])
            upto = builder.ashr(builder.sub(lanes, beyond), ir.Constant(halves, [_LANE.width - 1] * halves.count))
            # Not a select of lanes, which would become a store of these lanes alone: slow by itself on many a CPU, and
            # no load that follows can be fed by it.
            changed = builder.and_(builder.xor(part, shifted), builder.bitcast(upto, self.vector))
            moved.append(builder.xor(part, changed))
        return moved

    def variable(self, part: Any) -> Any:
        """Return a new variable with the value of a part."""
        allocate: Any = cgutils.alloca_once_value
        return allocate(self.builder, part)

    def store(self, row: list[Any], places: list[Any]) -> None:
        """Write the row."""
        for part, place in zip(row, places, strict=True):
            self.builder.store(part, place, align=8)


# ``visit_row(state, base, key, ways, lanes)`` looks for ``key`` among the first ``ways`` of the ``lanes`` (a literal)
# entries from ``state[base]`` on, moves it to the front and those before it back by one, and returns 0; one that is not
# there comes in at the front, the last way goes, and 1 is returned.
visit_row: Any = intrinsic(prefer_literal=True)(_visit_row)
# ``visit_one_row(state, base, count, members, keys, missed, ways, lanes)`` does the same for ``keys[j]`` of each j of
# ``members[:count]`` and writes what is returned to ``missed[j]``; the row stays in registers meanwhile.
visit_one_row: Any = intrinsic(prefer_literal=True)(_visit_one_row)
