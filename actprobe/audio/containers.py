"""What a recording's own header says, asked without decoding and without believing it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import BinaryIO

import soundfile

from actprobe.audio.ogg import Link, read_links
from actprobe.audio.wav import WavFormat, read_wav_format

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
# What files with ID3 tags begin with that are no mp3: the tag is older than most of them allow.
_OTHER_AUDIO = (
    *(
        b"fLaC",
        b"RIFF",
        b"RIFX",
        b"RF64",
        b"FORM",
        b"OggS",
        b"wvpk",
        b"MAC ",
        b"MPCK",
        b"MP+",
        b"TTA1",
        b"TTA2",
    ),
    *(b"tBaK", b"ajkg", b"caff", b".snd", b"DSD ", b"FRM8", b"\x1a\x45\xdf\xa3", b"\x30\x26\xb2\x75"),
    *(b"\x0b\x77", b"\x7f\xfe\x80\x01"),
)

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
    start : int
        Where the ID3v2 tags at the beginning end.
    links : tuple of Link
        The parts of an Ogg file, one after the other; empty for other files.
    wav : WavFormat or None
        The format of a RIFF/WAVE.
    """

    is_mpeg: bool = False
    container: str = ""
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    reason: str = ""
    start: int = 0
    links: tuple[Link, ...] = ()
    wav: WavFormat | None = None


def read_header(stream: BinaryIO) -> Header:
    """Read what a file claims about itself; the position of the stream is changed."""
    start = _after_id3(stream)
    stream.seek(start)
    head = stream.read(4096)
    if _is_mpeg(head, tagged=start > 0):
        return Header(is_mpeg=True, seconds=_mpeg_seconds(head))
    if head[:4] == b"OggS":
        return _ogg_header(stream, _sndfile_header(stream))
    wav = read_wav_format(stream)
    header = replace(_sndfile_header(stream), start=start, wav=wav)
    if wav is None or wav.claimed_frames is None or not wav.sample_rate:
        return header
    return replace(header, seconds=wav.claimed_frames / wav.sample_rate or None)


def _sndfile_header(stream: BinaryIO) -> Header:
    stream.seek(0)
    try:
        with soundfile.SoundFile(stream.fileno(), closefd=False) as file:
            container = f"{file.format}/{file.subtype}"
            frames = _claimed_frames(file)
            seconds = frames / file.samplerate if 0 < frames < UNKNOWN_FRAMES else None
    except soundfile.LibsndfileError as error:
        return Header(reason=error.error_string.rstrip(". "))
    return Header(container=container, seconds=seconds)


def _ogg_header(stream: BinaryIO, header: Header) -> Header:
    """Say of an Ogg file what its pages say; libsndfile believes the last page that is there."""
    links = tuple(read_links(stream))
    known = [link.seconds for link in links]
    seconds = sum(each for each in known if each is not None)
    damaged, missing = sum(link.damaged for link in links), sum(link.missing for link in links)
    warnings = []
    if damaged + missing:
        warnings.append(f"Pages of the Ogg stream are damaged ({damaged}) or missing ({missing}).")
    if links and not links[-1].ended:
        cut = "ends inside its end page" if links[-1].cut else "has no end page"
        warnings.append(f"The Ogg stream {cut}: it was probably cut off.")
    return replace(header, seconds=seconds or None, warnings=tuple(warnings), links=links)


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
    return tagged and not head.startswith(_OTHER_AUDIO) and head[4:8] != b"ftyp"


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
