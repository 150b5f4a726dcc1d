"""TensorFlow operations on the rows that neighbouring excerpts share.

A map of all excerpts of a recording is a tensor [phase, row, ...]: where an excerpt's neighbouring rows are
``stride`` frames apart there are as many phases, and row i of phase p is the one that begins at frame
p + stride * i. Row t of excerpt k is then that of frame k + stride * t.

Zeros that a layer puts at both ends of an excerpt make the rows next to them the excerpt's own. These edges
are tensors [excerpt, row, ...], for the excerpts that are asked for. The shared rows are then those between
the edges: row t of excerpt k is that of frame k + stride * (t - rows before).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from actprobe import backend

PRODUCTS = 8192  # more values of an excerpt than these are not kept beside each other


@dataclass(frozen=True)
class Rows:
    """A map of all excerpts: the rows that they share, and their edges where they have any.

    `starts` are the frames at which the excerpts begin that are asked for.
    """

    shared: Any
    starts: Any
    before: Any = None
    behind: Any = None

    @property
    def edges(self) -> tuple[int, int]:
        """Count the rows of both edges."""
        before, behind = (0 if edge is None else edge.shape[1] for edge in (self.before, self.behind))
        return before, behind


def by_part(call: Callable[..., Any]) -> Callable[..., Rows]:
    """Make what calls a function on the shared rows and on each edge."""

    def compute(*maps: Rows) -> Rows:
        parts = ([getattr(rows, part) for rows in maps] for part in ("shared", "before", "behind"))
        shared, before, behind = (None if given[0] is None else call(*given) for given in parts)
        return Rows(shared, maps[0].starts, before, behind)

    return compute


def of_excerpts(tensor: Any, starts: Any) -> Any:
    """[phase, excerpt, ...] -> [excerpt, ...], those that begin at `starts`."""
    return backend.tf.gather(stitched(tensor), starts)


def segment(rows: Rows, length: int, first: int, end: int) -> Any:
    """Lay rows `first` to `end` of each excerpt's `length` out: [excerpt, row, ...]."""
    tf = backend.tf
    before, behind = rows.edges
    inner, last = max(first, before), min(end, length - behind)
    parts = []
    if first < before:
        parts.append(rows.before[:, first:end])
    if inner < last:
        frames = rows.shared.shape[0] * tf.range(inner - before, last - before)
        parts.append(tf.gather(stitched(rows.shared), rows.starts[:, tf.newaxis] + frames))
    if end > length - behind:
        cut = length - behind
        parts.append(rows.behind[:, max(first - cut, 0) : end - cut])
    return parts[0] if len(parts) == 1 else tf.concat(parts, 1)


def widened(rows: Rows, length: int, edges: tuple[int, int]) -> Rows:
    """Make the edges larger."""
    if edges == rows.edges:
        return rows
    (before, behind), (more, too) = rows.edges, edges
    return Rows(
        trimmed(rows.shared, more - before, too - behind),
        rows.starts,
        segment(rows, length, 0, more) if more else None,
        segment(rows, length, length - too, length) if too else None,
    )


def trimmed(tensor: Any, first: int, last: int) -> Any:
    """Cut rows off at both ends."""
    return tensor[:, first : backend.tf.shape(tensor)[1] - last]


def padded(rows: Rows, amounts: tuple[int, int], value: float) -> Rows:
    """Put rows of one value around every excerpt."""
    tf = backend.tf

    def around(edge: Any, count: int, *, first: bool) -> Any:
        if not count:
            return edge
        shape = tf.concat([[tf.size(rows.starts), count], tf.shape(rows.shared)[2:]], 0)
        fill = tf.ensure_shape(
            tf.fill(shape, tf.cast(value, rows.shared.dtype)), (None, count, *rows.shared.shape[2:])
        )
        return fill if edge is None else tf.concat([fill, edge] if first else [edge, fill], 1)

    before, behind = amounts
    return Rows(
        rows.shared,
        rows.starts,
        around(rows.before, before, first=True),
        around(rows.behind, behind, first=False),
    )


