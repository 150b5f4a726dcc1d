"""Decoding with PyAV (FFmpeg): mp3, and all that libsndfile does not read."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from actprobe.audio.collect import Collector, Undecodable
from actprobe.audio.part import Part

# Demuxers of audio files and of common video files. Left out on purpose: everything that opens further files
# or addresses (hls, dash, concat, sdp, rtsp), pictures, devices, games, raw streams without a header.
DEMUXERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,loas,matroska,mlp,mov,mp3,mpc,mpc8,mpeg,mpegts,"
    "ogg,oma,rm,shn,tak,truehd,tta,voc,w64,wav,webm,wv,xwma"
)
OPTIONS = {"format_whitelist": DEMUXERS, "protocol_whitelist": "none"}
# Tags need not be UTF-8; PyAV takes them as they are since 19.
LENIENT: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}

# Demuxers that guess a duration from the file's size and first bit rate.
_ESTIMATING = {"aac", "ac3", "amr", "dts", "eac3", "loas", "mlp", "mp3", "mpeg", "mpegts", "truehd"}
_OWN_DURATION_PER_STREAM = {"mov,mp4,m4a,3gp,3g2,mj2"}

_FRAMES_PER_BLOCK = 65_536
_CHANGE = 3  # frames of another rate: fewer are damaged headers, so many in a row are a stream that follows
_LONGEST_FRAME = 2**22  # the longest of real codecs, Monkey's Audio, has 1,179,648 samples per channel

# NumPy type and full scale by sample format. FFmpeg's integers fill their type: 24 bits are the upper of 32.
_SAMPLES = {
    "u8": ("u1", 2.0**7),
    "s16": ("i2", 2.0**15),
    "s32": ("i4", 2.0**31),
    "s64": ("i8", 2.0**63),
    "flt": ("f4", 1.0),
    "dbl": ("f8", 1.0),
}


def read_pyav(stream: BinaryIO | Part, into: Collector) -> None:
    """Decode the best audio stream of a file; FFmpeg sees only the stream and opens nothing by itself.

    Broken packets are skipped where FFmpeg can go on, and noted in a warning. Where the sampling rate
    changes, as in MPEG streams put one after the other, the collector begins anew. `Undecodable` if FFmpeg
    cannot read it, or more than half of it is broken.
    """
    codecs = ".".join(map(str, av.library_versions["libavcodec"]))
    into.decoder = f"PyAV {av.__version__} (FFmpeg libavcodec {codecs})"
    stream.seek(0)
    try:
        with _open(stream) as container:
            audio = container.streams.best("audio")
            if audio is None:
                raise Undecodable("no audio stream")
            if audio.codec_context is None:
                raise Undecodable("FFmpeg has no decoder for its audio")
            into.container = f"{container.format.name}/{audio.codec_context.name}"
            if audio.codec_context.name == "flac":  # by default it hands out frames whose checksum is wrong
                audio.codec_context.options = {"err_detect": "crccheck+explode"}
            into.header_seconds = _promised_seconds(container, audio)
            _collect(container, audio, into)
    except (av.FFmpegError, OSError, ValueError, RuntimeError, LookupError, MemoryError) as error:
        raise Undecodable(_reason(error)) from error


class _Readable:
    """The three methods of a file that FFmpeg needs, with seeks out of range as an error code.

    PyAV prints the traceback of an exception in seek, and damaged headers do point before the start.
    """

    def __init__(self, stream: BinaryIO | Part) -> None:
        self.read, self.tell, self._seek = stream.read, stream.tell, stream.seek
        self.name = str(stream.name)  # the ending helps FFmpeg to tell formats apart

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, OverflowError):
            return -errno.EINVAL


def _open(stream: BinaryIO | Part) -> Any:
    try:
        return av.open(_Readable(stream), options=OPTIONS, **LENIENT)
    except av.ArgumentError as error:  # what FFmpeg says of a demuxer that is not in the list
        raise Undecodable("not an audio or video format that is read here") from error


def _promised_seconds(container: Any, audio: Any) -> float | None:
    name = container.format.name
    if name in _ESTIMATING:
        return None
    if container.streams.video and name not in _OWN_DURATION_PER_STREAM:
        return None  # the duration of the longest stream, or of the whole file
    if audio.duration:
        return float(audio.duration * audio.time_base)
    return float(container.duration / av.time_base) if container.duration else None


def _collect(container: Any, audio: Any, into: Collector) -> None:
    good = broken = pending_samples = 0
    pending: list[Any] = []
    for frame in _of_one_rate(_first_corrected(_frames(container, audio))):
        if frame is None:
            broken += 1
            continue
        good += 1
        if pending and (pending_samples >= _FRAMES_PER_BLOCK or _layout(frame) != _layout(pending[0])):
            _add(pending, into)
            pending, pending_samples = [], 0
        pending.append(frame)
        pending_samples += frame.samples
    if pending:
        _add(pending, into)
    if broken > good:
        raise Undecodable(f"{broken} of {good + broken} packets are broken")
    if broken:
        into.warnings.append(f"{broken} of {good + broken} packets are broken and were skipped.")


def _add(frames: list[Any], into: Collector) -> None:
    into.start(frames[0].sample_rate, frames[0].layout.nb_channels)
    into.add(_as_float(frames))


def _first_corrected(frames: Iterator[Any]) -> Iterator[Any]:
    """Give the first frame the rate of the next two.

    FFmpeg says of it what it found while it probed the file, which may be the rate of a later part.
    """
    head = list(itertools.islice(frames, 3))
    if len(head) == 3 and None not in head:
        first, second, third = head
        if second.sample_rate == third.sample_rate:
            first.sample_rate = second.sample_rate
    yield from head
    yield from frames


def _of_one_rate(frames: Iterator[Any]) -> Iterator[Any]:
    """Yield the frames that are some, and None for the others.

    Damaged headers give frames of absurd length, or a few of another rate. Of many in a row the rate has
    changed.
    """
    rate = 0
    others: list[Any] = []
    for frame in frames:
        if frame is None or frame.samples > _LONGEST_FRAME:
            yield None
            continue
        if frame.sample_rate in (rate, 0) or (others and frame.sample_rate != others[0].sample_rate):
            yield from [None] * len(others)
            others = []
        if not rate:
            rate = frame.sample_rate
        if frame.sample_rate == rate:
            yield frame
            continue
        others.append(frame)
        if len(others) == _CHANGE:
            rate = frame.sample_rate
            yield from others
            others = []
    yield from [None] * len(others)


def _frames(container: Any, audio: Any) -> Iterator[Any]:
    """Yield decoded frames, and None for each packet that could not be read or decoded."""
    packets = container.demux(audio)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.EOFError):
            return
        except av.FFmpegError:
            yield None
            return
        try:
            yield from packet.decode()
        except av.EOFError:
            return
        except av.FFmpegError:
            yield None


def _layout(frame: Any) -> tuple[str, int, int]:
    return frame.format.name, frame.layout.nb_channels, frame.sample_rate


def _as_float(frames: list[Any]) -> NDArray[np.float32]:
    """Return frames of one layout, one after the other, as float32 in [-1, 1), shape [frames, channels]."""
    name, channels, _ = _layout(frames[0])
    dtype, full_scale = _SAMPLES[name.removesuffix("p")]
    if frames[0].format.is_planar:
        planes = [
            np.concatenate([np.frombuffer(frame.planes[channel], dtype, frame.samples) for frame in frames])
            for channel in range(channels)
        ]
        values = np.stack(planes).T
    else:
        values = np.concatenate(
            [np.frombuffer(frame.planes[0], dtype, frame.samples * channels) for frame in frames]
        ).reshape(-1, channels)
    with np.errstate(over="ignore", invalid="ignore"):  # too large a double becomes infinity, found later
        samples: NDArray[np.float32] = values.astype(np.float32, copy=False)
    if full_scale != 1.0:
        samples -= np.float32(128 if dtype == "u1" else 0)
        samples /= np.float32(full_scale)
    return samples


def _reason(error: BaseException) -> str:
    if isinstance(error, av.EOFError):
        return "ends before any audio"
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(said).rstrip(". ")
