"""What the compiled parts of SIFT and of matching share: how they are compiled, and two operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])

ROW_STEP = 12  # from one direction to the next in the histograms of `add_to_cells`


def kernel(function: F) -> F:
    """Compile a function on its first call, for threads side by side; it is kept on disk where possible."""
    try:
        return cast("F", njit(nogil=True, error_model="numpy", cache=True)(function))
    except RuntimeError:  # there is no folder to keep it in
        return cast("F", njit(nogil=True, error_model="numpy")(function))


def _fma(context: Any, a: Any, b: Any, c: Any) -> Any:
    """a * b + c in single precision, rounded once, as compilers make it of OpenCV's source."""
    signature = types.float32(types.float32, types.float32, types.float32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return signature, generate


def _add_to_cells(
    context: Any, histogram: Any, at: Any, upper: Any, lower: Any, right: Any, after: Any
) -> Any:
    """Share a sample among the four cells around it, and there among the two directions around its own.

    ``upper`` and ``lower`` are its shares in the rows above and below it, ``right`` and ``after`` the parts
    of these that go to the right and to the next direction. The shares of a direction lie side by side (left
    column, then right, the upper row first in each), so that four are added at once.
    """
    signature = types.void(histogram, at, upper, lower, right, after)
    four, two = ir.VectorType(ir.FloatType(), 4), ir.VectorType(ir.FloatType(), 2)
    index = ir.IntType(32)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        histogram, at, upper, lower, right, after = arguments

        def everywhere(value: Any, kind: Any) -> Any:
            vector = builder.insert_element(ir.Constant(kind, ir.Undefined), value, index(0))
            order = ir.Constant(ir.VectorType(index, kind.count), [0] * kind.count)
            return builder.shuffle_vector(vector, vector, order)

        rows = builder.insert_element(ir.Constant(two, ir.Undefined), upper, index(0))
        rows = builder.insert_element(rows, lower, index(1))
        to_right = builder.fmul(rows, everywhere(right, two))
        to_left = builder.fsub(rows, to_right)
        order = ir.Constant(ir.VectorType(index, 4), [0, 1, 2, 3])
        cells = builder.shuffle_vector(to_left, to_right, order)
        to_next = builder.fmul(cells, everywhere(after, four))
        data = context.make_array(signature.args[0])(context, builder, histogram).data
        for step, share in ((0, builder.fsub(cells, to_next)), (ROW_STEP, to_next)):
            place = builder.gep(data, [builder.add(at, ir.Constant(at.type, step))])
            place = builder.bitcast(place, four.as_pointer())
            builder.store(builder.fadd(builder.load(place, align=4), share), place, align=4)
        return context.get_dummy_value()

    return signature, generate


fma: Callable[..., Any] = intrinsic(_fma)
add_to_cells: Callable[..., Any] = intrinsic(_add_to_cells)
