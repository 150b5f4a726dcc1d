"""Front ends whose examples are cut from the frames of the whole recording."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends.base import FrontEnd, pad_to

__all__ = ["FrameFrontEnd", "InnerFrameFrontEnd"]


class FrameFrontEnd(FrontEnd):
    """Waveform -> frames -> examples of a fixed number of frames.

    A recording too short for one example is lengthened to one, see `padding`.

    Parameters
    ----------
    hop : int
        Frames between the starts of examples.
    padding : str, optional
        ``zeros`` or ``repeat``, see `FrontEnd`.

    Raises
    ------
    UsageError
        No such padding, or a hop below 1.
    """

    _traced: Any = None

    def __init__(self, hop: int, padding: str = "zeros") -> None:
        super().__init__(padding)
        if hop < 1:
            raise UsageError(f"hop={hop}: examples are at least one frame apart")
        self.hop = hop

    @abstractmethod
    def frames_in(self, samples: int) -> int:
        """Count the frames of a recording.

        Parameters
        ----------
        samples : int
            Length of the recording at `sample_rate`, at least `example_samples`.

        Returns
        -------
        int
            Frames that `graph` gives.
        """

    @abstractmethod
    def graph(self, samples: Any) -> Any:
        """Turn a recording into frames with TensorFlow operations only.

        Parameters
        ----------
        samples : tf.Tensor
            float32, shape [samples], at `sample_rate`, at least `example_samples`.

        Returns
        -------
        tf.Tensor
            float32, shape [frames, mel].
        """

    def example_starts(self, samples: int) -> NDArray[np.int64]:
        """Say where the examples of a recording begin.

        Parameters
        ----------
        samples : int
            Length of the recording at `sample_rate`.

        Returns
        -------
        numpy.ndarray
            First sample of each example; frames after the last whole example are dropped.
        """
        frames = self.frames_in(max(samples, self.example_samples))
        return self.frame_hop * np.arange(0, frames - self.example_shape[0] + 1, self.hop)

    def frames(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn samples into frames.

        Parameters
        ----------
        samples : numpy.ndarray
            float32, shape [samples], at `sample_rate`, at least one.

        Returns
        -------
        numpy.ndarray
            float32, shape [frames, mel], at least enough for one example.
        """
        if self._traced is None:
            tf = backend.tf
            self._traced = tf.function(self.graph, input_signature=[tf.TensorSpec((None,), tf.float32)])
        padded = pad_to(samples, self.example_samples, self.padding)
        frames: NDArray[np.float32] = self._traced(padded).numpy()
        return frames

    def examples(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn samples into examples.

        Parameters
        ----------
        samples : numpy.ndarray
            float32, shape [samples], at `sample_rate`, at least one.

        Returns
        -------
        numpy.ndarray
            float32, shape [examples, time, mel]; a read-only view of the frames, so that overlap
            costs no memory.
        """
        frames = self.frames(samples)
        windows = np.lib.stride_tricks.sliding_window_view(frames, self.example_shape[0], axis=0)
        return windows[:: self.hop].transpose(0, 2, 1)


class InnerFrameFrontEnd(FrameFrontEnd):
    """Frames that lie within the recording, none centred or padded: frame k begins at sample k hop.

    As none of them depends on what is outside it, they are computed a bounded number at a time.

    Parameters
    ----------
    hop : int
        Frames between the starts of examples.
    padding : str, optional
        ``zeros`` or ``repeat``, see `FrontEnd`.

    Attributes
    ----------
    frames_at_once : int
        Frames whose spectra are in memory together.

    Raises
    ------
    UsageError
        No such padding, or a hop below 1.
    """

    frames_at_once: int

    def frames_in(self, samples: int) -> int:
        """Count the frames of a recording.

        Parameters
        ----------
        samples : int
            Length of the recording at `sample_rate`, at least `example_samples`.

        Returns
        -------
        int
            Whole frames; the samples behind the last are not seen.
        """
        return (samples - self.frame_length) // self.frame_hop + 1

    def frames(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn samples into frames, a bounded number at a time.

        Parameters
        ----------
        samples : numpy.ndarray
            float32, shape [samples], at `sample_rate`, at least one.

        Returns
        -------
        numpy.ndarray
            float32, shape [frames, mel], at least enough for one example.
        """
        step = self.frames_at_once * self.frame_hop
        overlap = self.frame_length - self.frame_hop
        first = super().frames(samples[: step + overlap])
        rest = range(step, len(samples) - self.frame_length + 1, step)
        pieces = [self._traced(samples[start : start + step + overlap]).numpy() for start in rest]
        return np.concatenate([first, *pieces]) if pieces else first
