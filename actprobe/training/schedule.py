"""How the learning rate goes down.

``published`` is schedule 3 of the program of Mishra et al.: after each epoch the rate is halved if the
training loss, cut to two decimals, is that of the epoch before. It reproduces the authors' logs exactly.
On their corpus it leaves less than 1e-5 after ten to twelve epochs. ``cosine`` falls to nothing over the
whole training (Loshchilov and Hutter: SGDR, ICLR 2017), which suits a training of a fixed length.
"""

from __future__ import annotations

__all__ = ["SCHEDULES", "published_rate", "truncated"]

SCHEDULES = ("published", "cosine", "constant")


def truncated(loss: float) -> float:
    """Cut a loss to two decimals.

    Parameters
    ----------
    loss : float
        A loss.

    Returns
    -------
    float
        ``int(loss * 100) / 100``.
    """
    return int(loss * 100) / 100.0


def published_rate(rate: float, previous_loss: float, loss: float) -> float:
    """Give the rate of the next epoch by the published rule.

    Parameters
    ----------
    rate : float
        Rate of the epoch that ended.
    previous_loss, loss : float
        Training loss, all its terms, of the epoch before (0 before the first) and of this one.

    Returns
    -------
    float
        Half the rate, or the rate.
    """
    return rate * 0.5 if truncated(previous_loss) == truncated(loss) else rate
