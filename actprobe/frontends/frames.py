"""Front ends whose examples are cut from the frames of the whole recording."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends.base import FrontEnd, pad_to
from actprobe.frontends.graph import ExampleGraph


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

    @property
    def windows(self) -> bool:
        """Whether the examples are as this class cuts them, nothing done to them any more."""
        cls = type(self)
        return cls.examples is FrameFrontEnd.examples and cls.finished is FrameFrontEnd.finished

    @abstractmethod
    def frames_in(self, samples: int) -> int:
        """Count the frames that `graph` gives of a recording.

        Parameters
        ----------
        samples : int
            Length of the recording at `sample_rate`, at least `example_samples`; an int32 scalar in a graph.

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

    def finished(self, windows: Any) -> Any:
        """Finish examples: what is done to windows of frames that differs from frame to frame of an example.

        Parameters
        ----------
        windows : numpy.ndarray or tf.Tensor
            float32, shape [examples, time, mel].

        Returns
        -------
        numpy.ndarray or tf.Tensor
            As it came; by default itself.
        """
        return windows

    def example_starts(self, samples: int) -> NDArray[np.int64]:
        """Frames after the last whole example are dropped."""
        frames = self.frames_in(max(samples, self.example_samples))
        return self.frame_hop * np.arange(0, frames - self.example_shape[0] + 1, self.hop)

    def frames(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._traced is None:
            tf = backend.tf
            self._traced = tf.function(self.graph, input_signature=[tf.TensorSpec((None,), tf.float32)])
        padded = pad_to(samples, self.example_samples, self.padding)
        frames: NDArray[np.float32] = self._traced(padded).numpy()
        return frames

    def examples(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give a read-only view of the frames, so that overlap costs no memory; `finished` may copy it."""
        frames = self.frames(samples)
        windows = np.lib.stride_tricks.sliding_window_view(frames, self.example_shape[0], axis=0)
        examples: NDArray[np.float32] = self.finished(windows[:: self.hop].transpose(0, 2, 1))
        return examples

    def example_graph(self) -> ExampleGraph:
        return FrameGraph(self) if type(self).examples is FrameFrontEnd.examples else super().example_graph()


class FrameGraph(ExampleGraph):
    """Examples cut from the frames of whole recordings, see `FrameFrontEnd`."""

    def __init__(self, frontend: FrameFrontEnd) -> None:
        super().__init__(frontend)
        self.frontend = frontend

    def starts(self, samples: Any) -> Any:
        last = self.frontend.frames_in(samples) - self.frontend.example_shape[0]
        return self.frontend.frame_hop * backend.tf.range(0, last + 1, self.frontend.hop)

    def prepare(self, waveform: Any) -> Any:
        tf = backend.tf
        spec = tf.TensorSpec((None, self.frontend.example_shape[1]), tf.float32)
        return tf.map_fn(self.frontend.graph, waveform, fn_output_signature=spec, parallel_iterations=4)

    def cut(self, prepared: Any, rows: Any, starts: Any) -> Any:
        tf = backend.tf
        frames, bands = self.frontend.example_shape
        first = rows * tf.shape(prepared)[1] + starts // self.frontend.frame_hop
        every = tf.reshape(prepared, (-1, bands))
        windows = tf.gather(every, first[:, None] + tf.range(frames)[None, :])
        return tf.ensure_shape(self.frontend.finished(windows), (None, frames, bands))
