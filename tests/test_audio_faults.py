"""Sound that decoders lose or spoil without a word: all of it comes out, or the source says so."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_support import source_of
from numpy.typing import NDArray

from actprobe.audio import load_audio
from actprobe.errors import AudioError, UsageError

RATE = 48_000


def sine(seconds: float, rate: int = RATE, frequency: float = 440.0) -> NDArray[Any]:
    values: NDArray[Any] = 0.5 * np.sin(2 * np.pi * frequency * np.arange(int(rate * seconds)) / rate)
    return values


def encoded(samples: NDArray[Any], container: str, codec: str, rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=codec)
    return buffer.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def level(samples: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


def pages(ogg: bytes) -> list[int]:
    found, at = [], ogg.find(b"OggS")
    while at >= 0:
        found.append(at)
        at = ogg.find(b"OggS", at + 4)
    return found


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_every_link_of_a_chained_ogg_is_decoded(tmp_path: Path, codec: str, decoder: str) -> None:
    links = [encoded(sine(seconds), "OGG", codec) for seconds in (2, 1, 3)]
    waveform = load_audio(write(tmp_path / "a.ogg", b"".join(links)), decoder=decoder)
    assert waveform.seconds == pytest.approx(6, abs=0.1)
    assert source_of(waveform).header_seconds == pytest.approx(6, abs=0.05)
    assert source_of(waveform).warnings == ()


def test_links_of_other_rates_are_resampled(tmp_path: Path) -> None:
    data = encoded(sine(2), "OGG", "VORBIS") + encoded(sine(2, 22_050), "OGG", "VORBIS", 22_050)
    waveform = load_audio(write(tmp_path / "a.ogg", data))
    assert waveform.seconds == pytest.approx(4, abs=0.01)
    assert "The sampling rate changes on the way (48000, 22050 Hz)" in source_of(waveform).warnings[0]
    assert level(waveform.samples[-RATE:]) == pytest.approx(level(waveform.samples[:RATE]), rel=0.05)


@pytest.mark.parametrize("codec", ["VORBIS", "OPUS"])
def test_damaged_pages_of_an_ogg_are_counted(tmp_path: Path, codec: str) -> None:
    ogg = bytearray(encoded(np.random.default_rng(0).normal(0, 0.2, RATE * 8), "OGG", codec))
    places = pages(bytes(ogg))
    for at in places[len(places) // 2 : len(places) // 2 + 2]:
        ogg[at + 200] ^= 0xFF
    waveform = load_audio(write(tmp_path / "a.ogg", bytes(ogg)))
    assert "Pages of the Ogg stream are damaged (2) or missing (0)." in source_of(waveform).warnings
    for at in places[3:-1]:
        ogg[at + 300] ^= 0xFF
    with pytest.raises(AudioError, match=r"s of the 8\.0\d s in its header could be decoded"):
        load_audio(write(tmp_path / "b.ogg", bytes(ogg)))


def test_an_ogg_cut_inside_its_end_page_says_so(tmp_path: Path) -> None:
    ogg = encoded(np.random.default_rng(0).normal(0, 0.2, RATE * 2), "OGG", "VORBIS")
    waveform = load_audio(write(tmp_path / "a.ogg", ogg[: (pages(ogg)[-1] + len(ogg)) // 2 + 100]))
    assert (
        source_of(waveform).warnings[0] == "The Ogg stream ends inside its end page: it was probably cut off."
    )
    assert source_of(waveform).header_seconds == pytest.approx(2, abs=0.01)


@pytest.mark.parametrize(("first", "second"), [(44_100, 22_050), (22_050, 44_100)])
@pytest.mark.parametrize("seconds", [(2.0, 2.0), (0.5, 2.0)])
def test_mpeg_streams_one_after_the_other_lose_nothing(
    tmp_path: Path, first: int, second: int, seconds: tuple[float, float]
) -> None:
    parts = zip((first, second), seconds, strict=True)
    data = b"".join(encoded(sine(long, rate), "MP3", "MPEG_LAYER_III", rate) for rate, long in parts)
    waveform = load_audio(write(tmp_path / "a.mp3", data))
    assert source_of(waveform).sample_rate == first
    assert waveform.seconds == pytest.approx(sum(seconds), abs=0.2)
    assert f"changes on the way ({first}, {second} Hz)" in source_of(waveform).warnings[-1]


@pytest.mark.parametrize("upper", [True, False])
@pytest.mark.parametrize("bits", [16, 24])
def test_samples_in_wider_containers_keep_their_level(tmp_path: Path, bits: int, upper: bool) -> None:
    """As arecord writes S24_LE; which bytes are to spare is not in the header."""
    values = np.round(np.stack([sine(1), 0.5 * sine(1)], axis=1) * 2 ** (bits - 1)).astype("<i4")
    data = (values if upper else values << (32 - bits)).astype("<i4").tobytes()
    head = struct.pack("<HHIIHH", 1, 2, RATE, RATE * 8, 8, bits)
    chunks = b"fmt " + struct.pack("<I", 16) + head + b"data" + struct.pack("<I", len(data)) + data
    path = write(tmp_path / "a.wav", b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    waveform = load_audio(path)
    np.testing.assert_allclose(waveform.samples, 0.75 * sine(1), atol=2 / 2 ** (bits - 1))
    assert source_of(waveform).warnings == ()


@pytest.mark.parametrize("blocks", [3, 4, 5])
def test_gsm_ends_with_its_last_whole_block(tmp_path: Path, blocks: int) -> None:
    wav = bytearray(encoded(sine(1, 8_000), "WAV", "GSM610", 8_000))
    at = wav.find(b"data") + 8
    wav[at - 4 : at] = struct.pack("<I", 65 * blocks)
    data = bytes(wav[: at + 65 * blocks]) + bytes(blocks % 2)
    path = write(tmp_path / "a.wav", data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
    assert load_audio(path).seconds == pytest.approx(blocks * 0.04)


def test_id3_tags_before_other_formats(tmp_path: Path) -> None:
    tag = b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)
    for name, container, codec in (("a.flac", "FLAC", "PCM_16"), ("a.wav", "WAV", "PCM_16")):
        path = write(tmp_path / name, tag + encoded(sine(1), container, codec))
        assert load_audio(path, decoder="pyav").seconds == 1


@pytest.mark.parametrize(("share", "warned"), [(1.0, True), (0.9, True), (0.0, False), (-1.0, False)])
def test_channels_that_cancel_each_other_are_named(tmp_path: Path, share: float, warned: bool) -> None:
    left = sine(1)
    path = write(tmp_path / "a.wav", encoded(np.stack([left, -share * left], axis=1), "WAV", "FLOAT"))
    warnings = source_of(load_audio(path)).warnings
    assert any("cancel each other" in each for each in warnings) == warned
    np.testing.assert_allclose(load_audio(path, mono="left").samples, left, atol=1e-6)
    np.testing.assert_allclose(load_audio(path, mono="right").samples, -share * left, atol=1e-6)
    assert level(load_audio(path, mono="loudest").samples) == pytest.approx(level(left), rel=1e-3)
    with pytest.raises(UsageError, match="mono='side' is unknown; there are: mean, left, right, loudest"):
        load_audio(path, mono="side")


def test_resampling_while_decoding_is_resampling_afterwards(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.wav", encoded(np.random.default_rng(0).normal(0, 0.1, 900_000), "WAV", "FLOAT")
    )
    whole = load_audio(path).resample(22_050).samples
    np.testing.assert_array_equal(load_audio(path, 22_050).samples, whole)
