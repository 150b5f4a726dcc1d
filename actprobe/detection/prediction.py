"""Predictions of singing, frame by frame.

Every frame of a recording is judged (hop 1), its excerpt padded with silence at both ends as predict.py of
f0k/ismir2015 does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.corpora.labelled import LabelledRecording
from actprobe.detection.network import logits
from actprobe.detection.spectra import CENTRE, POOLING, frame_times, log_mel_of
from actprobe.frontends.logmel import EXCERPT_FRAMES, FLOOR, MELS

EXCERPTS_AT_ONCE = 60  # of each of the nine phases

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Predictions:
    """Output of the detector over a recording.

    ``probabilities``: float32 [frames]; frame k is centred at (315 k + 512) / 22050 s.
    """

    recording: LabelledRecording
    probabilities: Floats

    def labels(self, closed_gap_seconds: float = 0.0) -> NDArray[np.bool_]:
        """Give the labels of the same frames; gaps shorter than those seconds count as sung."""
        recording = self.recording.close_gaps(closed_gap_seconds)
        return recording.labels_at(frame_times(len(self.probabilities)))


def predict(
    predict_segments: Callable[[Floats], Floats], frames: Floats, silence: Floats, hop: int = 1
) -> Floats:
    """Predict singing at every frame of a recording, or with ``hop`` 9 at every ninth, which is faster.

    ``predict_segments`` takes frames of segments [segments, 115 + 9 k, 80] and gives probabilities [segments,
    k + 1]. ``frames`` [frames, 80] and ``silence`` [80], a frame of silence, are normalised log-mel. float32
    [frames], or every ninth of them.
    """
    phases = POOLING if hop == 1 else 1
    wanted = -(-len(frames) // POOLING)
    segments = -(-wanted // EXCERPTS_AT_ONCE)
    excerpts = -(-wanted // segments)
    behind = segments * excerpts * POOLING + EXCERPT_FRAMES + POOLING - len(frames)
    padded = np.concatenate([np.tile(silence, (CENTRE, 1)), frames, np.tile(silence, (behind, 1))])
    length = EXCERPT_FRAMES + POOLING * (excerpts - 1)
    pieces = []
    for segment in range(segments):
        first = segment * excerpts * POOLING
        batch = np.stack([padded[first + phase : first + phase + length] for phase in range(phases)])
        pieces.append(predict_segments(batch.astype(np.float32)).T.reshape(-1))
    found = np.concatenate(pieces)
    return np.asarray(found[: len(frames) if hop == 1 else wanted], np.float32)


def segment_predictor(network: Any) -> Callable[[Floats], Floats]:
    """Wrap a Keras network for `predict`; its weights at the time of each call count."""
    tf = backend.tf
    traced = tf.function(
        lambda batch: tf.sigmoid(logits(network, batch)),
        input_signature=[tf.TensorSpec([None, None, MELS], tf.float32)],
        autograph=False,
    )
    return lambda batch: np.asarray(traced(batch))


def predict_all(
    network: Any,
    normalization: tuple[NDArray[Any], NDArray[Any]],
    recordings: Sequence[LabelledRecording],
    hop: int = 1,
    frames_of: Callable[[LabelledRecording], Floats] = log_mel_of,
) -> list[Predictions]:
    """Predict singing in recordings.

    ``normalization`` is mean and standard deviation of the bands. With ``hop`` 9, for a quick look, a frame
    has the prediction closest to it. ``frames_of`` gives the log-mel frames of a recording where they are
    kept.
    """
    mean, std = (np.asarray(each, np.float32) for each in normalization)
    silence = (np.float32(np.log(FLOOR)) - mean) / std
    run = segment_predictor(network)
    found = []
    for recording in recordings:
        bands = frames_of(recording)
        probabilities = predict(run, (bands - mean) / std, silence, hop)
        if hop != 1:
            nearest = np.rint(np.arange(len(bands)) / POOLING).astype(int)
            probabilities = probabilities[np.minimum(nearest, len(probabilities) - 1)]
        found.append(Predictions(recording, probabilities))
    return found
