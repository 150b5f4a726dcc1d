"""Passages: excerpts that overlap, joined again, to see and to hear."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

LONGEST_SECONDS = 30.0  # of a passage that is shown


@dataclass(frozen=True, eq=False)
class Passage:
    """Consecutive excerpts of a recording, joined.

    - ``first``, ``end``: the excerpts are number ``first`` to ``end - 1`` of the recording.
    - ``times``: float64 [frames], seconds in the recording at the centre of each frame.
    - ``offsets``: int64 [excerpts], the frame at which each excerpt begins.
    """

    first: int
    end: int
    times: Doubles = field(repr=False)
    offsets: NDArray[np.int64] = field(repr=False)

    def join(self, excerpts: NDArray[Any]) -> NDArray[np.float32]:
        """Join values of all excerpts of the recording, [excerpts, time, mel]: float32 [frames, mel].

        Where two excerpts overlap, each counts more the closer the frame is to its middle.
        """
        time = excerpts.shape[1]
        weight = np.minimum(np.arange(1, time + 1), np.arange(time, 0, -1))[:, np.newaxis].astype(np.float64)
        total = np.zeros((len(self.times), excerpts.shape[2]))
        weights = np.zeros((len(self.times), 1))
        for offset, excerpt in zip(self.offsets, excerpts[self.first : self.end], strict=True):
            total[offset : offset + time] += weight * excerpt
            weights[offset : offset + time] += weight
        return np.asarray(total / weights, np.float32)


def passages_of(times: Doubles, joining: bool) -> list[Passage]:
    """Group the excerpts of a recording whose frames overlap or touch.

    ``times``, [excerpts, time], are the seconds at the centre of each frame, ascending. Without ``joining``
    each excerpt is a passage, as where values mean something else in each excerpt. A passage lasts at most
    `LONGEST_SECONDS`, or one excerpt.
    """
    hop = float(times[0, 1] - times[0, 0]) if times.shape[1] > 1 else 1.0
    found, first = [], 0
    for number in range(1, len(times) + 1):
        last = number == len(times)
        apart = not last and times[number, 0] > times[number - 1, -1] + 1.5 * hop
        long = not last and times[number, -1] - times[first, 0] > LONGEST_SECONDS
        if last or apart or long or not joining:
            offsets = np.round((times[first:number, 0] - times[first, 0]) / hop).astype(np.int64)
            frames = int(offsets[-1]) + times.shape[1]
            found.append(Passage(first, number, times[first, 0] + hop * np.arange(frames), offsets))
            first = number
    return found
