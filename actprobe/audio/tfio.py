"""Decoding by tensorflow-io's ops, for those who decode inside a TensorFlow graph."""

from __future__ import annotations

import importlib.metadata
import re
import struct
from typing import BinaryIO

import numpy as np

from actprobe import backend
from actprobe.audio.collect import Collector, Undecodable

# What tensorflow-io 0.37.1 decodes right, and the type it insists on. It knows no other wav than these, and
# reads 32-bit integers as floats without a word.
_DTYPES = {
    "WAV/PCM_U8": "uint8",
    "WAV/PCM_16": "int16",
    "WAV/PCM_24": "int32",
    "WAV/FLOAT": "float32",
    "WAVEX/PCM_U8": "uint8",
    "WAVEX/PCM_16": "int16",
    "WAVEX/PCM_24": "int32",
    "WAVEX/FLOAT": "float32",
    "FLAC/PCM_S8": "uint8",
    "FLAC/PCM_16": "int16",
    "FLAC/PCM_24": "int32",
    "OGG/VORBIS": "float32",
    "mp3/mp3float": "float32",
}
_DAMAGED = "not given to tensorflow-io, which can crash on damage: "
_FRAMES_PER_BLOCK = 2**18


def read_tfio(stream: BinaryIO, reference: Collector, into: Collector) -> None:
    """Decode wav, flac, mp3 or Ogg Vorbis with tensorflow-io.

    Its decoders end the process on some damaged files, so another decoder has to have read the file first:
    rate, channels and format are taken from its `reference`.

    Raises
    ------
    Undecodable
        A format that tensorflow-io does not decode right, a damaged file, or a result of another shape.
    ActprobeError
        tensorflow-io is not installed or does not load.
    """
    dtype = _DTYPES.get(reference.container)
    if dtype is None:
        raise Undecodable(f"tensorflow-io does not decode {reference.container} right")
    if reference.warnings:
        raise Undecodable(_DAMAGED + reference.warnings[0])
    audio, tf = backend.tfio.audio, backend.tf
    into.decoder = f"tensorflow-io {importlib.metadata.version('tensorflow-io')}"
    into.container = reference.container
    into.header_seconds = reference.header_seconds
    into.start(reference.sample_rate, reference.channels)
    stream.seek(0)
    data = stream.read()
    kind = reference.container.partition("/")[0]
    if kind in ("WAV", "WAVEX") and not _is_plain_wav(data):
        raise Undecodable(_DAMAGED + "the sizes in the wav disagree")
    try:
        with tf.device("CPU:0"):
            if kind in ("WAV", "WAVEX"):
                decoded = audio.decode_wav(data, dtype=tf.as_dtype(dtype))
            elif kind == "FLAC":
                decoded = audio.decode_flac(data, dtype=tf.as_dtype(dtype))
            elif kind == "OGG":
                decoded = audio.decode_vorbis(data)
            else:
                decoded = audio.decode_mp3(data)
        values = decoded.numpy()
    except (tf.errors.OpError, ValueError) as error:
        said = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]", "", str(error).splitlines()[0]).strip()
        raise Undecodable(f"tensorflow-io: {said}") from error
    if values.ndim != 2 or values.shape[1] != reference.channels:
        raise Undecodable(f"tensorflow-io finds {list(values.shape)}, not {reference.channels} channels")
    if len(values) != reference.frames:
        into.warnings.append(
            f"tensorflow-io decodes {len(values)} frames, {reference.decoder} decodes {reference.frames}."
        )
    centre = 128 if dtype == "uint8" else 0
    full_scale = 1.0 if dtype == "float32" else float(2 ** (8 * values.dtype.itemsize - 1))
    for start in range(0, len(values), _FRAMES_PER_BLOCK):
        block = values[start : start + _FRAMES_PER_BLOCK].astype(np.float32)
        into.add((block - np.float32(centre)) / np.float32(full_scale))


def _is_plain_wav(data: bytes) -> bool:
    """Whether tensorflow-io's walk over the chunks ends where the file ends.

    It believes the block size and the chunk sizes, writes past its buffer where they lie, and forgets the
    padding byte after a chunk of odd size.
    """
    size = len(data)
    block = 0
    if size < 44 or data[:4] != b"RIFF" or int.from_bytes(data[4:8], "little") + 8 != size:
        return False
    position, has_format = 12, False
    while position < size:
        if position + 8 > size:
            return False
        chunk_size = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"fmt ":
            _, channels, _, _, block, bits = struct.unpack_from("<HHIIHH", data, position + 8)
            if chunk_size not in (16, 18, 40) or not channels or 8 * block != channels * bits:
                return False
            has_format = True
        elif data[position : position + 4] == b"data" and (not has_format or chunk_size % block):
            return False
        position += 8 + chunk_size + (0 if has_format else chunk_size % 2)
    return has_format and position == size
