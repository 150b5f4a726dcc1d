"""load_audio: any recording becomes a Waveform or an AudioError.

Which decoder "auto" takes:

- libsndfile (soundfile) for everything it can open except mp3;
- FFmpeg (PyAV) for mp3 and for everything else. libsndfile 1.2.2 ends an mp3 without a frame count where the
  first bit rate suggests it ends (4.2 s of a recording of 20 s), and its mp3 decoder prints on stderr.
"""

from __future__ import annotations

import operator
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from actprobe.audio.collect import Collector, Undecodable
from actprobe.audio.containers import Header, read_header
from actprobe.audio.ffmpeg import read_pyav
from actprobe.audio.tfio import read_tfio
from actprobe.audio.waveform import Source, Waveform
from actprobe.errors import AudioError, UsageError

DECODERS = ("auto", "soundfile", "pyav", "tfio")

MAX_PEAK = 64.0  # 36 dB over full scale; hot mp3 masters decode to 1.5, damaged ones to thousands
HIGHEST_SAMPLE_RATE_HZ = 768_000

# A decode may miss this much of what the header says without a word: encoder delay and padding of two frames.
SLACK_SECONDS = 0.1
WARN_BELOW = 0.98
REFUSE_BELOW = 0.5

NO_SAMPLES = "no audio samples"

_SAMPLES_PER_BLOCK = 2**18


def load_audio(
    path: str | os.PathLike[str],
    sample_rate: int | None = None,
    *,
    decoder: str = "auto",
    max_seconds: float = 4 * 3600,
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

    Returns
    -------
    Waveform
        The mean of the channels, float32; its `source` says what was read, by what, and any warnings.

    Raises
    ------
    AudioError
        The file is missing, unreadable, empty or undecodable, holds no samples, NaN, infinity or absurd
        values, is too long, or ends before half of what its header says.
    UsageError
        Unknown decoder, or a rate or duration that is none.

    Examples
    --------
    >>> waveform = actprobe.load_audio("recording.flac", sample_rate=22050)  # doctest: +SKIP
    >>> waveform.seconds  # doctest: +SKIP
    30.0
    """
    name = os.fsdecode(path)
    sample_rate = _checked_rate(sample_rate)
    if decoder not in DECODERS:
        raise UsageError(f"unknown decoder {decoder!r}; there are: {', '.join(DECODERS)}")
    if not max_seconds > 0:
        raise UsageError(f"max_seconds={max_seconds} is not a duration in seconds")
    with _open(name) as stream:
        try:
            header = read_header(stream)
            audio = _decode(stream, header, decoder, Collector(name, max_seconds))
        except OSError as error:
            raise AudioError(name, (error.strerror or str(error)).lower()) from error
    source = Source(
        path=name,
        decoder=audio.decoder,
        container=audio.container,
        sample_rate=audio.sample_rate,
        channels=audio.channels,
        header_seconds=audio.header_seconds,
        warnings=tuple(audio.warnings),
    )
    waveform = Waveform(audio.samples, audio.sample_rate, source)
    if sample_rate is not None:
        waveform = waveform.resample(sample_rate)
        if not len(waveform.samples):
            raise AudioError(name, f"{audio.frames} samples are too few to resample to {sample_rate} Hz")
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
        return Path(name).open("rb")
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
        "pyav": lambda into: read_pyav(stream, into),
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
        audio = Collector(blank.path, blank.max_seconds)
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


def _read_soundfile(stream: BinaryIO, header: Header, into: Collector) -> None:
    into.decoder = f"soundfile {soundfile.__version__} (libsndfile {soundfile.__libsndfile_version__})"
    if header.reason:
        raise Undecodable(header.reason)
    stream.seek(0)
    # libsndfile knows some mp3 files only by the ending of their names.
    by_name = header.is_mpeg and into.path.lower().endswith(".mp3")
    file_or_name = os.fsencode(into.path) if by_name else stream.fileno()
    try:
        with soundfile.SoundFile(file_or_name, closefd=False) as file:
            into.container = f"{file.format}/{file.subtype}"
            into.start(file.samplerate, file.channels)
            frames = max(1024, _SAMPLES_PER_BLOCK // file.channels)
            buffer = np.empty((frames, file.channels), dtype=np.float32)
            block = buffer
            while len(block) == frames:  # a short block is the last one
                block = file.read(out=buffer)
                into.add(block)
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
