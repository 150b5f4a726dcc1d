"""Front ends whose frames are computed each from its own samples, so that memory does not grow with them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend, scratch
from actprobe.errors import FrontEndError
from actprobe.frontends.base import pad_to
from actprobe.frontends.frames import FrameFrontEnd

FRAMES_AT_ONCE = 2048


class FrameByFrameFrontEnd(FrameFrontEnd):
    """Waveform -> frames, each from its own samples -> examples of a fixed number of frames.

    `frames_at_once` of them are computed at a time, which bounds the memory that spectra take. The frames of
    a long recording are in a temporary file, see `actprobe.scratch`. `hop` and `padding` are those of
    `FrameFrontEnd`. An example of n frames takes (n - 1) * `frame_hop` + `frame_samples` - 2 * `around`
    samples. Where a derived class has a `graph` of its own, a recording's frames are computed by it, whole.

    Attributes
    ----------
    frame_samples : int
        Samples that a frame is computed from, by default `frame_length`.
    around : int
        Samples put on either side of a recording. Frame k is computed from those that begin `around` before
        sample k * `frame_hop`.
    pad_mode : str
        What these samples are: ``constant``, zeros, or ``reflect``, the recording mirrored.
    relative : bool
        Whether `values` needs the peak of the recording.
    precision : str
        Type of what `spectrum` gives, ``float32`` or ``float64``.
    """

    frames_at_once: int = FRAMES_AT_ONCE
    around: int = 0
    pad_mode: str = "constant"
    relative: bool = False
    precision: str = "float32"

    _traced_spectrum: Any = None

    @cached_property
    def frame_samples(self) -> int:
        """Samples that a frame is computed from."""
        return self.frame_length

    @abstractmethod
    def spectrum(self, samples: Any) -> Any:
        """Turn samples into the frames that lie within them, with TensorFlow operations only.

        Parameters
        ----------
        samples : tf.Tensor
            float32, shape [samples], at `sample_rate`, at least `frame_samples`.

        Returns
        -------
        tf.Tensor
            Of the type `precision`, shape [frames, mel].
        """

    def values(self, spectrum: Any, peak: Any) -> Any:
        """Turn what `spectrum` gave into the values of frames, with TensorFlow operations only.

        Parameters
        ----------
        spectrum : tf.Tensor
            Some frames of a recording, shape [frames, mel].
        peak : tf.Tensor or None
            The highest value of all of its frames, a scalar of the same type; None if not `relative`.

        Returns
        -------
        tf.Tensor
            float32, shape [frames, mel]; by default what came.
        """
        return backend.tf.cast(spectrum, backend.tf.float32)

    def frames_in(self, samples: Any) -> Any:
        """Count whole frames; the samples behind the last are not seen."""
        return (samples + 2 * self.around - self.frame_samples) // self.frame_hop + 1

    def graph(self, samples: Any) -> Any:
        tf = backend.tf
        frames = self.frames_in(tf.shape(samples)[0])
        if self.around:
            samples = tf.pad(samples, [[self.around, self.around]], mode=self.pad_mode.upper())
        found = by_pieces(
            self.spectrum, samples, frames, self.frames_at_once,
            length=self.frame_samples, hop=self.frame_hop,
            spec=tf.TensorSpec((None, self.example_shape[1]), tf.as_dtype(self.precision)),
        )  # fmt: skip
        return self.values(found, tf.reduce_max(found) if self.relative else None)

    def frames(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        if type(self).graph is not FrameByFrameFrontEnd.graph:
            return super().frames(samples)
        samples = pad_to(samples, self.example_samples, self.padding)
        found = scratch.array((self.frames_in(len(samples)), self.example_shape[1]), np.float32)
        if self.relative:
            spectrum, peak = self._with_peak(samples)
            pieces = self._again(spectrum)
        else:
            pieces, peak = self._pieces(samples), None
        for first, piece in pieces:
            found[first : first + self.frames_at_once] = self.values(piece, peak).numpy()
        return found

    def _with_peak(self, samples: NDArray[np.float32]) -> tuple[NDArray[Any], Any]:
        """Give what `spectrum` gives of a recording, [frames, mel], and its highest value."""
        shape = (self.frames_in(len(samples)), self.example_shape[1])
        spectrum = scratch.array(shape, self.precision)
        for first, piece in self._pieces(samples):
            spectrum[first : first + self.frames_at_once] = piece.numpy()
        return spectrum, backend.tf.constant(spectrum.max())

    def _pieces(self, samples: NDArray[np.float32]) -> Iterator[tuple[int, Any]]:
        """Give what `spectrum` gives of some frames after others, with the number of the first."""
        if self._traced_spectrum is None:
            tf = backend.tf
            signature = [tf.TensorSpec((None,), tf.float32)]
            self._traced_spectrum = tf.function(self.spectrum, input_signature=signature)
        frames = self.frames_in(len(samples))
        for first in range(0, frames, self.frames_at_once):
            start = first * self.frame_hop - self.around
            count = min(self.frames_at_once, frames - first)
            stop = start + (count - 1) * self.frame_hop + self.frame_samples
            found = self._traced_spectrum(span(samples, start, stop, self.pad_mode))
            if tuple(found.shape) != (count, self.example_shape[1]) or found.dtype.name != self.precision:
                raise FrontEndError(
                    f"{self.name}: `spectrum` gives {found.dtype.name} of shape {found.shape.as_list()}, "
                    f"not {self.precision} of [{count}, {self.example_shape[1]}]"
                )
            yield first, found

    def _again(self, spectrum: NDArray[Any]) -> Iterator[tuple[int, Any]]:
        for first in range(0, len(spectrum), self.frames_at_once):
            yield first, backend.tf.constant(spectrum[first : first + self.frames_at_once])


def span(samples: NDArray[np.float32], start: int, stop: int, pad_mode: Any) -> NDArray[np.float32]:
    """Give samples `start` to `stop` of a recording as if it was padded at both ends as `numpy.pad` does."""
    before, after = max(-start, 0), max(stop - len(samples), 0)
    if not before and not after:
        return samples[start:stop]
    first = max(min(start, len(samples)) - after - 1, 0)  # enough to be mirrored
    inside = samples[first : max(stop, 0) + before + 1]
    padded = np.pad(inside, (before, after), mode=pad_mode)
    return padded[start - first + before :][: stop - start]


def by_pieces(
    transform: Callable[[Any], Any],
    samples: Any,
    frames: Any,
    at_once: int,
    *,
    length: int,
    hop: int,
    spec: Any,
) -> Any:
    """Turn samples into frames [frames, mel] in a graph, `at_once` at a time, so that spectra stay few.

    `transform` takes samples to the frames that lie within them, [None, mel], as `spec` describes them.
    `frames` is their number, an int32 scalar; a frame has `length` samples and begins `hop` after the last.
    """
    tf = backend.tf
    pieces = -(-frames // at_once)
    size = -(-frames // pieces)
    step, overlap = size * hop, length - hop
    missing = tf.maximum(0, pieces * step + overlap - tf.shape(samples)[0])
    padded = tf.pad(samples, [[0, missing]])
    found = tf.map_fn(
        lambda piece: transform(padded[piece * step : (piece + 1) * step + overlap]),
        tf.range(pieces),
        fn_output_signature=spec,
        parallel_iterations=1,
    )
    return tf.reshape(found, (-1, spec.shape[1]))[:frames]