def slid(
    call: Callable[[Any], Any], rows: Rows, length: int, reach: int, step: int, edges: tuple[int, int]
) -> Rows:
    """Slide windows `reach` rows long by `step`; `edges` are those of what they give.

    A window lies among the shared rows, or it belongs to an edge.
    """
    before, behind = edges
    windows = (length - reach) // step + 1
    lead = before * step - rows.edges[0]
    shared = every_shift(call, rows.shared[:, lead:] if lead else rows.shared, reach, step)
    head = segment(rows, length, 0, (before - 1) * step + reach) if before else None
    tail = segment(rows, length, (windows - behind) * step, (windows - 1) * step + reach) if behind else None
    return Rows(
        shared, rows.starts, None if head is None else call(head), None if tail is None else call(tail)
    )


def edges_behind(length: int, edges: tuple[int, int], reach: int, step: int) -> tuple[int, int] | None:
    """Count the windows that touch an edge, at both ends; None if there is no other."""
    before, behind = edges
    first, last = -(-before // step), (length - behind - reach) // step
    return (first, (length - reach) // step - last) if first <= last else None


def stitched(tensor: Any) -> Any:
    """[phase, row, ...] -> [frame, ...]."""
    tf = backend.tf
    turned = tf.transpose(tensor, (1, 0, *range(2, tensor.shape.rank)))
    return tf.reshape(turned, (-1, *tensor.shape[2:]))


def every_shift(call: Callable[[Any], Any], tensor: Any, reach: int, step: int) -> Any:
    """Slide windows `reach` rows long over the rows by `step`, from each of the first `step` rows.

    Phase p of d becomes phases p, p + d, ... of d * step ("shift and stitch").
    """
    tf = backend.tf
    if step == 1:
        return call(tensor)
    windows = (tf.shape(tensor)[1] - (step - 1) - reach) // step + 1
    length = step * (windows - 1) + reach
    return tf.concat([call(tensor[:, shift : shift + length]) for shift in range(step)], axis=0)


def pooled(tensor: Any, length: int, kind: str) -> Any:
    """Pool [phase, row, channel] over windows of `length` rows from each row on; ``MAX`` or ``AVG``."""
    return backend.tf.nn.pool(tensor, (length,), kind, strides=(1,), padding="VALID")


def over_time(rows: Rows, length: int, kind: str) -> Any:
    """Pool [row, channel] over all rows of each excerpt: [excerpt, channel]; ``MAX`` or ``AVG``."""
    tf = backend.tf
    between = length - sum(rows.edges)
    found = of_excerpts(pooled(rows.shared, between, kind), rows.starts)
    edges = [edge for edge in (rows.before, rows.behind) if edge is not None]
    if not edges:
        return found
    if kind == "MAX":
        return tf.reduce_max([found, *(tf.reduce_max(edge, 1) for edge in edges)], 0)
    return (found * between + tf.add_n([tf.reduce_sum(edge, 1) for edge in edges])) / length


def dense(tensor: Any, shape: Sequence[int], order: Sequence[int], layer: Any) -> Any:
    """Compute a dense layer on flattened excerpts as a convolution over rows, without its activation.

    [phase, row, ...] -> [phase, excerpt, unit]. `shape` is the (time, ...) of an excerpt, and `order` that
    in which its axes were flattened; 0 is time.
    """
    tf = backend.tf
    units = layer.kernel.shape[1]
    phases, size, width = tensor.shape[0], shape[0], 1
    for each in shape[1:]:
        width *= each
    rows = tf.reshape(tf.cast(tensor, layer.compute_dtype), (phases, -1, width))
    kernel = tf.reshape(tf.cast(layer.kernel, layer.compute_dtype), (*(shape[axis] for axis in order), units))
    natural = [order.index(axis) for axis in range(len(order))]
    if size * units > PRODUCTS:
        kernel = tf.reshape(tf.transpose(kernel, (*natural, len(order))), (size, width, units))
        found = tf.nn.conv1d(rows, kernel, 1, "VALID")
    else:
        # One product for all rows of the kernel, then each is added where it belongs.
        kernel = tf.transpose(kernel, (*natural[1:], natural[0], len(order)))
        products = tf.matmul(tf.reshape(rows, (-1, width)), tf.reshape(kernel, (width, size * units)))
        products = tf.reshape(products, (phases, -1, size, units))
        count = tf.shape(products)[1] - size + 1
        found = tf.add_n([products[:, i : i + count, i] for i in range(size)])
    return tf.nn.bias_add(found, tf.cast(layer.bias, found.dtype)) if layer.use_bias else found
