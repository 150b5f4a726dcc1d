"""What a training may add to its corpus: recordings without singing, of a voice alone, and synthetic ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actprobe.corpora.corpus import with_mono
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_folders import open_voiceless_folder, open_voices_folder
from actprobe.corpora.phantom import write_phantom
from actprobe.corpora.phantom_singing import open_phantom

PHANTOM_SEED = 18  # of recordings to train on: other seeds are left to try the result by


@dataclass(frozen=True)
class Further:
    """Recordings that a training adds; those of a split are known by `LabelledRecording.split`.

    ``voiceless``: without singing; ``voices``: of a voice alone, or synthetic with their stems.
    """

    voiceless: list[LabelledRecording]
    voices: list[LabelledRecording]


def open_further(
    voiceless: Sequence[str | Path],
    voices: Sequence[str | Path],
    phantom: int,
    folder: Path,
    mono: str,
) -> Further:
    """Open folders of recordings and render synthetic ones.

    ``phantom`` synthetic recordings are written to ``folder``/phantom, with `PHANTOM_SEED`. ``mono`` is what
    is read of several channels. CorpusError: there is nothing in a folder.
    """
    synthetic = []
    if phantom:
        manifest = write_phantom(folder / "phantom", recordings=phantom, seed=PHANTOM_SEED, stems=True)
        synthetic = open_phantom(manifest.parent)
    return Further(
        [each for one in voiceless for each in with_mono(open_voiceless_folder(one), mono)],
        [*(each for one in voices for each in with_mono(open_voices_folder(one), mono)), *synthetic],
    )
