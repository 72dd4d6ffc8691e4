"""BPF programs come out as the kernel expects them."""

import struct

from models.host.kernel_memory.bpf_code import Code


def _instructions(code: Code) -> list[tuple[int, int, int, int, int]]:
    data = code.assemble()
    rows = (struct.unpack_from("<BBhi", data, at) for at in range(0, len(data), 8))
    return [(op, registers & 15, registers >> 4, offset, value) for op, registers, offset, value in rows]


def test_jumps_count_instructions_from_the_next_one() -> None:
    """Forwards and backwards; a wide instruction counts twice."""
    code = Code()
    code.label("begin")
    code.jump_if_number(1, 7, "end")
    code.value_address(2, 5)
    code.jump("begin")
    code.label("end")
    code.answer(-2)
    assert _instructions(code) == [
        (0x15, 1, 0, 3, 7), (0x18, 2, 2, 0, 5), (0, 0, 0, 0, 0), (0x05, 0, 0, -4, 0),
        (0xB7, 0, 0, 0, -2), (0x95, 0, 0, 0, 0),
    ]  # fmt: skip


def test_operands_are_where_they_belong() -> None:
    """Destination in the lower half, source in the upper."""
    code = Code()
    code.load(1, 6, 16)
    code.store(10, -8, 3)
    code.store_number(10, -16, 9)
    code.add_words(1, 2)
    code.call(113)
    assert _instructions(code) == [
        (0x79, 1, 6, 16, 0), (0x7B, 10, 3, -8, 0), (0x7A, 10, 0, -16, 9), (0x67, 2, 0, 0, 3), (0x0F, 1, 2, 0, 0),
        (0x85, 0, 0, 0, 113),
    ]  # fmt: skip
