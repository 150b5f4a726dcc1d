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
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actprobe import backend
from actprobe.analyses.inversion.networks.fused import fused
from actprobe.errors import UsageError

LOSSES = ("joint", "input", "eq3", "released", "balanced")

L2 = 1e-4
BALANCED_L2 = 1e-6


@dataclass(frozen=True)
class Objective:
    """A loss by name, one of `LOSSES` (otherwise UsageError), with its weights.

    ``input_weight``, ``feature_weight``: factors of the two terms. ``input_variance``, ``feature_variance``:
    of the training set; only ``balanced`` divides by them. ``l2``: factor of the sum of squares of all
    kernels and gammas, by default 1e-4 as published; with ``balanced`` 1e-6: on means, 1e-4 is thousands of
    times stronger than in equation 3 and switches channels off.
    """

    name: str = "joint"
    input_weight: float = 1.0
    feature_weight: float = 1.0
    input_variance: float = 1.0
    feature_variance: float = 1.0
    l2: float | None = None

    def __post_init__(self) -> None:
        """Refuse a loss that does not exist."""
        if self.name not in LOSSES:
            raise UsageError(f"there is no loss {self.name!r}; there is {', '.join(LOSSES)}")

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

    def distance(self, found: Any, wanted: Any) -> Any:
        """Measure a squared distance: a mean over all values, for ``eq3`` a sum over those of an example."""
        mean = _mean_square(found, wanted)
        return mean * float(found.shape[1:].num_elements()) if self.name == "eq3" else mean

    def total(self, input_term: Any, feature_term: Any, l2_term: Any) -> Any:
        """Put together what `distance` and `squared_weights` gave."""
        balanced = self.name == "balanced"
        input_factor = self.input_weight / (self.input_variance if balanced else 1.0)
        feature_factor = self.feature_weight / (self.feature_variance if balanced else 1.0)
        total = input_factor * input_term + self.l2_weight * l2_term
        return total + feature_factor * feature_term if self.compares else total


def _mean_square(found: Any, wanted: Any) -> Any:
    """The mean squared difference, float32; its gradient goes to what was found only."""
    tf = backend.tf
    subtract = fused(lambda one, other: tf.cast(one, tf.float32) - tf.cast(other, tf.float32))
    back = fused(lambda slope, difference: tf.cast(slope * difference, found.dtype))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def mean_square(found: Any) -> Any:
        difference = subtract(found, wanted)
        count = tf.cast(tf.size(difference), tf.float32)
        return 2 * tf.nn.l2_loss(difference) / count, lambda upstream: back(2 * upstream / count, difference)

    return mean_square(found)


def squared_weights(variables: Sequence[Any]) -> Any:
    """Sum the squares of all kernels and gammas; biases and betas are left out, as published."""
    tf = backend.tf
    counted = [each for each in variables if each.name.split("/")[-1].split(":")[0] in ("kernel", "gamma")]
    return tf.add_n([2 * tf.nn.l2_loss(tf.convert_to_tensor(each)) for each in counted])
