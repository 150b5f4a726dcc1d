"""Excerpts of the recordings that a page plays."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from absl import logging
from numpy.typing import NDArray

from actprobe.audio import load_audio
from actprobe.errors import AudioError
from actprobe.explorer.assets import Assets
from actprobe.provenance import ESCAPED

SAMPLE_RATE = 24000
LONGEST_SECONDS = 10.0
FADE_SECONDS = 0.01
BITRATE: dict[str, Any] = {"bitrate_mode": "CONSTANT", "compression_level": 0.8}
BYTES_PER_SECOND = 5100  # of that bit rate, 40 kbit/s

Excerpt = tuple[Path, float, float]


class Clips:
    """Cut excerpts out of recordings until a budget is spent.

    Parameters
    ----------
    assets : Assets
        Gets the folder ``audio``.
    budget_bytes : int
        Bytes that all excerpts together may take; 0 leaves sound out.
    """

    def __init__(self, assets: Assets, budget_bytes: int) -> None:
        self.folder = assets.folder / "audio"
        self.left = float(budget_bytes)

    def cut(self, wanted: Sequence[Excerpt]) -> dict[Excerpt, str]:
        """Cut excerpts, each once and ten seconds at most, the first wanted first where the budget is short.

        Gives excerpt -> path of the mp3 from the page. Excerpts beyond the budget and those of recordings
        that cannot be read are not in it.
        """
        chosen = []
        for excerpt in dict.fromkeys(wanted):
            seconds = min(excerpt[2] - excerpt[1], LONGEST_SECONDS)
            if 0 < seconds * BYTES_PER_SECOND <= self.left:
                self.left -= seconds * BYTES_PER_SECOND
                chosen.append(excerpt)
        if len(chosen) < len(set(wanted)):
            logging.info("%d of %d excerpts have room in the report", len(chosen), len(set(wanted)))
        made: dict[Excerpt, str] = {}
        for path, group in groupby(sorted(chosen), key=lambda excerpt: excerpt[0]):
            try:
                waveform = load_audio(path, SAMPLE_RATE)
            except AudioError as error:
                logging.warning("no excerpt: %s", error)
                continue
            for excerpt in group:
                made[excerpt] = self._write(waveform.samples, excerpt)
        return made

    def whole(self, path: Path) -> str | None:
        """Keep a short wav of a run as it is, without loss: path of the flac from the page, or None."""
        samples, rate = soundfile.read(path, dtype="int16")
        data = io.BytesIO()
        soundfile.write(data, samples, rate, format="FLAC", subtype="PCM_16")
        if data.tell() > self.left:
            return None
        self.left -= data.tell()
        self.folder.mkdir(exist_ok=True)
        target = self.folder / f"{hashlib.sha256(data.getvalue()).hexdigest()[:16]}.flac"
        target.write_bytes(data.getvalue())
        return f"assets/audio/{target.name}"

    def _write(self, samples: NDArray[np.float32], excerpt: Excerpt) -> str:
        path, start, end = excerpt
        first = max(0, round(start * SAMPLE_RATE))
        part = samples[first : first + round(min(end - start, LONGEST_SECONDS) * SAMPLE_RATE)].copy()
        fade = min(len(part) // 2, round(FADE_SECONDS * SAMPLE_RATE))
        if fade:
            ramp = np.linspace(0, 1, fade, dtype=np.float32)
            part[:fade] *= ramp
            part[-fade:] *= ramp[::-1]
        self.folder.mkdir(exist_ok=True)
        digest = hashlib.sha256(f"{path} {first} {len(part)}".encode("utf-8", ESCAPED)).hexdigest()[:16]
        target = self.folder / f"{digest}.mp3"
        soundfile.write(target, part, SAMPLE_RATE, format="MP3", **BITRATE)
        return f"assets/audio/{target.name}"
