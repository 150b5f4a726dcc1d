"""What every front end is."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actprobe.audio import RESAMPLER, Waveform, as_waveform
from actprobe.errors import FrontEndError, UsageError
from actprobe.frontends.framing import Framing
from actprobe.frontends.graph import ExampleGraph
from actprobe.frontends.sound import Sonifier, Sound

PADDINGS = ("zeros", "repeat")


class FrontEnd(ABC):
    """Waveform -> examples.

    A front end of your own gives the abstract methods and the attributes without a default. What else it
    gives is used where it is needed: `frames` for dense evaluation, `framing` and `to_power` for sound,
    `example_graph` for export; see `FrameFrontEnd` and `SegmentFrontEnd`, which give much of it.

    Parameters
    ----------
    padding : str, optional
        What follows a recording shorter than an example: ``zeros``, or ``repeat``, the recording
        again from its start. Zeros make every average over an example depend on the recording's
        length.

    Attributes
    ----------
    name : str
        What the field calls it.
    sample_rate : int
        Rate in Hz it works at.
    example_samples : int
        Samples that one example spans.
    example_shape : tuple of int
        (time, mel) of one example.
    frame_hop : int
        Samples between frames.
    frame_length : int
        Samples a frame sees, in the band that sees most.
    first_frame : int
        Sample at the centre of frame 0 of an example.
    hop : int
        Frames between the starts of examples, where they are `windows`.
    unit : str
        What the values of an example are, for colour bars and tables.
    known : bool
        False only for what stands in place of a front end in a model that was wrapped without one.
    edge_frames : int
        Frames at either end of an example that are left out where examples are put one behind the other; 0
        for a front end that leaves none out.
    joining_refusal : str
        Why examples that overlap cannot be averaged, in a few words; empty where a value means the same at
        every frame of every example.
    sound_refusal : str
        Why no sound can be made of its examples, in a sentence; empty where it can, or is not known.
    keeps_phase : bool
        Whether an example has the phase of its sound, so that `sound` estimates none.
    standardises : bool
        Whether 0 is a mean: that of the training corpus, or of each example.
    inversion_refusal : str
        Why nothing can be inverted to its examples, in a sentence; empty where it can.
    free_starts : bool
        Whether an example can begin at any frame; False where there are only those that were stored.

    Raises
    ------
    UsageError
        No such padding.

    Examples
    --------
    >>> frontend = actprobe.load_model("svd").frontend
    >>> frontend(actprobe.load_audio("song.mp3")).shape[1:] == frontend.example_shape
    True
    """

    name: str
    sample_rate: int
    example_samples: int
    example_shape: tuple[int, int]
    frame_hop: int
    frame_length: int
    first_frame: int
    hop: int
    unit: str = "front end's units of level"
    known: bool = True
    edge_frames: int = 0
    joining_refusal: str = ""
    sound_refusal: str = ""
    keeps_phase: bool = False
    standardises: bool = False
    inversion_refusal: str = ""
    free_starts: bool = True

    def __init__(self, padding: str = "zeros") -> None:
        if padding not in PADDINGS:
            raise UsageError(f"there is no padding {padding!r}; there is {', '.join(PADDINGS)}")
        self.padding = padding

    def of(self, recording: Path) -> FrontEnd:
        """Give the front end for one recording.

        Parameters
        ----------
        recording : Path
            The recording's file.

        Returns
        -------
        FrontEnd
            Itself, unless its examples come from a file of that recording.

        Raises
        ------
        AudioError, CorpusError
            They do, and there is none, or it is damaged.
        """
        return self

    @abstractmethod
    def example_starts(self, samples: int) -> NDArray[np.int64]:
        """Give the starts of the examples of a recording.

        Parameters
        ----------
        samples : int
            Length of the recording at `sample_rate`.

        Returns
        -------
        numpy.ndarray
            First sample of each example in ascending order, at least one. The last may reach beyond
            the recording only if it is the only one, unless the front end puts zeros around recordings:
            then the first may begin before sample 0, too.
        """

    @abstractmethod
    def examples(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn samples into examples.

        Parameters
        ----------
        samples : numpy.ndarray
            float32, shape [samples], at `sample_rate`, at least one.

        Returns
        -------
        numpy.ndarray
            float32, shape [examples, time, mel], one for each of `example_starts`.
        """

    def example_of(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn the samples of one example into it, wherever in a recording they lie.

        Parameters
        ----------
        samples : numpy.ndarray
            float32, shape [example_samples], at `sample_rate`.

        Returns
        -------
        numpy.ndarray
            float32, shape [time, mel].
        """
        return np.asarray(self.examples(samples)[0])

    def rescaled(
        self, example: NDArray[Any], samples: NDArray[np.float32], span: NDArray[np.float32]
    ) -> NDArray[Any]:
        """Bring an example to the scale of a longer sound, so that it can be joined to others of that sound.

        Parameters
        ----------
        example : numpy.ndarray
            Shape [time, mel], an example or what an inverter gave for it.
        samples : numpy.ndarray
            float32, shape [example_samples], what the example is of.
        span : numpy.ndarray
            float32, shape [samples], the longer sound.

        Returns
        -------
        numpy.ndarray
            Shape [time, mel], as if the front end had standardised the longer sound as one example; by
            default the example as it came, since its values do not depend on what is around.
        """
        return example

    @abstractmethod
    def band_edges_hz(self) -> NDArray[np.float64]:
        """Give the edges of the mel triangles: band m spans edges m to m + 2.

        Returns
        -------
        numpy.ndarray
            float64, shape [mel + 2], Hz.
        """

    @abstractmethod
    def constants(self) -> dict[str, Any]:
        """Give the constants that decide the examples, for provenance.

        Returns
        -------
        dict
            JSON-able.
        """

    def describe(self) -> dict[str, Any]:
        """Give the constants together with the padding and the resampler, for provenance.

        Returns
        -------
        dict
            JSON-able.
        """
        return {
            "name": self.name,
            "sample_rate": self.sample_rate,
            "example_seconds": self.example_samples / self.sample_rate,
            **self.constants(),
            "padding": self.padding,
            "resampler": RESAMPLER,
        }

    @property
    def windows(self) -> bool:
        """Whether examples are windows of `frames`, one every `hop` frames."""
        return False

    def frames(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn samples into the frames whose windows are the examples.

        Parameters
        ----------
        samples : numpy.ndarray
            float32, shape [samples], at `sample_rate`, at least one.

        Returns
        -------
        numpy.ndarray
            float32, shape [frames, mel], at least enough for one example.

        Raises
        ------
        UsageError
            The examples are not `windows`.
        """
        self._lacks(
            "does not cut its examples out of common frames", "`frames`, `hop` and a `windows` that is true"
        )

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

    def example_graph(self) -> ExampleGraph:
        """Write the front end with TensorFlow operations, for export.

        Returns
        -------
        ExampleGraph
            Gives the same examples.

        Raises
        ------
        UsageError
            It computes in Python what a graph cannot hold.
        """
        self._lacks(
            "is not written with TensorFlow operations, which a graph is made of",
            "`example_graph`, or derive it from FrameFrontEnd or SegmentFrontEnd with a `graph` of its own",
        )

    def detached(self) -> FrontEnd:
        """Copy the front end without what TensorFlow has traced of it, so that it can be pickled.

        Returns
        -------
        FrontEnd
            One that gives the same examples.
        """
        copied = copy.copy(self)
        vars(copied).pop("_traced", None)
        return copied

    def _lacks(self, what: str, wanted: str) -> NoReturn:
        raise UsageError(f"the front end {self.name} {what}: give it {wanted}")

    def __call__(self, waveform: Waveform | ArrayLike, sample_rate: int | None = None) -> NDArray[np.float32]:
        """Turn a waveform into examples.

        Parameters
        ----------
        waveform : Waveform or array_like
            A Waveform, or mono float samples of shape [samples].
        sample_rate : int, optional
            Rate of the samples in Hz.

        Returns
        -------
        numpy.ndarray
            float32, shape [examples, time, mel].

        Raises
        ------
        FrontEndError
            The waveform holds no samples.
        ValueError
            Samples without a rate, not mono, or not finite.
        """
        samples = as_waveform(waveform, sample_rate).resample(self.sample_rate).samples
        if len(samples) == 0:
            raise FrontEndError(f"{self.name}: the waveform holds no samples")
        return np.asarray(self.examples(samples), np.float32)


def pad_to(samples: NDArray[np.float32], length: int, padding: str) -> NDArray[np.float32]:
    """Lengthen samples, at least one, to `length` by ``zeros`` or ``repeat``; no copy if long enough."""
    missing = length - len(samples)
    if missing <= 0:
        return samples
    return np.pad(samples, (0, missing), mode="wrap" if padding == "repeat" else "constant")
