"""Samples of long recordings lie in temporary files, and nothing computed of them copies them whole."""

import errno
import mmap
import os
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import soundfile

from actprobe import load_audio, scratch
from actprobe.audio import Waveform
from actprobe.batch.prepare import prepare_recording
from actprobe.corpora import Recording
from actprobe.errors import AudioError
from actprobe.features import compute_scalars, framing, get_feature, separation
from actprobe.frontends import (
    FrameFrontEnd,
    FrontEnd,
    LogMelFrontEnd,
    MelgramFrontEnd,
    MmCnnFrontEnd,
    SvdFrontEnd,
    WaveformFrontEnd,
)
from actprobe.frontends.basic_pitch import BasicPitchFrontEnd
from actprobe.frontends.crepe import CrepeFrontEnd
from actprobe.workers.messages import receive, send

# The others track beats and melodies in the whole of a recording at once.
IN_BLOCKS = (
    "loudness", "rms", "onset_rate", "hpcp_entropy", "pitch_salience", "spectral_centroid",
    "spectral_bandwidth", "spectral_flux", "zero_crossing_rate", "harmonic_ratio",
)  # fmt: skip
RATE = 22050


def sound(seconds: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * RATE)) / RATE
    tone = 0.3 * np.sin(2 * np.pi * 440 * time) * (time % 0.5 < 0.3)
    return np.asarray(tone + 0.01 * rng.standard_normal(len(time)), np.float32)


def memory_of(samples: np.ndarray[Any, Any]) -> Any:
    return samples.base.obj if isinstance(samples.base, memoryview) else samples.base


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def written(seconds: float) -> Path:
        path = tmp_path / f"{seconds:g}.wav"
        soundfile.write(path, sound(seconds), RATE, subtype="FLOAT")
        return path

    return written


@pytest.mark.parametrize("sample_rate", [None, 16000])
def test_samples_are_the_same_in_memory_and_in_a_file(
    write: Any, monkeypatch: pytest.MonkeyPatch, sample_rate: int | None
) -> None:
    held = load_audio(write(20), sample_rate)
    monkeypatch.setattr(scratch, "HELD_BYTES", 100_000)
    found = load_audio(write(20), sample_rate)
    assert isinstance(memory_of(found.samples), mmap.mmap)
    assert isinstance(memory_of(held.samples), bytearray)
    np.testing.assert_array_equal(found.samples, held.samples)
    assert (found.peak, found.seconds) == (held.peak, held.seconds)


def test_what_is_written_into_samples_stays_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "HELD_BYTES", 100_000)
    growing = scratch.GrowingSamples()
    growing.add(sound(5))
    first = growing.array()
    first[:] = 0
    np.testing.assert_array_equal(growing.array(), sound(5))


def test_a_disk_without_room_is_an_error_of_that_recording(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "HELD_BYTES", 100_000)

    class Full:
        def write(self, data: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    with pytest.raises(
        AudioError, match=r"its samples do not go into a temporary file \(no space left on device\); TMPDIR"
    ):
        load_audio(write(20))


@pytest.mark.parametrize("size", [1, 2**24, 2**24 + 1, 2**25 + 12])
@pytest.mark.parametrize("held", [0, 2**27])
def test_large_arrays_go_to_another_process_through_files(
    monkeypatch: pytest.MonkeyPatch, held: int, size: int
) -> None:
    monkeypatch.setattr(scratch, "HELD_BYTES", held)
    array = np.arange(size, dtype=np.uint32).view(np.uint8)[:size]
    here, there = Pipe()
    sender = Thread(target=send, args=(here, {"a": array, "b": 3}))
    sender.start()
    found = receive(there)
    sender.join()
    np.testing.assert_array_equal(found["a"], array)
    assert found["b"] == 3
    found["a"][0] = 7  # writable


def test_a_disk_without_room_leaves_what_is_received_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "HELD_BYTES", 0)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    assert isinstance(scratch.buffer(10), bytearray)


@pytest.mark.parametrize("feature", IN_BLOCKS)
def test_blocks_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch, feature: str) -> None:
    waveform = Waveform(sound(20), RATE)
    whole = compute_scalars(waveform, [feature])
    monkeypatch.setattr(framing, "BLOCK_SAMPLES", 10_007)
    monkeypatch.setattr(framing, "BLOCK_FRAMES", 13)
    assert compute_scalars(waveform, [feature])[feature] == pytest.approx(whole[feature], rel=1e-6)


@pytest.mark.parametrize("feature", IN_BLOCKS)
def test_memory_does_not_grow_with_the_recording(
    write: Any, monkeypatch: pytest.MonkeyPatch, feature: str
) -> None:
    """A minute more is 10.6 MB at 44.1 kHz."""
    monkeypatch.setattr(scratch, "HELD_BYTES", 100_000)
    monkeypatch.setattr("actprobe.batch.prepare.HELD_SECONDS", 1.0)
    monkeypatch.setattr(framing, "BLOCK_SAMPLES", 2**16)
    monkeypatch.setattr(framing, "BLOCK_FRAMES", 2**7)
    monkeypatch.setattr(separation, "BLOCK_FRAMES", 2**7)
    frontend = LogMelFrontEnd(sample_rate=16000, n_fft=512, hop_length=160, n_mels=40, frames=50, hop=50)
    peaks = {}
    for seconds in (20, 20, 80):  # what is loaded and compiled by the first is not counted
        recording = Recording("a.wav", write(seconds))
        tracemalloc.start()
        try:
            row = prepare_recording(recording, frontend, [get_feature(feature)]).row
            peaks[seconds] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert np.isfinite(row.features[feature])
    assert peaks[80] < peaks[20] + 2e6


FRONTENDS: dict[str, Callable[[], FrontEnd]] = {
    "log_mel": LogMelFrontEnd,
    "log_mel under the peak": lambda: LogMelFrontEnd(log="db", ref="max", pad_mode="reflect"),
    "svd": lambda: SvdFrontEnd(hop=115),
    "mm_cnn": MmCnnFrontEnd,
    "melgram": MelgramFrontEnd,
    "waveform": lambda: WaveformFrontEnd(16000, 8000),
    "crepe": CrepeFrontEnd,
    "basic_pitch": BasicPitchFrontEnd,
}


@pytest.mark.parametrize("name", FRONTENDS)
def test_examples_of_long_recordings_lie_in_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    front_end = FRONTENDS[name]()
    long, short = (Waveform(sound(seconds), RATE).resample(front_end.sample_rate) for seconds in (60, 30))
    held = front_end.examples(long.samples)
    monkeypatch.setattr(scratch, "HELD_BYTES", 50_000)
    at_once = "frames_at_once" if isinstance(front_end, FrameFrontEnd) else "segments_at_once"
    monkeypatch.setattr(front_end, at_once, 64 if at_once == "frames_at_once" else 1)
    np.testing.assert_allclose(front_end.examples(long.samples), held, atol=1e-5)
    peaks = []
    for waveform in (short, long):
        tracemalloc.start()
        try:
            front_end.examples(waveform.samples)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[1] < peaks[0] + 0.1 * held.nbytes


def test_waveforms_are_cut_without_tensorflow() -> None:
    code = (
        "import sys, numpy as np; from actprobe.frontends import WaveformFrontEnd; "
        "print(WaveformFrontEnd(8, 4)(np.ones(8), 8).shape, 'tensorflow' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "(2, 4, 1) False\n"
