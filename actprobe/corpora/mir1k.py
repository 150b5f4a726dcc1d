"""MIR-1K: a thousand karaoke clips with the singing voice on a channel of its own.

Origin: Chao-Ling Hsu and Jyh-Shing Roger Jang, "On the improvement of singing voice separation for monaural
recordings using the MIR-1K dataset", IEEE Transactions on Audio, Speech and Language Processing 18(2), 2010;
http://mirlab.org/dataset/public/MIR-1K.zip. Size: 1000 clips of 4 to 13 s (133 minutes), 16 kHz, stereo, cut
from 110 Chinese pop songs sung by 19 amateurs. Licence: none is stated; its authors offer it for research.

Layout: ``Wavfile/NAME.wav`` (or ``.flac``, ``.ogg``), LEFT the accompaniment and RIGHT the voice;
``vocal-nonvocalLabel/NAME.vocal`` with one number a line, 1 where somebody sings; NAME is SINGER_SONG_CLIP.

What a line of ``.vocal`` covers: frames of 40 ms every 20 ms, so that line i (from 0) is centred at
20 (i + 1) ms and there are floor(N / 320) - 1 lines for N samples. Measured: the energy of the voice channel
agrees best with the labels at that offset (AUC 0.979 at 20 ms, 0.976 at 10 ms, 0.965 at 0 ms).
Most gaps are short: 85 % of those within a clip are under 200 ms (consonants, quick breaths), a fifth of all
frames labelled as not sung; `LabelledRecording.close_gaps` closes them.

Splits go by singer, since several clips are of one song and linked singers share lyrics.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from actprobe.corpora import labelled
from actprobe.corpora.folder import MEAN
from actprobe.corpora.label_files import read_text
from actprobe.corpora.labelled import LabelledRecording, Stems
from actprobe.errors import AudioError, CorpusError

VALID_SINGERS = ("abjones", "ariel", "stool")
TEST_SINGERS = ("annar", "heycat")
FRAME_SECONDS = 0.02
FIRST_FRAME_SECONDS = 0.02  # centre of the first label
LONGEST_SECONDS = 600.0
SUFFIXES = (".wav", ".flac", ".ogg")


def open_mir1k(folder: str | Path, split: str | None = None) -> list[LabelledRecording]:
    """List the clips, sorted by name; at least one.

    A clip whose audio is missing is listed as the .wav it should be; a folder that is not such, or a label
    file that is none, is a `CorpusError`.
    """
    folder = Path(folder)
    label_folder = folder / "vocal-nonvocalLabel"
    if not (folder / "Wavfile").is_dir() or not label_folder.is_dir():
        raise CorpusError(folder, "is not MIR-1K: it has no Wavfile/ and vocal-nonvocalLabel/")
    clips = []
    for labels in sorted(label_folder.glob("*.vocal")):
        singer = labels.stem.split("_")[0]
        belongs = _split_of(singer)
        if split is None or belongs == split:
            clips.append(
                LabelledRecording(
                    labels.stem,
                    _audio_of(folder, labels.stem),
                    read_vocal(labels),
                    belongs,
                    singer,
                    load_stems,
                )
            )
    if not clips:
        raise CorpusError(folder, "holds no clips" + (f" for {split}" if split else ""))
    return clips


def _split_of(singer: str) -> str:
    return "valid" if singer in VALID_SINGERS else "test" if singer in TEST_SINGERS else "train"


def _audio_of(folder: Path, name: str) -> Path:
    candidates = [folder / "Wavfile" / f"{name}{suffix}" for suffix in SUFFIXES]
    return next((path for path in candidates if path.exists()), candidates[0])


def read_vocal(path: Path) -> NDArray[np.float64]:
    """Read a .vocal file, one 0 or 1 a line; anything else is a `CorpusError`.

    Gives the sung intervals, shape [intervals, 2], seconds; a frame reaches 10 ms either side of its centre.
    """
    words = read_text(path).split()
    if not words:
        raise CorpusError(path, "holds no labels")
    if not set(words) <= {"0", "1"}:
        raise CorpusError(path, "holds something else than 0 and 1")
    frames = np.array([0, *(word == "1" for word in words), 0], np.int8)
    edges = np.flatnonzero(np.diff(frames)).reshape(-1, 2)
    return np.asarray(FIRST_FRAME_SECONDS + (edges - 0.5) * FRAME_SECONDS, np.float64)


def load_stems(recording: LabelledRecording, sample_rate: int) -> Stems:
    """Read the two channels of a clip: ``accompaniment`` and ``voice``, float32, of the same length.

    Where one channel is asked for, that is the ``mixture``. A file that is missing, damaged, not stereo or
    absurdly long is an `AudioError`.
    """
    if recording.mono != MEAN:
        return labelled.load_mixture(recording, sample_rate)
    path = recording.path
    if not path.is_file():
        raise AudioError(path, "does not exist")
    try:
        with soundfile.SoundFile(path) as file:
            if file.channels != 2:
                raise AudioError(path, f"has {file.channels} channel(s), not accompaniment and voice")
            rate = file.samplerate
            samples = file.read(int(LONGEST_SECONDS * rate) + 1, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise AudioError(path, str(getattr(error, "error_string", error)).rstrip(". ")) from error
    if not len(samples):
        raise AudioError(path, "no audio samples")
    if len(samples) > LONGEST_SECONDS * rate:
        raise AudioError(path, f"is longer than {LONGEST_SECONDS:.0f} s")
    if not np.isfinite(samples).all():
        raise AudioError(path, "holds NaN or infinity")
    resampled = soxr.resample(samples, rate, sample_rate, quality="HQ").astype(np.float32, copy=False)
    return {"accompaniment": resampled[:, 0].copy(), "voice": resampled[:, 1].copy()}


def validate(folder: str | Path) -> list[str]:
    """Read every clip and say what is wrong: a line for each that is missing, damaged or without labels."""
    folder = Path(folder)
    clips = open_mir1k(folder)
    names = {clip.name for clip in clips}
    orphans = [
        f"{path}: has no labels in vocal-nonvocalLabel/"
        for path in sorted((folder / "Wavfile").iterdir())
        if path.suffix.lower() in SUFFIXES and path.stem not in names
    ]
    return labelled.validate(clips) + orphans
