"""What a network gives for the examples of a recording, put one behind the other along its time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError
from actprobe.frontends.base import FrontEnd


def join_examples(
    frontend: FrontEnd, values: NDArray[Any], samples: int
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Put what was computed of the examples of a recording one behind the other.

    The `edge_frames` of the front end are left out at both ends of every example, and what is centred behind
    the end of the recording.

    Parameters
    ----------
    frontend : FrontEnd
        The front end that made the examples.
    values : numpy.ndarray
        Shape [examples, time, ...], one value or array for every frame of every example.
    samples : int
        Length of the recording at the front end's rate.

    Returns
    -------
    tuple
        The values, [frames, ...], and the times of their centres, float64 [frames], seconds from the start of
        the recording, ascending.

    Raises
    ------
    UsageError
        Values of another number of examples or frames, or examples that overlap by more than is left out.
    """
    starts = frontend.example_starts(samples)
    frames, edge = frontend.example_shape[0], frontend.edge_frames
    if values.shape[:2] != (len(starts), frames):
        raise UsageError(
            f"{frontend.name}: a recording of {samples} samples has {len(starts)} examples of {frames} "
            f"frames; values of shape {list(values.shape)} are not those of its frames"
        )
    kept = np.arange(edge, frames - edge)
    centres = starts[:, np.newaxis] + frontend.first_frame + frontend.frame_hop * kept
    if (centres[1:, 0] <= centres[:-1, -1]).any():
        raise UsageError(f"{frontend.name}: the examples overlap, so that a time has several values")
    within = centres < samples
    return values[:, kept][within], centres[within] / frontend.sample_rate
