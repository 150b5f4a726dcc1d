"""What every front end is."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actprobe.audio import RESAMPLER, Waveform, as_waveform
from actprobe.errors import FrontEndError, UsageError
from actprobe.frontends.audible import Audible
from actprobe.frontends.graph import ExampleGraph

PADDINGS = ("zeros", "repeat")


class FrontEnd(Audible, ABC):
    """Waveform -> examples.

    A front end of your own gives the abstract methods and the attributes without a default. What else it
    gives is used where it is needed: `frames` for dense evaluation, `framing` and `to_power` for sound,
    `example_graph` for export; see `FrameByFrameFrontEnd`, `FrameFrontEnd` and `SegmentFrontEnd`, which give
    much of it.

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
    has_examples : bool
        Whether there are examples; False where only activations were stored.

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
    standardises: bool = False
    inversion_refusal: str = ""
    free_starts: bool = True
    has_examples: bool = True

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
        for name in [name for name in vars(copied) if name.startswith("_traced")]:
            del vars(copied)[name]
        return copied

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


def cut_out(samples: NDArray[np.float32], first: int, length: int) -> NDArray[np.float32]:
    """Cut samples out of a sound, with zeros where they reach beyond it."""
    inside = samples[max(first, 0) : max(first + length, 0)]
    before = min(max(-first, 0), length)
    return np.pad(inside, (before, length - before - len(inside)))
