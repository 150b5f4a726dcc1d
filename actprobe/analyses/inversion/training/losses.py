"""What an inverter is trained for: the input loss, the comparator loss, and how they are put together.

Equation 3 of Mishra, Sturm and Dixon (ISMIR 2018) adds the squared distance of the excerpt and the squared
distance of its features at a layer of a comparator network C, plus the squared weights. Their program
takes means where the equation has sums, and the features of the inverted excerpt enter it as numbers, so
that no gradient comes from them. Every variant is here under a name of its own:

==========  =====================================================================================
``input``   mean squared error of the excerpt, and the weights (their M_input)
``joint``   the program's terms with the gradient of the feature term, as the paper means it
``eq3``     the sums that equation 3 prints: over all values of an excerpt, mean over excerpts
``released``  as the program: the feature term counts but has no gradient, and every batch enters
            the moving averages of batch normalisation twice
``balanced``  each mean divided by its variance over the training set, so that either term is 1
            for an inverter that always gives the mean, whatever the comparator's scale
==========  =====================================================================================

The NRE averages distances, not their squares. With ``distance="euclidean"`` so do ``input``, ``joint`` and
``balanced``: a term is the mean over a batch of the root mean square error of each example. An excerpt that
is far off, such as a silent one, then counts by its distance and does not outweigh all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actprobe import backend
from actprobe.analyses.inversion.networks.fused import fused
from actprobe.errors import UsageError

LOSSES = ("joint", "input", "eq3", "released", "balanced")
DISTANCES = ("squared", "euclidean")

L2 = 1e-4
BALANCED_L2 = 1e-6

SHORTEST_DISTANCE = 1e-6  # a perfect example has no direction to go


@dataclass(frozen=True)
class Objective:
    """A loss by name, one of `LOSSES`, with its weights.

    ``distance``: one of `DISTANCES`; ``eq3`` and ``released`` are as printed and as published, squared.
    ``input_weight``, ``feature_weight``: factors of the two terms. ``input_variance``, ``feature_variance``:
    of the training set; only ``balanced`` divides by them, or by their roots if distances are euclidean.
    ``l2``: factor of the sum of squares of all kernels and gammas, by default 1e-4 as published; with
    ``balanced`` 1e-6: on means, 1e-4 is thousands of times stronger than in equation 3 and switches channels
    off. UsageError: there is no such loss or distance, or not together.
    """

    name: str = "joint"
    distance: str = "squared"
    input_weight: float = 1.0
    feature_weight: float = 1.0
    input_variance: float = 1.0
    feature_variance: float = 1.0
    l2: float | None = None

    def __post_init__(self) -> None:
        """Refuse what does not exist."""
        if self.name not in LOSSES:
            raise UsageError(f"there is no loss {self.name!r}; there is {', '.join(LOSSES)}")
        if self.distance not in DISTANCES:
            raise UsageError(f"there is no distance {self.distance!r}; there is {', '.join(DISTANCES)}")
        if self.is_euclidean and self.name in ("eq3", "released"):
            raise UsageError(f"the distances of {self.name} are squared; there is no euclidean {self.name}")

    @property
    def is_euclidean(self) -> bool:
        """Whether distances are not squared."""
        return self.distance == "euclidean"

    @property
    def error(self) -> str:
        """What `each` measures, in words."""
        return "root mean square error" if self.is_euclidean else "mean squared error"

    @property
    def compares(self) -> bool:
        """Whether there is a feature term."""
        return self.name != "input"

    @property
    def connected(self) -> bool:
        """Whether the feature term has a gradient."""
        return self.name not in ("input", "released")

    @property
    def norm_updates(self) -> int:
        """How often a batch enters the moving averages of batch normalisation."""
        return 2 if self.name == "released" else 1

    @property
    def l2_weight(self) -> float:
        """Factor of the squared weights."""
        if self.l2 is not None:
            return self.l2
        return BALANCED_L2 if self.name == "balanced" else L2

    def measure(self, found: Any, wanted: Any) -> Any:
        """Measure how far a batch is from what it should be.

        A mean of squares over all values, for ``eq3`` their sum over an example; with euclidean distances the
        mean over examples of their root mean square error.
        """
        if self.is_euclidean:
            return _mean_distance(found, wanted)
        mean = _mean_square(found, wanted)
        return mean * float(found.shape[1:].num_elements()) if self.name == "eq3" else mean

    def each(self, found: Any, wanted: Any) -> Any:
        """Measure how far each example is, [batch]: the mean square, or its root with euclidean distances."""
        tf = backend.tf
        squares = tf.math.squared_difference(tf.cast(found, tf.float32), tf.cast(wanted, tf.float32))
        means = tf.reduce_mean(squares, axis=list(range(1, len(squares.shape))))
        return tf.sqrt(means) if self.is_euclidean else means

    def total(self, input_term: Any, feature_term: Any, l2_term: Any) -> Any:
        """Put together what `measure` and `squared_weights` gave."""
        input_scale, feature_scale = 1.0, 1.0
        if self.name == "balanced":
            power = 0.5 if self.is_euclidean else 1.0
            input_scale, feature_scale = self.input_variance**power, self.feature_variance**power
        total = self.input_weight / input_scale * input_term + self.l2_weight * l2_term
        return total + self.feature_weight / feature_scale * feature_term if self.compares else total


def _mean_square(found: Any, wanted: Any) -> Any:
    """The mean squared difference, float32; its gradient goes to what was found only."""
    tf = backend.tf

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def mean_square(found: Any) -> Any:
        difference = _subtract(found, wanted)
        count = tf.cast(tf.size(difference), tf.float32)
        return 2 * tf.nn.l2_loss(difference) / count, lambda upstream: _slope(
            2 * upstream / count, difference, found
        )

    return mean_square(found)


def _mean_distance(found: Any, wanted: Any) -> Any:
    """The mean of the examples' root mean square differences, float32; the gradient goes as above."""
    tf = backend.tf

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def mean_distance(found: Any) -> Any:
        difference = _subtract(found, wanted)
        values = tf.reshape(difference, (tf.shape(difference)[0], -1))
        distances = tf.norm(values, axis=1)
        examples, size = (tf.cast(each, tf.float32) for each in tf.unstack(tf.shape(values)))

        def slope(upstream: Any) -> Any:
            factors = upstream / (examples * tf.sqrt(size) * tf.maximum(distances, SHORTEST_DISTANCE))
            return _slope(tf.reshape(factors, (-1, *[1] * (len(difference.shape) - 1))), difference, found)

        return tf.reduce_mean(distances) / tf.sqrt(size), slope

    return mean_distance(found)


def _subtract(found: Any, wanted: Any) -> Any:
    tf = backend.tf
    return fused(lambda one, other: tf.cast(one, tf.float32) - tf.cast(other, tf.float32))(found, wanted)


def _slope(factor: Any, difference: Any, found: Any) -> Any:
    tf = backend.tf
    return fused(lambda factor, difference: tf.cast(factor * difference, found.dtype))(factor, difference)


def squared_weights(variables: Sequence[Any]) -> Any:
    """Sum the squares of all kernels and gammas; biases and betas are left out, as published."""
    tf = backend.tf
    counted = [each for each in variables if each.name.split("/")[-1].split(":")[0] in ("kernel", "gamma")]
    return tf.add_n([2 * tf.nn.l2_loss(tf.convert_to_tensor(each)) for each in counted])
