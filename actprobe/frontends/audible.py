"""How examples of a front end become sound: the part of every front end that `FrontEnd` builds on."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError
from actprobe.frontends.framing import Framing
from actprobe.frontends.sound import Sonifier, Sound


class Audible:
    """What a front end gives so that examples can be heard; its attributes are described in `FrontEnd`."""

    name: str
    sound_refusal: str = ""
    keeps_phase: bool = False

    def framing(self) -> Framing:
        """Say how sound is cut into spectra and these into bands.

        Returns
        -------
        Framing
            Its `samples_of` the frames of an example is at most `example_samples`, by less than a hop.

        Raises
        ------
        UsageError
            It is not known.
        """
        raise UsageError(
            self.sound_refusal
            or f"it is not known how to undo the front end {self.name}: no sound can be made; give it "
            f"`framing` and `to_power`"
        )

    def reference(self, samples: NDArray[np.float32]) -> Any:
        """Give what an example needs beside itself to be undone.

        Parameters
        ----------
        samples : numpy.ndarray
            float32, shape [example_samples], what the example was made of.

        Returns
        -------
        object
            What `to_power` takes; None where an example is enough.
        """
        return None

    def to_power(self, examples: NDArray[Any], reference: Any = None) -> NDArray[np.float64]:
        """Undo normalisation and logarithm.

        Parameters
        ----------
        examples : numpy.ndarray
            Shape [..., time, mel], in `unit`.
        reference : object, optional
            What `reference` gave.

        Returns
        -------
        numpy.ndarray
            float64, shape [..., time, mel]: what the filter bank gave, `Framing.power` of magnitudes, no
            louder than a full-scale sound can be.

        Raises
        ------
        UsageError
            It is not known how, or the reference is missing.
        """
        if self.sound_refusal:
            raise UsageError(self.sound_refusal)
        self._lacks("is not known to be undone", "`framing` and `to_power`")

    def sound(
        self,
        values: NDArray[Any],
        samples: NDArray[np.float32] | None = None,
        *,
        own_phase: bool = False,
        seed: int = 0,
    ) -> Sound:
        """Make an example, or a span of joined examples, audible; see `actprobe.frontends.sound`.

        Parameters
        ----------
        values : numpy.ndarray
            Shape [time, mel], in `unit`.
        samples : numpy.ndarray, optional
            float32, shape [samples], the sound that it is of: its phase, and what `reference` gives.
        own_phase : bool, optional
            Whether the phase of `samples` is taken; by default one is estimated.
        seed : int, optional
            Seed of the phase from which the estimation starts.

        Returns
        -------
        Sound
            At `sample_rate`.

        Raises
        ------
        UsageError
            It is not known how to undo the front end, or values of another shape or that are not finite.
        """
        sonifier = Sonifier(self)
        bands = sonifier.bands(values, None if samples is None else self.reference(samples))
        made = sonifier.sound(bands, phase_of=samples if own_phase else None, seed=seed)
        return Sound(made, sonifier.error_db(bands, made))

    def masked(self, mask: NDArray[Any], samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Multiply a sound by a mask over time and mel, keeping its phase.

        Parameters
        ----------
        mask : numpy.ndarray
            Shape [time, mel], from 0 to 1; of a front end that keeps the phase [samples, 1].
        samples : numpy.ndarray
            float32, shape [samples], the sound that the frames of the mask are of.

        Returns
        -------
        numpy.ndarray
            float32, shape [samples].

        Raises
        ------
        UsageError
            It is not known how the front end cuts sound, or the mask does not fit the sound.
        """
        if self.keeps_phase:
            return np.asarray(samples[: len(mask)] * mask[:, 0], np.float32)
        return Sonifier(self).masked(np.asarray(mask, np.float64), samples)

    def _lacks(self, what: str, wanted: str) -> NoReturn:
        raise UsageError(f"the front end {self.name} {what}: give it {wanted}")
