"""Batches of examples, always in the same order for the same seed, read ahead of the training.

The order is a permutation for every pass over the examples, sampled from the seed and the number of the pass:
without replacement, and known for every step without the steps before, so that a run that was
killed goes on with the very batches that it would have had.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import CorpusError

Ints = NDArray[np.int64]


class Source(Protocol):
    """Where a training gets its batches from.

    ``first_step``: step of the first batch that `endless` gives, counted when that is asked for.
    ``steps_per_pass``: steps of an epoch, unless the settings say how many. ``unit``: what speed is counted
    in, such as ``examples``; ``units_per_step``: how many there are in a batch.
    """

    first_step: int
    steps_per_pass: int
    unit: ClassVar[str]
    units_per_step: int

    def endless(self) -> Any:
        """Give a tf.data.Dataset of dicts of tensors, without end."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Examples as rows of a file.

    ``values`` [rows, width] is memory-mapped: float32, or bfloat16 as uint16. ``first``, int64 [examples], is
    the first row of each example, ``count`` the rows of one, ``shape`` the shape of one.
    """

    values: NDArray[Any]
    first: Ints
    count: int
    shape: tuple[int, ...]

    def gather(self, which: Ints) -> NDArray[Any]:
        """Read examples by number: [len(which), *shape], of the type of the file."""
        out = np.empty((len(which), self.count, self.values.shape[1]), self.values.dtype)
        for place, start in zip(out, self.first[which], strict=True):
            place[:] = self.values[start : start + self.count]
        return out.reshape(len(which), *self.shape)


class Batches:
    """Examples for training or validation, in an order that ``seed`` decides.

    ``parts``: what an example is made of: ``excerpt``, perhaps ``features`` and ``compared``. ``source``:
    where the examples come from, for messages. ``steps_per_pass`` are the whole batches in one pass; what is
    left over at the end of the last recording is never used, as published. CorpusError for fewer examples
    than a batch takes.
    """

    unit: ClassVar[str] = "examples"

    def __init__(
        self, parts: Mapping[str, Rows], batch_size: int, seed: int = 0, source: str = "the corpus"
    ) -> None:
        self.parts = dict(parts)
        self.batch_size, self.seed = batch_size, seed
        self.units_per_step = batch_size
        self.examples = len(self.parts["excerpt"].first)
        self.steps_per_pass = self.examples // batch_size
        self.first_step = 0
        if not self.steps_per_pass:
            raise CorpusError(
                source, f"gives {self.examples} excerpts, fewer than the {batch_size} of one batch"
            )
        self._pass: tuple[int, Ints] = (-1, np.zeros(0, np.int64))

    def numbers(self, step: int) -> Ints:
        """Say which examples a step takes: int64, shape [batch_size]."""
        which, place = divmod(step, self.steps_per_pass)
        number, order = self._pass
        if number != which:
            rng = np.random.Generator(np.random.PCG64([self.seed, which]))
            order = rng.permutation(self.steps_per_pass * self.batch_size).astype(np.int64)
            self._pass = (which, order)
        return order[place * self.batch_size : (place + 1) * self.batch_size]

    def batch(self, numbers: Ints) -> list[NDArray[Any]]:
        """Read examples by number: one array for each of the parts."""
        return [rows.gather(numbers) for rows in self.parts.values()]

    def read(self, numbers: Ints) -> dict[str, Any]:
        """Read examples by number: part -> tf.Tensor."""
        tf = backend.tf
        found = {}
        for name, values in zip(self.parts, self.batch(numbers), strict=True):
            tensor = tf.constant(values)
            found[name] = tf.bitcast(tensor, tf.bfloat16) if values.dtype == np.uint16 else tensor
        return found

    def spread(self, count: int) -> Ints:
        """Number ``count`` examples, or all if there are fewer, evenly spaced."""
        return np.linspace(0, self.examples - 1, min(count, self.examples)).round().astype(np.int64)

    def endless(self) -> Any:
        """Give the batches of training, from `first_step` on, without end.

        Returns
        -------
        tf.data.Dataset
            Dicts of the parts. `first_step` counts as it is when the first batch is asked for.
        """
        tf = backend.tf

        def read(step: Any) -> Any:
            return self.batch(self.numbers(self.first_step + int(step)))

        steps = tf.data.Dataset.range(np.iinfo(np.int64).max)
        batches = steps.map(self._reader(read, self.batch_size), num_parallel_calls=1, deterministic=True)
        return self._options(batches.prefetch(4))

    def once(self, most: int | None = None) -> Any:
        """Give examples in order, once, for validation: all, or at most ``most``, evenly spaced.

        A tf.data.Dataset of dicts of the parts; the last batch may be smaller.
        """
        numbers = self.spread(self.examples if most is None else most)
        tf = backend.tf
        steps = tf.data.Dataset.from_tensor_slices(numbers).batch(self.batch_size)
        batches = steps.map(self._reader(lambda which: self.batch(np.asarray(which)), None))
        return self._options(batches.prefetch(2))

    def _reader(self, read: Any, size: int | None) -> Any:
        tf = backend.tf
        stored = [tf.as_dtype(rows.values.dtype) for rows in self.parts.values()]

        def reader(which: Any) -> dict[str, Any]:
            found = tf.numpy_function(read, [which], stored, stateful=False)
            named = {}
            for (name, rows), values in zip(self.parts.items(), found, strict=True):
                values = tf.ensure_shape(values, (size, *rows.shape))
                named[name] = tf.bitcast(values, tf.bfloat16) if values.dtype == tf.uint16 else values
            return named

        return reader

    @staticmethod
    def _options(dataset: Any) -> Any:
        """Let several workers share each batch instead of files."""
        options = backend.tf.data.Options()
        options.experimental_distribute.auto_shard_policy = backend.tf.data.experimental.AutoShardPolicy.DATA
        return dataset.with_options(options)
