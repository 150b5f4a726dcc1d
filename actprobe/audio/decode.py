"""load_audio: any recording becomes a Waveform or an AudioError.

Which decoder "auto" takes:

- libsndfile (soundfile) for everything it can open except mp3;
- FFmpeg (PyAV) for mp3 and for everything else. libsndfile 1.2.2 ends an mp3 without a frame count where the
  first bit rate suggests it ends (4.2 s of a recording of 20 s), and its mp3 decoder prints on stderr.
"""

from __future__ import annotations

import math
import operator
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import soundfile

from actprobe.audio.collect import Collector, Undecodable
from actprobe.audio.containers import Header, read_header
from actprobe.audio.ffmpeg import read_pyav
from actprobe.audio.part import Part
from actprobe.audio.tfio import read_tfio
from actprobe.audio.wav import WavFormat, wide_blocks
from actprobe.audio.waveform import RESAMPLER, Source, Waveform
from actprobe.errors import AudioError, UsageError

DECODERS = ("auto", "soundfile", "pyav", "tfio")
CHANNELS = {"mean": None, "left": 0, "right": 1, "loudest": None}

LONGEST_SECONDS = 4 * 3600.0
MAX_PEAK = 64.0  # 36 dB over full scale; hot mp3 masters decode to 1.5, damaged ones to thousands
HIGHEST_SAMPLE_RATE_HZ = 768_000

# A decode may miss this much of what the header says without a word: encoder delay and padding of two frames.
SLACK_SECONDS = 0.1
WARN_BELOW = 0.98
REFUSE_BELOW = 0.5

# Unrelated channels lose nothing by this measure, and stereo of a correlation of -0.75 loses this much.
CANCELLED_DB = 6.0

NO_SAMPLES = "no audio samples"

_SAMPLES_PER_BLOCK = 2**18


def load_audio(
    path: str | os.PathLike[str],
    sample_rate: int | None = None,
    *,
    decoder: str = "auto",
    max_seconds: float = LONGEST_SECONDS,
    mono: str = "mean",
) -> Waveform:
    """Read a recording as a mono waveform.

    Parameters
    ----------
    path : str or os.PathLike
        The recording: wav, flac, ogg, mp3, m4a, wma, the sound track of an mp4 or webm, ...
    sample_rate : int, optional
        Wanted rate in Hz; by default the recording's own.
    decoder : str
        ``"auto"``, or one of ``"soundfile"``, ``"pyav"`` and ``"tfio"`` to use no other.
    max_seconds : float
        A longer recording is an error.
    mono : str
        ``"mean"`` of the channels, or the ``"left"``, the ``"right"`` or the ``"loudest"`` of them, for
        recordings whose channels cancel each other.

    Returns
    -------
    Waveform
        Mono, float32; its `source` has the file, the decoder and any warnings.

    Raises
    ------
    AudioError
        The file is missing, unreadable, empty or undecodable, holds no samples, NaN, infinity or absurd
        values, is too long, or ends before half of the length in its header.
    UsageError
        Unknown decoder or `mono`, or a rate or duration that is none.

    Examples
    --------
    >>> waveform = actprobe.load_audio("song.flac", sample_rate=16000)
    >>> waveform.sample_rate, round(waveform.seconds)
    (16000, 5)
    """
    name = os.fsdecode(path)
    sample_rate = _checked_rate(sample_rate)
    if decoder not in DECODERS:
        raise UsageError(f"unknown decoder {decoder!r}; there are: {', '.join(DECODERS)}")
    if mono not in CHANNELS:
        raise UsageError(f"mono={mono!r} is unknown; there are: {', '.join(CHANNELS)}")
    if not max_seconds > 0:
        raise UsageError(f"max_seconds={max_seconds} is not a duration in seconds")
    with _open(name) as stream:
        try:
            header = read_header(stream)
            blank = Collector(name, max_seconds, sample_rate, CHANNELS[mono])
            audio = _decode(stream, header, decoder, blank)
            if mono == "loudest":
                audio = _decode(stream, header, decoder, replace(blank, channel=audio.loudest_channel))
        except OSError as error:
            raise AudioError(name, (error.strerror or str(error)).lower()) from error
    source = Source(
        path=name,
        decoder=audio.decoder,
        container=audio.container,
        sample_rate=audio.sample_rate,
        channels=audio.channels,
        header_seconds=audio.header_seconds,
        resampler="" if {audio.kept_rate} == set(audio.rates) else RESAMPLER,
        warnings=tuple(audio.warnings),
        mono=mono,
    )
    waveform = Waveform(audio.samples, audio.kept_rate, source)
    if not len(waveform.samples):
        raise AudioError(name, f"{audio.frames} samples are too few to resample to {audio.kept_rate} Hz")
    return waveform


