"""What "absent" means: the values that stand where a part of an excerpt is taken away.

No choice is neutral. Silence is far from anything the network was trained on; the mean spectrum still says
what kind of recording it is. So the fill is named in every row, and evaluations compare two of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd

Floats = NDArray[np.float32]

MEAN_SPECTRUM = "mean_spectrum"
FILLS = (MEAN_SPECTRUM, "training_mean", "minimum", "shuffled")


def fill_values(
    name: str, frontend: FrontEnd, background: Floats, starts_seconds: NDArray[np.float64], seed: int
) -> Floats:
    """Give what stands for an absent part of excerpts, by where they begin: float32 [excerpts, time, mel].

    ``background`` are examples, [examples, time, mel], of the recording that the excerpts are of.

    - ``mean_spectrum``: the mean of each band over the recording, constant in time.
    - ``training_mean``: 0, the mean of the training corpus (or of the example) after standardisation.
    - ``minimum``: the lowest value of the recording, about that of silence; of a network of waveforms, whose
      samples have a sign, 0.
    - ``shuffled``: the values of each band in the recording, in random order.

    Raises
    ------
    UsageError
        No such fill, or ``training_mean`` of a front end that does not standardise.
    """
    if name not in FILLS:
        raise UsageError(f"there is no fill {name!r}; there is {', '.join(FILLS)}")
    time, mel = frontend.example_shape
    shape = (len(starts_seconds), time, mel)
    if name == "training_mean":
        if not frontend.standardises:
            raise UsageError(
                f"fill training_mean: the front end {frontend.name} does not standardise, so 0 is no mean of "
                f"its values; use {MEAN_SPECTRUM}, minimum or shuffled"
            )
        return np.zeros(shape, np.float32)
    if name == "minimum":
        lowest = 0.0 if frontend.keeps_phase else float(background.min())
        return np.full(shape, lowest, np.float32)
    rows = background.reshape(-1, mel)
    if name == MEAN_SPECTRUM:
        return np.broadcast_to(rows.mean(axis=0, dtype=np.float64).astype(np.float32), shape).copy()
    shuffled = [
        np.take_along_axis(rows, np.random.default_rng([seed, *place]).integers(0, len(rows), (time, mel)), 0)
        for place in _whole_numbers(starts_seconds)
    ]
    return np.stack(shuffled).astype(np.float32)


def _whole_numbers(starts_seconds: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Say by whole numbers where excerpts begin, so that a seed does not depend on what is cut with them."""
    return [(int(start < 0), round(1e6 * abs(start))) for start in starts_seconds.tolist()]
