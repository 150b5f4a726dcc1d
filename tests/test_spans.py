"""Longer spans: excerpts that overlap by half, cut from common frames or each computed by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actprobe.analyses.inversion.inverting.spans import cut_span
from actprobe.audio import Waveform
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd, MelgramFrontEnd, MmCnnFrontEnd, SvdFrontEnd


class Rows(FrontEnd):
    """A front end of one's own with the abstract methods alone: 4 frames of 10 samples, their mean twice."""

    name = "rows"
    sample_rate = 100
    frame_hop = frame_length = 10
    first_frame = 5
    example_samples = 40
    example_shape = (4, 2)

    def example_starts(self, samples: Any) -> Any:
        return np.arange(0, max(samples - 40, 0) + 1, 40)

    def examples(self, samples: Any) -> Any:
        samples = np.pad(samples, (0, max(0, 40 - len(samples))))
        pieces = np.stack([samples[start : start + 40] for start in self.example_starts(len(samples))])
        return np.repeat(pieces.reshape(-1, 4, 10).mean(axis=2)[..., np.newaxis], 2, axis=2)

    def band_edges_hz(self) -> Any:
        return np.arange(4.0)

    def constants(self) -> dict[str, Any]:
        return {}


def noise(seconds: float, rate: int) -> Waveform:
    samples = np.random.default_rng(0).standard_normal(round(seconds * rate))
    return Waveform((0.1 * samples).astype(np.float32), rate)


def test_a_front_end_of_ones_own_has_spans() -> None:
    waveform = noise(2, 100)
    span = cut_span(Rows(), waveform, 0.3, seconds=0.7)
    assert span.examples.shape == (3, 4, 2)
    assert span.offsets.tolist() == [0, 2, 3]
    expected = waveform.samples[30:100].reshape(7, 10).mean(axis=1)
    assert np.allclose(span.join(span.examples)[:, 0], expected, atol=1e-7)
    assert np.array_equal(span.samples, waveform.samples[30:100])
    assert cut_span(Rows(), waveform, 0.3).examples.shape == (1, 4, 2)


def test_windows_of_a_span_have_one_range_in_common() -> None:
    """What is cut off 80 dB under the peak is that of the whole span, not of each excerpt."""
    front_end = MmCnnFrontEnd(hop=5)
    waveform = noise(6, 12000)
    span = cut_span(front_end, waveform, 0.0, seconds=5.0)
    frames = front_end.frames(span.samples)
    assert len(span.examples) == 3
    assert np.array_equal(span.examples, np.stack([frames[i : i + 128] for i in span.offsets]))
    assert np.allclose(span.join(span.examples), frames, atol=1e-4)


def test_examples_that_are_standardised_alike_have_spans(tmp_path: Path) -> None:
    np.savez(tmp_path / "constants.npz", mean=-30.0, std=12.0)
    front_end = MelgramFrontEnd(tmp_path / "constants.npz")
    waveform = noise(33, 12000)
    span = cut_span(front_end, waveform, 0.0, seconds=31.0)
    assert len(span.examples) == 2
    offset = span.offsets[1]
    inner = slice(4, 1362 - offset)  # the ends of excerpts are mirrored
    assert np.allclose(span.examples[0, offset:][inner], span.examples[1][inner], atol=1e-3)


def test_excerpts_whose_values_mean_different_things_are_not_averaged(tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.zeros((96, 128)))
    waveform = noise(33, 12000)
    with pytest.raises(UsageError, match=r"longer spans need .* own mean and deviation: give constants"):
        cut_span(MelgramFrontEnd(), waveform, 0.0, seconds=31.0)
    front_end = MmCnnFrontEnd(tmp_path / "mean.npy")
    with pytest.raises(UsageError, match=r"longer spans need .* mean segment .*: ask for one excerpt"):
        cut_span(front_end, waveform, 0.0, seconds=5.0)
    assert len(cut_span(front_end, waveform, 0.0, seconds=1.0).examples) == 1


def test_one_excerpt_is_the_first_example_of_its_samples() -> None:
    front_end = SvdFrontEnd()
    span = cut_span(front_end, noise(3, 22050), 0.5)
    assert np.array_equal(span.examples, front_end.examples(span.samples))
