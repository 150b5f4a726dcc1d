"""How the learning rate goes down.

``published`` is schedule 3 of the program of Mishra et al.: after each epoch the rate is halved if the
training loss, cut to two decimals, is that of the epoch before. It reproduces the authors' logs exactly.
On their corpus it leaves less than 1e-5 after ten to twelve epochs. ``cosine`` falls to nothing over the
whole training (Loshchilov and Hutter: SGDR, ICLR 2017), which suits a training of a fixed length.
``exponential`` is 0.85 of the rate after every epoch (Schlüter and Grill, ISMIR 2015).
"""

from __future__ import annotations

from typing import Any

from actprobe import backend
from actprobe.training.settings import Settings

DECAY = 0.85


def first_rate(settings: Settings, steps_per_epoch: int) -> Any:
    """Give what an optimizer begins with: a number, or for ``cosine`` Keras' schedule of all steps."""
    if settings.schedule != "cosine":
        return settings.learning_rate
    decay = backend.keras.optimizers.schedules.CosineDecay
    return decay(settings.learning_rate, settings.epochs * steps_per_epoch)


def next_rate(settings: Settings, done: int, rate: float, previous_loss: float, loss: float) -> float:
    """Give the rate of the next epoch after ``done`` epochs, for any schedule but ``cosine``."""
    match settings.schedule:
        case "published":
            return published_rate(rate, previous_loss, loss)
        case "exponential":
            return settings.learning_rate * DECAY**done
    return rate


def truncated(loss: float) -> float:
    """Cut a loss to two decimals."""
    return int(loss * 100) / 100.0


def published_rate(rate: float, previous_loss: float, loss: float) -> float:
    """Give the rate of the next epoch by the published rule: half the rate, or the rate.

    The losses are training losses, all terms, of the epoch before (0 before the first) and of this one.
    """
    return rate * 0.5 if truncated(previous_loss) == truncated(loss) else rate