def _checked_rate(sample_rate: int | None) -> int | None:
    if sample_rate is None:
        return None
    try:
        rate = operator.index(sample_rate)
    except TypeError:
        rate = 0
    if isinstance(sample_rate, bool) or not 1 <= rate <= HIGHEST_SAMPLE_RATE_HZ:
        raise UsageError(
            f"sample_rate={sample_rate!r} is not a whole number of Hz from 1 to {HIGHEST_SAMPLE_RATE_HZ}"
        )
    return rate


def _open(name: str) -> BinaryIO:
    """Open a regular, non-empty file, or say why not."""
    try:
        # Looked at before it is opened: opening a pipe would wait for a writer.
        status = Path(name).stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(name, "is a directory")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(name, "is not a regular file")
        if not status.st_size:
            raise AudioError(name, "is empty (0 bytes)")
        # Unbuffered: libsndfile and Python move one position of the file, and a buffer would not know.
        return cast("BinaryIO", Path(name).open("rb", buffering=0))
    except FileNotFoundError as error:
        raise AudioError(name, "does not exist") from error
    except PermissionError as error:
        raise AudioError(name, "no permission to read it") from error
    except ValueError as error:
        raise AudioError(name, "has a null byte in its name") from error
    except OSError as error:
        raise AudioError(name, (error.strerror or str(error)).lower()) from error


def _decode(stream: BinaryIO, header: Header, decoder: str, blank: Collector) -> Collector:
    """Try the decoders that apply, in order; the first usable result wins."""
    trusted = "pyav" if header.is_mpeg else "soundfile"
    readers: dict[str, Callable[[Collector], None]] = {
        "soundfile": lambda into: _read_soundfile(stream, header, into),
        "pyav": lambda into: _read_parts(read_pyav, _parts(stream, header), into),
        "tfio": lambda into: read_tfio(stream, _decode(stream, header, trusted, blank), into),
    }
    if decoder != "auto":
        order = [decoder]
    elif header.is_mpeg:
        order = [trusted]
    else:
        order = ["soundfile", "pyav"]
    reasons: dict[str, str] = {}
    warnings: list[str] = []
    for each in order:
        audio = Collector(blank.path, blank.max_seconds, blank.wanted_rate, blank.channel)
        try:
            readers[each](audio)
            _check(audio, header)
        except Undecodable as error:
            reasons[each] = error.reason
            if header.container and error.reason != NO_SAMPLES:  # it knew the format and stumbled on the way
                warnings.append(f"Another decoder gave up on it ({each}: {error.reason}).")
            continue
        audio.warnings[:0] = warnings
        return audio
    if len(set(reasons.values())) == 1:
        raise AudioError(blank.path, next(iter(reasons.values())))
    raise AudioError(blank.path, "; ".join(f"{each}: {reason}" for each, reason in reasons.items()))


def _parts(stream: BinaryIO, header: Header) -> Sequence[BinaryIO | Part]:
    """Divide a file into what is decoded on its own: the links of an Ogg file, or what follows ID3 tags."""
    if len(header.links) > 1:
        return [Part(stream, link.start, link.end) for link in header.links]
    return [Part(stream, header.start, stream.seek(0, os.SEEK_END))] if header.start else [stream]


def _read_parts(
    read: Callable[[BinaryIO | Part, Collector], None], parts: Sequence[BinaryIO | Part], into: Collector
) -> None:
    """Decode the parts one after the other; one that cannot be decoded is left out while there are others."""
    failed = 0
    for number, part in enumerate(parts, 1):
        try:
            read(part, into)
        except Undecodable as error:  # noqa: PERF203  it is about this part
            failed += 1
            if failed == len(parts):
                raise
            into.warnings.append(f"Part {number} of {len(parts)} was not decoded ({error.reason}).")


