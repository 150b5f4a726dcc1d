"""The audio room: any file ends in a Waveform or an AudioError, and the waveform is right."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from audio_support import source_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from actprobe import backend
from actprobe.audio import RESAMPLER, Source, Waveform, as_waveform, load_audio
from actprobe.audio.containers import read_header
from actprobe.audio.ffmpeg import DEMUXERS
from actprobe.errors import ActprobeError, AudioError, UsageError

RATE = 44_100
SECONDS = 1.0


def sine(frequency: float, *, rate: int = RATE, seconds: float = SECONDS, level: float = 0.5) -> NDArray[Any]:
    values: NDArray[Any] = level * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)
    return values


def stereo(seconds: float = SECONDS) -> NDArray[Any]:
    return np.stack([sine(440, seconds=seconds), sine(1000, seconds=seconds, level=0.3)], axis=1)


def encoded(samples: NDArray[Any], container: str, codec: str, rate: int = RATE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=codec, **options)
    return buffer.getvalue()


def muxed(
    path: Path, codec: str, samples: NDArray[Any], *, rate: int = 48_000, video: str | None = None
) -> Path:
    """Encode mono samples by PyAV, with one second of grey pictures per second of video if asked."""
    with av.open(str(path), "w") as container:
        audio = container.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(audio, av.AudioStream)
        audio.bit_rate = 128_000
        if video:
            pictures = container.add_stream(video, rate=5)
            assert isinstance(pictures, av.VideoStream)
            pictures.width = pictures.height = 64
            pictures.pix_fmt = "yuv420p"
            for index in range(20):
                picture = av.VideoFrame.from_ndarray(np.full((96, 64), 128, np.uint8), "yuv420p")
                picture.pts, picture.time_base = index, Fraction(1, 5)
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode())
        resampler = av.AudioResampler(
            format=audio.format, layout="mono", rate=rate, frame_size=audio.frame_size
        )
        block = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], "fltp", "mono")
        block.sample_rate, block.pts, block.time_base = rate, 0, Fraction(1, rate)
        for frame in [*resampler.resample(block), *resampler.resample(None)]:
            container.mux(audio.encode(frame))
        container.mux(audio.encode())
    return path


def strongest_hz(waveform: Waveform) -> float:
    spectrum = np.abs(np.fft.rfft(waveform.samples * np.hanning(len(waveform.samples))))
    return float(np.argmax(spectrum) * waveform.sample_rate / len(waveform.samples))


def without_first_frame(mp3: bytes) -> bytes:
    """Drop the frame that holds the Xing header."""
    at = 4
    while mp3[at : at + 2] != mp3[:2]:
        at += 1
    return mp3[at:]


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# --- What is read

PCM = [
    ("WAV", "PCM_U8", 2 / 2**7),
    ("WAV", "PCM_16", 2 / 2**15),
    ("WAV", "PCM_24", 2 / 2**23),
    ("WAV", "PCM_32", 1e-7),
    ("WAV", "FLOAT", 1e-7),
    ("WAV", "DOUBLE", 1e-7),
    ("AIFF", "PCM_24", 2 / 2**23),
    ("FLAC", "PCM_16", 2 / 2**15),
    ("FLAC", "PCM_24", 2 / 2**23),
]
LOSSY = [("OGG", "VORBIS", 0.05), ("OGG", "OPUS", 0.05), ("MP3", "MPEG_LAYER_III", 0.05)]


@pytest.mark.parametrize("decoder", ["auto", "soundfile", "pyav"])
@pytest.mark.parametrize(("container", "codec", "tolerance"), PCM + LOSSY)
def test_samples_are_the_channel_mean(
    tmp_path: Path, container: Any, codec: Any, tolerance: Any, decoder: str
) -> None:
    rate = 48_000
    samples = np.stack([sine(440, rate=rate), sine(1000, rate=rate, level=0.3)], axis=1)
    path = write(tmp_path / f"a.{container.lower()}", encoded(samples, container, codec, rate))
    waveform = load_audio(path, decoder=decoder)
    assert waveform.samples.dtype == np.float32
    assert waveform.sample_rate == source_of(waveform).sample_rate == rate
    assert source_of(waveform).channels == 2
    assert source_of(waveform).warnings == ()
    length = min(len(waveform.samples), len(samples))
    assert abs(len(waveform.samples) - len(samples)) <= (1000 if codec == "OPUS" else 0)
    error = np.abs(waveform.samples[:length] - samples[:length].mean(axis=1))
    assert error[length // 10 : -length // 10].max() < tolerance


@pytest.mark.parametrize("codec", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_pyav_scales_as_soundfile_does(tmp_path: Path, codec: str) -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (5000, 2))
    path = write(tmp_path / "a.wav", encoded(noise, "WAV", codec))
    np.testing.assert_array_equal(load_audio(path, decoder="pyav").samples, load_audio(path).samples)


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_any_number_of_channels(tmp_path: Path, channels: int) -> None:
    samples = np.random.default_rng(channels).uniform(-0.9, 0.9, (300_000, channels)).astype(np.float32)
    path = write(tmp_path / "a.wav", encoded(samples, "WAV", "FLOAT"))
    waveform = load_audio(path)
    assert source_of(waveform).channels == channels
    np.testing.assert_allclose(waveform.samples, samples.mean(axis=1), atol=2e-7)


@pytest.mark.parametrize(
    ("name", "codec", "video"),
    [
        ("a.m4a", "aac", None),
        ("a.mp4", "aac", "mpeg4"),
        ("a.webm", "libopus", "libvpx"),
        ("a.wma", "wmav2", None),
        ("a.mka", "flac", None),
        ("a.aac", "aac", None),
        ("a.mp3", "libmp3lame", None),
    ],
)
def test_what_libsndfile_does_not_read_comes_from_ffmpeg(
    tmp_path: Path, name: str, codec: str, video: str | None
) -> None:
    path = muxed(tmp_path / name, codec, sine(1000, rate=48_000, seconds=2), video=video)
    waveform = load_audio(path, 22_050)
    assert source_of(waveform).decoder.startswith(f"PyAV {av.__version__} (FFmpeg libavcodec ")
    assert waveform.seconds == pytest.approx(2, abs=0.06)
    assert strongest_hz(waveform) == pytest.approx(1000, abs=2)
    assert np.sqrt(np.mean(waveform.samples[2000:-4000] ** 2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.06)
    assert source_of(waveform).warnings == ()


def test_mp3_without_frame_count_is_read_to_its_end(tmp_path: Path) -> None:
    """libsndfile ends it where the bit rate at its beginning suggests: it would lose most of this one."""
    noise = np.random.default_rng(0).normal(0, 0.2, 5 * RATE)
    samples = np.concatenate([noise, np.zeros(5 * RATE)])
    mp3 = encoded(samples, "MP3", "MPEG_LAYER_III", bitrate_mode="VARIABLE", compression_level=0.5)
    path = write(tmp_path / "a.mp3", without_first_frame(mp3))
    assert load_audio(path).seconds == pytest.approx(10, abs=0.1)
    assert source_of(load_audio(path)).warnings == ()
    shortened = load_audio(path, decoder="soundfile")
    assert shortened.seconds < 9
    assert "libsndfile stopped where it guessed the end" in source_of(shortened).warnings[0]


def test_source_says_where_samples_come_from(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", encoded(stereo(), "FLAC", "PCM_16"))
    version = soundfile.__libsndfile_version__
    assert load_audio(path, 16_000).source == Source(
        path=str(path),
        decoder=f"soundfile {soundfile.__version__} (libsndfile {version})",
        container="FLAC/PCM_16",
        sample_rate=RATE,
        channels=2,
        header_seconds=SECONDS,
        resampler=RESAMPLER,
        warnings=(),
    )
    assert source_of(load_audio(path)).resampler == ""


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    path = write(tmp_path / os.fsdecode(b"\xff\xe9.wav"), encoded(stereo(), "WAV", "PCM_16"))
    assert load_audio(path).seconds == SECONDS
    assert load_audio(str(path), decoder="pyav").seconds == SECONDS


# --- Resampling


@pytest.mark.parametrize("native", [8_000, 16_000, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("wanted", [12_000, 16_000, 22_050])
def test_resampling_keeps_pitch_level_and_length(tmp_path: Path, native: int, wanted: int) -> None:
    path = write(tmp_path / "a.wav", encoded(sine(1000, rate=native, seconds=2), "WAV", "FLOAT", native))
    waveform = load_audio(path, wanted)
    assert waveform.sample_rate == wanted
    assert len(waveform.samples) == pytest.approx(2 * wanted, abs=1)
    assert strongest_hz(waveform) == pytest.approx(1000, abs=1)
    middle = waveform.samples[wanted // 10 : -wanted // 10]
    np.testing.assert_allclose(
        middle, sine(1000, rate=wanted, seconds=2)[wanted // 10 :][: len(middle)], atol=1e-3
    )


def test_resampling_lets_nothing_alias(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", encoded(sine(15_000), "WAV", "FLOAT"))
    assert np.abs(load_audio(path, 22_050).samples[1000:-1000]).max() < 1e-4


def test_own_rate_is_kept_and_costs_nothing() -> None:
    waveform = Waveform(np.zeros(10, np.float32), 8_000)
    assert waveform.resample(8_000) is waveform
    with pytest.raises(ValueError, match="not a rate"):
        waveform.resample(0)


@pytest.mark.parametrize("rate", [0, -1, 22_050.0, "22050", True, 10**9])
def test_rates_that_are_none(tmp_path: Path, rate: Any) -> None:
    path = write(tmp_path / "a.wav", encoded(stereo(), "WAV", "PCM_16"))
    with pytest.raises(UsageError, match="sample_rate"):
        load_audio(path, rate)


def test_numpy_integers_are_rates(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", encoded(stereo(), "WAV", "PCM_16"))
    rate: Any = np.int64(8_000)
    assert load_audio(path, rate).sample_rate == 8_000


def test_other_wrong_usage(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", encoded(stereo(), "WAV", "PCM_16"))
    with pytest.raises(UsageError, match="there are: auto, soundfile, pyav, tfio"):
        load_audio(path, decoder="ffmpeg")
    with pytest.raises(UsageError, match="max_seconds"):
        load_audio(path, max_seconds=0)


# --- Waveform


def test_waveform_figures() -> None:
    waveform = as_waveform([0.0, -0.25, 0.125], 2)
    assert waveform.samples.dtype == np.float32
    assert (waveform.seconds, waveform.peak, waveform.is_silent) == (1.5, 0.25, False)
    assert as_waveform(np.full(4, 1e-6), 4).is_silent
    assert as_waveform(waveform, 2) is waveform


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        ([0.0], None, "need their sample_rate"),
        ([0.0], 0, "not a rate"),
        ([[0.0, 0.0]], 1, "must be mono"),
        (np.zeros(3, np.int16), 1, "floating point"),
        ([np.nan], 1, "NaN or infinity"),
        (Waveform(np.zeros(1, np.float32), 2), 1, "contradicts"),
    ],
)
def test_as_waveform_refuses(samples: Any, rate: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_waveform(samples, rate)


# --- What is refused, and why


def refusal(path: Path | str, **options: Any) -> str:
    with pytest.raises(AudioError) as caught:
        load_audio(path, 22_050, **options)
    assert caught.value.path == str(path)
    assert "\n" not in caught.value.reason
    return caught.value.reason


def test_missing_directory_empty_and_special_files(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.wav") == "does not exist"
    assert refusal(tmp_path) == "is a directory"
    assert refusal(write(tmp_path / "empty.wav", b"")) == "is empty (0 bytes)"
    os.mkfifo(tmp_path / "pipe.wav")
    assert refusal(tmp_path / "pipe.wav") == "is not a regular file"
    assert refusal("/dev/zero") == "is not a regular file"
    assert refusal("a\0.wav") == "has a null byte in its name"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.wav", encoded(stereo(), "WAV", "PCM_16"))

    def refuse(*_args: Any, **_options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # a mode of 0 does not stop the superuser
    assert refusal(path) == "no permission to read it"


@pytest.mark.parametrize(("container", "codec"), [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("AIFF", "PCM_16")])
def test_no_samples(tmp_path: Path, container: str, codec: str) -> None:
    path = write(tmp_path / "a.wav", encoded(np.zeros((0, 2)), container, codec))
    assert "no audio samples" in refusal(path)


def test_too_few_samples_to_resample(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", encoded(np.array([0.5]), "WAV", "PCM_16", 48_000))
    assert load_audio(path).seconds == 1 / 48_000
    assert "too few" in refusal(path)


@pytest.mark.parametrize("name", ["notes.wav", "notes.mp3", "notes.flac", "notes.m4a", "notes.raw", "notes"])
def test_text_is_not_audio_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b"Take 3 was the good one.\n" * 40)
    assert refusal(path).startswith("soundfile: Format not recognised; pyav: ")
    assert refusal(path, decoder="soundfile") == "Format not recognised"


@pytest.mark.parametrize("codec", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("decoder", ["auto", "pyav"])
def test_nan_and_infinity(tmp_path: Path, codec: str, value: Any, decoder: str) -> None:
    samples = stereo()
    samples[RATE // 2, 1] = value
    path = write(tmp_path / "a.wav", encoded(samples, "WAV", codec))
    assert "NaN or infinity" in refusal(path, decoder=decoder)


def test_doubles_beyond_float32(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", encoded(np.full(100, 1e300), "WAV", "DOUBLE"))
    assert "NaN or infinity" in refusal(path)
    assert "NaN or infinity" in refusal(path, decoder="pyav")


def test_unscaled_integers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", encoded(sine(440, level=32_768), "WAV", "FLOAT"))
    assert refusal(path) == "absurd peak of 32768, full scale is 1: unscaled integers?"
    hot = write(tmp_path / "hot.wav", encoded(sine(440, level=4), "WAV", "FLOAT"))
    assert load_audio(hot).peak == pytest.approx(4, rel=1e-3)


def test_longer_than_allowed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", encoded(stereo(), "WAV", "PCM_16"))
    assert refusal(path, max_seconds=0.5) == "longer than max_seconds=0.5"
    assert refusal(path, max_seconds=0.5, decoder="pyav") == "longer than max_seconds=0.5"
    assert load_audio(path, max_seconds=SECONDS).seconds == SECONDS


@pytest.mark.parametrize("rate", [3, 2**31 - 1])
def test_absurd_rates(tmp_path: Path, rate: Any) -> None:
    path = write(tmp_path / "a.wav", encoded(stereo(), "WAV", "PCM_16", rate))
    assert refusal(path) == f"absurd sample rate of {rate} Hz"


# --- Headers that promise more than there is

TRUNCATED = [
    ("WAV", "PCM_16"),
    ("WAV", "FLOAT"),
    ("WAV", "MS_ADPCM"),
    ("WAVEX", "PCM_24"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("AU", "PCM_16"),
    ("FLAC", "PCM_16"),
    ("MP3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize(("container", "codec"), TRUNCATED)
def test_truncation_warns_and_then_refuses(tmp_path: Path, container: Any, codec: Any) -> None:
    whole = encoded(stereo(4), container, codec)
    path = write(tmp_path / "a.bin", whole[: len(whole) * 3 // 4])
    waveform = load_audio(path)
    assert 2.5 < waveform.seconds < 3.4
    assert source_of(waveform).header_seconds == pytest.approx(4, abs=0.1)
    (warning,) = [each for each in source_of(waveform).warnings if "header" in each]
    assert warning.startswith(
        f"Decoded {waveform.seconds:.2f} s of the {source_of(waveform).header_seconds:.2f} s"
    )
    reason = refusal(write(tmp_path / "b.bin", whole[: len(whole) * 2 // 5]))
    assert "in its header could be decoded" in reason


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_ogg_without_its_last_page_warns(tmp_path: Path, codec: str) -> None:
    """An Ogg header promises no duration: what tells a truncated one is the missing end page."""
    whole = encoded(np.random.default_rng(0).normal(0, 0.2, (48_000 * 8, 2)), "OGG", codec, 48_000)
    assert source_of(load_audio(write(tmp_path / "a.ogg", whole))).warnings == ()
    waveform = load_audio(write(tmp_path / "b.ogg", whole[: len(whole) // 2]))
    assert 1 < waveform.seconds < 6
    assert source_of(waveform).warnings[0] == "The Ogg stream has no end page: it was probably cut off."


@pytest.mark.parametrize("decoder", ["auto", "soundfile", "pyav"])
def test_header_that_claims_a_trillion_frames(tmp_path: Path, decoder: str) -> None:
    """Memory is what was decoded, not what was claimed: at most 50 MB above here."""
    data = bytearray(encoded(stereo(), "RF64", "PCM_16"))
    at = data.index(b"ds64") + 8
    data[at : at + 8] = (4 * 2**40 + 72).to_bytes(8, "little")
    data[at + 8 : at + 16] = (4 * 2**40).to_bytes(8, "little")
    data[at + 16 : at + 24] = (2**40).to_bytes(8, "little")
    path = write(tmp_path / "a.wav", bytes(data))
    tracemalloc.start()
    try:
        assert re.match(r"only 1\.00 s of the 249\d{5}\.\d\d s in its header", refusal(path, decoder=decoder))
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [0, 0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("decoder", ["auto", "pyav"])
def test_sizes_that_streaming_writers_leave_are_no_promise(tmp_path: Path, size: int, decoder: str) -> None:
    data = bytearray(encoded(stereo(), "WAV", "PCM_16"))
    at = data.index(b"data") + 4
    data[at : at + 4] = size.to_bytes(4, "little")
    data[4:8] = min(size + 36, 0xFFFFFFFF).to_bytes(4, "little")
    waveform = load_audio(write(tmp_path / "a.wav", bytes(data)), decoder=decoder)
    assert waveform.seconds == SECONDS
    assert source_of(waveform).warnings == ()


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_frame_count_is_read(tmp_path: Path, mode: str, rate: int, channels: int) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (rate * 3, channels))
    mp3 = encoded(samples, "MP3", "MPEG_LAYER_III", rate, bitrate_mode=mode)
    tag = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
    for data in (mp3, tag + mp3, tag + tag + mp3):
        path = write(tmp_path / "a.mp3", data)
        with path.open("rb") as stream:
            assert read_header(stream).seconds == pytest.approx(3, abs=1e-6)
        assert source_of(load_audio(path)).warnings == ()
    with write(path, without_first_frame(mp3)).open("rb") as stream:
        header = read_header(stream)
    assert (header.is_mpeg, header.seconds) == (True, None)


def test_broken_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.2, 8 * RATE)
    flac = bytearray(encoded(samples, "FLAC", "PCM_16"))
    for place in range(len(flac) // 3, len(flac) // 3 + 4000, 400):
        flac[place] ^= 0xFF
    waveform = load_audio(write(tmp_path / "a.flac", bytes(flac)))
    assert 7 < waveform.seconds < 8
    assert source_of(waveform).decoder.startswith("PyAV")
    gave_up, skipped, _ = source_of(waveform).warnings
    assert gave_up.startswith("Another decoder gave up on it (soundfile: ")
    assert re.match(r"\d+ of \d+ packets are broken and were skipped", skipped)
    for place in range(len(flac) // 10, len(flac), 1000):
        flac[place] ^= 0xFF
    assert "broken" in refusal(write(tmp_path / "b.flac", bytes(flac)))


# --- Files made to harm


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{target}'\n",
        "[playlist]\nFile1={target}\nNumberOfEntries=1\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        '<?xml version="1.0"?><MPD><Period><BaseURL>{target}</BaseURL></Period></MPD>',
    ],
)
@pytest.mark.parametrize("ending", [".wav", ".m3u8", ".mp3", ".ffconcat"])
def test_playlists_open_no_other_file(tmp_path: Path, playlist: str, ending: str) -> None:
    target = write(tmp_path / "target.wav", encoded(stereo(), "WAV", "PCM_16"))
    assert load_audio(target).seconds == SECONDS
    for name in (str(target), f"file:{target}"):
        path = write(tmp_path / f"list{ending}", playlist.format(target=name).encode())
        for decoder in ("auto", "pyav"):
            assert refusal(path, decoder=decoder).endswith(
                ("Invalid data found when processing input", "not an audio or video format that is read here")
            )


def test_demuxers_that_open_more_are_not_allowed() -> None:
    assert not {"hls", "dash", "concat", "sdp", "rtsp", "image2", "tee", "lavfi", "imf"} & set(
        DEMUXERS.split(",")
    )


GOOD = {
    "wav": encoded(stereo(), "WAV", "PCM_16"),
    "float": encoded(stereo(), "WAV", "FLOAT"),
    "flac": encoded(stereo(), "FLAC", "PCM_16"),
    "ogg": encoded(stereo(), "OGG", "VORBIS"),
    "mp3": encoded(stereo(), "MP3", "MPEG_LAYER_III"),
}
UNHURRIED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def waveform_or_reason(path: Path, decoder: str) -> None:
    try:
        waveform = load_audio(path, 22_050, decoder=decoder)
    except AudioError:
        return
    assert len(waveform.samples)
    assert np.isfinite(waveform.samples).all()


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
@UNHURRIED
@given(
    data=st.binary(min_size=1, max_size=600),
    head=st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3\x04", b"\xff\xfb"]),
)
def test_random_bytes_end_well(tmp_path: Path, decoder: str, data: Any, head: Any) -> None:
    waveform_or_reason(write(tmp_path / "a.wav", head + data), decoder)


@pytest.mark.parametrize("kind", list(GOOD))
@UNHURRIED
@given(data=st.data())
def test_damaged_files_end_well(tmp_path: Path, kind: Any, data: Any) -> None:
    damaged = bytearray(GOOD[kind])
    # Half of the damage goes where the headers are.
    place = st.integers(0, 300) | st.integers(0, len(damaged) - 1)
    for at, bit in data.draw(st.lists(st.tuples(place, st.integers(0, 7)), min_size=1, max_size=12)):
        damaged[at] ^= 1 << bit
    keep = data.draw(st.just(len(damaged)) | st.integers(1, len(damaged)))
    waveform_or_reason(
        write(tmp_path / f"a.{kind}", bytes(damaged[:keep])), data.draw(st.sampled_from(["auto", "pyav"]))
    )


def test_headers_that_point_out_of_the_file_are_met_in_silence(tmp_path: Path, capfd: Any) -> None:
    """PyAV prints the traceback of a seek that fails; the size of the fmt chunk leads to one here."""
    data = bytearray(encoded(stereo(), "W64", "PCM_16"))
    data[56] = 0xFF
    refusal(write(tmp_path / "a.w64", bytes(data)))
    assert capfd.readouterr() == ("", "")


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"a.{kind}", data) for kind, data in GOOD.items()]
    paths.append(muxed(tmp_path / "a.m4a", "aac", sine(440, rate=48_000)))
    alone = [load_audio(path, 22_050).samples for path in paths]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda path: load_audio(path, 22_050).samples, paths * 8))
    for number, samples in enumerate(together):
        np.testing.assert_array_equal(samples, alone[number % len(paths)])


# --- Recordings as they are found

WALK = """
import json, pathlib, re, sys, time
from actprobe.audio import load_audio
from actprobe.errors import AudioError
folder, decoder = sys.argv[1:]
def peak_kilobytes():  # getrusage would count the process that started this one, too
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])
if decoder == "tfio":
    from actprobe import backend
    backend.tfio.audio.decode_wav  # loads tensorflow and tensorflow-io, which are not what is measured
