"""Arrays that Python owns and compiled code reaches through one integer.

A compiled operation takes a *handle*: the address of a small header that holds the addresses of arrays. One integer
crosses from Python into machine code, which costs a tenth of handing over the arrays themselves (130 ns against
1,350 ns for eight of them).
"""

import mmap
from contextlib import suppress
from typing import Any

import numpy as np
from numba import from_dtype, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np import arrayobj
from numpy.typing import DTypeLike, NDArray

from simcore.compiled import jit

__all__ = ["array_address", "header", "prefer_huge_pages", "reserve", "slot_array", "table_at"]

HEADER_SLOTS = 32
_UNBOUNDED = 1 << 60
_intrinsic: Any = intrinsic  # it has no types
_MAP_NORESERVE: int = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Python names it from 3.12 on


def reserve(items: int, dtype: DTypeLike) -> NDArray[Any]:
    """Zeroed array whose memory is committed page by page as it is touched (`MAP_NORESERVE`).

    Args:
        items: number of elements; one is reserved for none.
        dtype: type of an element.

    Returns:
        Array of shape ``(max(1, items),)``.
    """
    items = max(1, items)
    size_bytes = items * np.dtype(dtype).itemsize
    region = mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE)
    region.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(region, dtype=dtype, count=items)


def prefer_huge_pages(array: NDArray[Any]) -> None:
    """Let a reserved array be committed 2 MiB at a time, where the kernel can: before it is filled from end to end."""
    region = array.base
    while not isinstance(region, mmap.mmap):
        region = region.obj if isinstance(region, memoryview) else region.base  # type: ignore[union-attr]
    with suppress(OSError):  # a kernel without huge pages
        region.madvise(mmap.MADV_HUGEPAGE)


def header(arrays: list[NDArray[Any]]) -> NDArray[np.int64]:
    """Header over arrays, in their order. The caller keeps it, and the arrays, alive while a handle is in use."""
    slots = np.zeros(HEADER_SLOTS, np.int64)
    slots[: len(arrays)] = [array.ctypes.data for array in arrays]
    return slots


def slot_array(slot: int, dtype: DTypeLike) -> Any:
    """Accessor for compiled code: takes a handle, returns the array in a slot of its header, without bounds.

    It becomes part of the code that uses it: code without reference counts may hold such an array, but not return it.
    """
    element = from_dtype(np.dtype(dtype))

    @_intrinsic
    def accessor(context: Any, handle: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            address = _load_slot(context, builder, arguments[0], slot)
            return _make_array(
                context,
                builder,
                signature.return_type,
                address,
                [context.get_constant(types.intp, _UNBOUNDED)],
            )

        return types.Array(element, 1, "C")(types.int64), generate

    return accessor


@_intrinsic
def _addresses(context: Any, handle: Any) -> Any:
    """The header itself, as an array of addresses."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        shape = [context.get_constant(types.intp, HEADER_SLOTS)]
        return _make_array(context, builder, signature.return_type, arguments[0], shape)

    return types.Array(types.int64, 1, "C")(types.int64), generate


@_intrinsic
def table_at(context: Any, address: Any, rows: Any, columns: Any, dtype: Any) -> Any:
    """Array of shape (rows, columns) at an address (compiled code only)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _make_array(context, builder, signature.return_type, arguments[0], list(arguments[1:3]))

    return types.Array(dtype.dtype, 2, "C")(types.int64, types.int64, types.int64, dtype), generate


def _load_slot(context: Any, builder: Any, handle: Any, slot: int) -> Any:
    slots = builder.inttoptr(handle, context.get_data_type(types.int64).as_pointer())
    return builder.load(builder.gep(slots, [context.get_constant(types.intp, slot)]))


def _make_array(context: Any, builder: Any, array_type: Any, address: Any, shape: list[Any]) -> Any:
    array = arrayobj.make_array(array_type)(context, builder)
    element = context.get_data_type(array_type.dtype)
    item_bytes = context.get_constant(types.intp, context.get_abi_sizeof(element))
    strides = [item_bytes]
    if len(shape) == 2:
        strides = [builder.mul(shape[1], item_bytes), item_bytes]
    arrayobj.populate_array(
        array,
        data=builder.inttoptr(address, element.as_pointer()),
        shape=cgutils.pack_array(builder, shape),
        strides=cgutils.pack_array(builder, strides),
        itemsize=item_bytes,
        meminfo=None,
    )
    return array._getvalue()


@jit
def array_address(handle: int, slot: int) -> int:
    """Address of the array in a slot of a header."""
    return int(_addresses(handle)[slot])