def _read_wide(stream: BinaryIO, wav: WavFormat, into: Collector) -> None:
    into.container = f"WAV/PCM_{wav.bits}"
    into.start(wav.sample_rate, wav.channels)
    for block in wide_blocks(stream, wav):
        into.add(block)


def _read_soundfile(stream: BinaryIO, header: Header, into: Collector) -> None:
    into.decoder = f"soundfile {soundfile.__version__} (libsndfile {soundfile.__libsndfile_version__})"
    if header.reason:
        raise Undecodable(header.reason)
    if header.wav is not None and header.wav.is_wide:
        _read_wide(stream, header.wav, into)
    elif len(header.links) > 1:
        _read_parts(lambda part, into: _read_sndfile(part, header, into), _parts(stream, header), into)
    else:
        stream.seek(0)
        # libsndfile knows some mp3 files only by the ending of their names.
        by_name = header.is_mpeg and into.path.lower().endswith(".mp3")
        _read_sndfile(os.fsencode(into.path) if by_name else stream.fileno(), header, into)


def _read_sndfile(source: bytes | int | BinaryIO | Part, header: Header, into: Collector) -> None:
    held = header.wav.whole_frames if header.wav is not None else None
    left = math.inf if held is None else held
    try:
        with soundfile.SoundFile(source, closefd=False) as file:
            into.container = f"{file.format}/{file.subtype}"
            into.start(file.samplerate, file.channels)
            frames = max(1024, _SAMPLES_PER_BLOCK // file.channels)
            buffer = np.empty((frames, file.channels), dtype=np.float32)
            block = buffer
            while len(block) == frames and left > 0:  # a short block is the last one
                block = file.read(out=buffer)
                into.add(block[: int(min(left, len(block)))])
                left -= len(block)
            stopped_at_estimate = header.is_mpeg and header.seconds is None and into.frames == file.frames
    except soundfile.LibsndfileError as error:
        raise Undecodable(error.error_string.rstrip(". ")) from error
    if stopped_at_estimate:
        into.warnings.append(
            "The mp3 has no frame count and libsndfile stopped where it guessed the end, "
            f"at {into.seconds:.2f} s; the recording may be longer."
        )


def _check(audio: Collector, header: Header) -> None:
    """Judge a finished decode by its length and peak."""
    if not audio.frames:
        raise Undecodable(NO_SAMPLES)
    if header.seconds is not None:
        audio.header_seconds = header.seconds
    audio.warnings.extend(header.warnings)
    if len(set(audio.rates)) > 1:
        rates = ", ".join(map(str, dict.fromkeys(audio.rates)))
        audio.warnings.append(
            f"The sampling rate changes on the way ({rates} Hz): resampled to {audio.kept_rate} Hz."
        )
    lost = audio.cancelled_db
    if lost > CANCELLED_DB:
        audio.warnings.append(
            "The channels cancel each other: their mean is "
            + (f"{lost:.1f} dB below that of unrelated channels" if math.isfinite(lost) else "silent")
            + "; --mono=loudest (in Python mono='loudest') takes one of them."
        )
    promised, decoded = audio.header_seconds or 0.0, audio.seconds
    if promised - decoded > SLACK_SECONDS:
        if decoded < REFUSE_BELOW * promised:
            raise Undecodable(f"only {decoded:.2f} s of the {promised:.2f} s in its header could be decoded")
        if decoded < WARN_BELOW * promised:
            audio.warnings.append(f"Decoded {decoded:.2f} s of the {promised:.2f} s in its header.")
    if audio.peak > MAX_PEAK:
        floating = audio.container.endswith(("/FLOAT", "/DOUBLE", "/pcm_f32le", "/pcm_f64le"))
        hint = "unscaled integers?" if floating else "a damaged stream?"
        raise AudioError(audio.path, f"absurd peak of {audio.peak:.6g}, full scale is 1: {hint}")