before = peak_kilobytes() if decoder == "tfio" else 0
results = {}
for path in sorted(pathlib.Path(folder).iterdir()):
    start = time.process_time()
    try:
        waveform = load_audio(path, 22050, decoder=decoder)
        outcome = [waveform.seconds, list(waveform.source.warnings)]
    except AudioError as error:
        outcome = error.reason
    results[path.name] = [outcome, time.process_time() - start]
print(json.dumps({"peak_kilobytes": peak_kilobytes() - before, "results": results}))
"""


def needs_tfio() -> Any:
    try:
        return backend.tfio
    except ActprobeError as error:
        pytest.skip(f"tensorflow-io is not to be had here: {error}")


@pytest.mark.parametrize("decoder", ["auto", "pyav", "tfio"])
def test_awkward_recordings(assets: Path, decoder: str) -> None:
    """Every file of the folder, one after the other in one process of its own.

    Each takes at most 5 s of processor time; the process ends by itself, with an empty stderr, and its
    largest resident size stays under 1 GiB (for tfio: over and above TensorFlow).
    """
    if decoder == "tfio":
        needs_tfio()
    folder = assets / "audio/awkward"
    process = subprocess.run(
        [sys.executable, "-c", WALK, folder, decoder],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (process.returncode, process.stderr) == (0, "")
    report = json.loads(process.stdout)
    assert set(report["results"]) == {path.name for path in folder.iterdir()}
    assert report["peak_kilobytes"] < 2**20
    assert max(seconds for _, seconds in report["results"].values()) < 5
    outcomes = {name: outcome for name, (outcome, _) in report["results"].items()}
    usable = {name for name, outcome in outcomes.items() if not isinstance(outcome, str)}
    if decoder != "tfio":
        assert {name for name in outcomes if "__valid_" in name or name.startswith("pedalboa")} <= usable
        assert {
            "mutagen__ep7.m4b",
            "mutagen__silence-2.wma",
            "mutagen__empty.spx",
            "mutagen__mac-396.ape",
        } <= usable
    assert "mutagen__no-tags.flac" in usable
    assert outcomes["sonic-pi__empty.wav"] == "is empty (0 bytes)"
    assert outcomes["sonic-pi__no_samples.wav"] == "no audio samples"
    assert "202.80 s in its header" in outcomes["mutagen__52-too-short-block-size.flac"] or decoder == "tfio"


def test_healthy_recordings_give_no_warnings(assets: Path) -> None:
    folders = ["annotated", "vocal", "instrumental", "percussive", "instruments"]
    endings = {".wav", ".flac", ".mp3", ".ogg"}
    paths = [
        path for each in folders for path in (assets / "audio" / each).iterdir() if path.suffix in endings
    ]
    paths += sorted((assets / "audio/MIR-1K/Wavfile").iterdir())[::40]
    assert len(paths) > 200
    assert {path.name: source_of(load_audio(path)).warnings for path in paths} == {
        path.name: () for path in paths
    }


# --- tensorflow-io


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("WAV", "PCM_U8"),
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "FLOAT"),
        ("WAVEX", "PCM_24"),
        ("FLAC", "PCM_S8"),
        ("FLAC", "PCM_16"),
        ("FLAC", "PCM_24"),
        ("OGG", "VORBIS"),
        ("MP3", "MPEG_LAYER_III"),
    ],
)
def test_tfio_agrees_with_soundfile(tmp_path: Path, container: str, codec: str) -> None:
    needs_tfio()
    path = write(tmp_path / "a.bin", encoded(stereo(), container, codec))
    waveform = load_audio(path, decoder="tfio")
    reference = load_audio(path, decoder="soundfile")
    assert source_of(waveform).decoder.startswith("tensorflow-io 0.")
    assert (waveform.sample_rate, source_of(waveform).channels, source_of(waveform).warnings) == (RATE, 2, ())
    tolerance = 2e-6 if container in ("OGG", "MP3") else 0
    np.testing.assert_allclose(waveform.samples, reference.samples, rtol=0, atol=tolerance)


@pytest.mark.parametrize("codec", ["PCM_32", "DOUBLE", "ULAW"])
def test_tfio_is_not_asked_for_what_it_gets_wrong(tmp_path: Path, codec: str) -> None:
    needs_tfio()
    path = write(tmp_path / "a.wav", encoded(stereo(), "WAV", codec))
    assert refusal(path, decoder="tfio") == f"tensorflow-io does not decode WAV/{codec} right"


def test_tfio_is_not_given_files_that_crash_it(tmp_path: Path) -> None:
    """A wrong block size makes it write past its buffer; libsndfile does not mind one."""
    needs_tfio()
    data = bytearray(GOOD["wav"])
    data[32] = 6
    path = write(tmp_path / "a.wav", bytes(data))
    assert load_audio(path).seconds == SECONDS
    assert "sizes in the wav disagree" in refusal(path, decoder="tfio")
    cut = write(tmp_path / "b.mp3", GOOD["mp3"][: len(GOOD["mp3"]) * 3 // 4])
    assert source_of(load_audio(cut)).warnings
    assert "can crash on damage: Decoded 0." in refusal(cut, decoder="tfio")


def test_without_tfio_only_tfio_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ActprobeError("tensorflow-io does not load here (undefined symbol)")

    monkeypatch.setitem(backend._LOADERS, "tfio", missing)
    monkeypatch.delitem(backend._loaded, "tfio", raising=False)
    path = write(tmp_path / "a.wav", GOOD["wav"])
    with pytest.raises(ActprobeError, match="does not load here"):
        load_audio(path, decoder="tfio")
    assert load_audio(path).seconds == SECONDS
