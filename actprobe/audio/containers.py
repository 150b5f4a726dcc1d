"""What a recording's own header says, asked without decoding and without believing it."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import BinaryIO

import soundfile

UNKNOWN_FRAMES = 2**62  # libsndfile's SF_COUNT_MAX is 2**63 - 1

# Outermost size that libsndfile found too large for the file, as its log words it, by format.
_SIZE_LINE = {
    "WAV": r"data",
    "WAVEX": r"data",
    "AIFF": r"SSND",
    "AU": r"Data Size",
    "W64": r"riff",
    "RF64": r"Riff size",
}
_MOST_ID3_TAGS = 16  # real files have one, rarely two
_LARGEST_OGG_PAGE = 65_307  # RFC 3533, section 6

# ISO 11172-3 and 13818-3, table of sampling frequencies; MPEG 2.5 halves once more.
_MPEG1_RATES = (44_100, 48_000, 32_000)


@dataclass(frozen=True)
class Header:
    """What the beginning (and, for Ogg, the end) of a file says.

    Parameters
    ----------
    is_mpeg : bool
        MPEG audio (mp3) or ADTS (aac) by its first bytes.
    container : str
        libsndfile's names for container and codec, such as ``WAV/PCM_16``; empty where libsndfile
        cannot open the file or was not asked.
    seconds : float or None
        Duration that the header promises; None where it promises none, which an estimate from the bit
        rate does not count as.
    warnings : tuple of str
        One sentence each.
    reason : str
        Why libsndfile cannot open the file; empty when it can.
    """

    is_mpeg: bool = False
    container: str = ""
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    reason: str = ""


def read_header(stream: BinaryIO) -> Header:
    """Read what a file claims about itself; the position of the stream is changed."""
    start = _after_id3(stream)
    stream.seek(start)
    head = stream.read(4096)
    if _is_mpeg(head, tagged=start > 0):
        return Header(is_mpeg=True, seconds=_mpeg_seconds(head))
    stream.seek(0)
    try:
        with soundfile.SoundFile(stream.fileno(), closefd=False) as file:
            container = f"{file.format}/{file.subtype}"
            frames = _claimed_frames(file)
            seconds = frames / file.samplerate if 0 < frames < UNKNOWN_FRAMES else None
            is_ogg = file.format == "OGG"
    except soundfile.LibsndfileError as error:
        return Header(reason=error.error_string.rstrip(". "))
    if not is_ogg:
        return Header(container=container, seconds=seconds)
    # What an Ogg file says of its duration is the position of the last page that is there.
    warnings = () if _has_ogg_end(stream) else ("The Ogg stream has no end page: it was probably cut off.",)
    return Header(container=container, warnings=warnings)


def _after_id3(stream: BinaryIO) -> int:
    """Return where the ID3v2 tags at the beginning end (id3.org, ID3v2.4.0 structure, section 3.1)."""
    start = 0
    for _ in range(_MOST_ID3_TAGS):
        stream.seek(start)
        tag = stream.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3" or max(tag[6:]) > 127:
            break
        footer = 10 if tag[5] & 0x10 else 0
        start += 10 + (tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]) + footer
    return start


def _is_mpeg(head: bytes, *, tagged: bool) -> bool:
    if len(head) >= 4 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return True
    return tagged and head[:4] not in (b"fLaC", b"RIFF", b"RIFX", b"RF64", b"FORM", b"OggS")


def _mpeg_seconds(head: bytes) -> float | None:
    """Return the duration in the Xing, Info or VBRI frame of an mp3, where it has one."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2 or head[2] & 0x0C == 0x0C:
        return None  # not MPEG layer 3
    version = head[1] >> 3 & 3  # 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5
    if version == 1:
        return None
    mono = head[3] >> 6 == 3
    rate = _MPEG1_RATES[head[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[version]
    side_information = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    samples_per_frame = 1152 if version == 3 else 576

    def number(at: int, size: int) -> int:
        return int.from_bytes(head[at : at + size], "big")

    xing = 4 + side_information
    if head[xing : xing + 4] in (b"Xing", b"Info"):
        flags = number(xing + 4, 4)
        frames = number(xing + 8, 4) if flags & 1 else 0
        # Frames, bytes, table of contents and quality are each there or not; the encoder's name follows.
        encoder = xing + 8 + sum(size for bit, size in enumerate((4, 4, 100, 4)) if flags >> bit & 1)
        known = head[encoder : encoder + 4] in (b"LAME", b"Lavf", b"Lavc")
        delay_and_padding = number(encoder + 21, 3) if known else 0
        trimmed = (delay_and_padding >> 12) + (delay_and_padding & 0xFFF)
        return max(frames * samples_per_frame - trimmed, 0) / rate or None
    if head[36:40] == b"VBRI":
        return number(50, 4) * samples_per_frame / rate or None
    return None


def _claimed_frames(file: soundfile.SoundFile) -> float:
    """Return the frames that the header claims; libsndfile itself cuts them to what the file can hold."""
    label = _SIZE_LINE.get(file.format)
    found = label and re.search(rf"^\s*{label}\s*: (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if not found:
        return float(file.frames)
    claimed, held = int(found[1]), int(found[2])
    # Writers that cannot seek back leave 0, -1 or the largest signed size, some less a header.
    placeholder = claimed == 0 or claimed >= 0xFFFFF000 or 0x7FFFF000 <= claimed <= 0x7FFFFFFF
    if (placeholder and claimed <= 0xFFFFFFFF) or not held:
        return float(file.frames)
    return float(file.frames) * claimed / held


def _has_ogg_end(stream: BinaryIO) -> bool:
    with contextlib.suppress(OSError):
        end = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, end - 4 * _LARGEST_OGG_PAGE))
        tail = stream.read()
        page = tail.rfind(b"OggS")
        return page >= 0 and len(tail) > page + 5 and bool(tail[page + 5] & 0x04)
    return True
