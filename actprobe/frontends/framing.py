"""How a front end cuts sound into spectra and these into bands: what it takes to make sound of examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

RANGE_DB = 60.0

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Framing:
    """How a front end cuts sound into spectra, and these into bands.

    - `sample_rate`: Hz
    - `n_fft`, `hop`: samples
    - `window`: float64 [frame_length]
    - `centred`: whether frame k is centred on sample k * hop, with padding at the ends, or begins there
    - `bank`: float64 [bins, mel]; bins above those of the bank are empty
    - `power`: 1 if the bank takes magnitudes, 2 if it takes their squares
    - `range_db`: what lies further under the loudest band is not compared; a melgram holds 40 dB and no more
    - `pad_mode`: ``reflect`` mirrors a centred recording at its ends, ``constant`` pads it with zeros
    """

    sample_rate: int
    n_fft: int
    hop: int
    window: Doubles = field(repr=False)
    centred: bool
    bank: Doubles = field(repr=False)
    power: float
    range_db: float = RANGE_DB
    pad_mode: Literal["reflect", "constant"] = "reflect"

    @property
    def around(self) -> int:
        """Frames that have a sample in common with one; so many are put on either side."""
        return -(-self.n_fft // self.hop)

    @property
    def before(self) -> int:
        """Samples of the longer sound that lie before the first of the sound itself."""
        late = self.n_fft // 2 if self.centred else (self.n_fft - len(self.window)) // 2
        return self.around * self.hop + late

    @cached_property
    def loudest(self) -> Doubles:
        """Natural logarithm of the most that a full-scale sound can give each band, shape [mel]."""
        most = self.bank.sum(axis=0) * self.window.sum() ** self.power
        return np.asarray(np.log(np.maximum(most, 1e-300)))

    def samples_of(self, frames: int) -> int:
        """Count the samples that frames span, from centre to centre where they are centred."""
        return (frames - 1) * self.hop + (0 if self.centred else len(self.window))

    def exp(self, logs: NDArray[Any], floor: float = -np.inf) -> Doubles:
        """Undo a natural logarithm, [..., mel]: at most what `loudest` says, 0 where it is at its floor."""
        found = np.where(logs <= floor, 0.0, np.exp(np.minimum(logs, self.loudest)))
        return np.asarray(found, np.float64)
