"""The phantom corpus: synthetic music from a seed, with everything about it known.

Origin: rendered by this package; nothing is recorded, sampled or downloaded, so no licence but the
package's own. Size: 40 recordings of 10 s by default, 18 MB. Five kinds take turns (`KINDS`).

Gain and onset rate come from a low-discrepancy sequence: spread evenly over their ranges and
independent of each other, so that what follows loudness does not follow onset rate by accident.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from actprobe.corpora.composition import KINDS, ONSET_RATE_RANGE, Note, compose
from actprobe.corpora.folder import STEM
from actprobe.corpora.mixing import STEMS, gain_contour, mix, render
from actprobe.corpora.truth import Interval, PhantomRecording
from actprobe.errors import CorpusError, UsageError
from actprobe.provenance import atomic_path

PEAK_LIMIT = 0.99
MINIMUM_SECONDS = 2.0
MINIMUM_SAMPLE_RATE = 8000

# Steps of the R2 sequence, powers of the inverse plastic number: M. Roberts, "The Unreasonable
# Effectiveness of Quasirandom Sequences" (2018).
R2_STEPS = np.array([0.7548776662466927, 0.5698402909980532])


def phantom_recording(
    seed: int, index: int, *, seconds: float = 10.0, sample_rate: int = 22050
) -> PhantomRecording:
    """Render one recording of the phantom corpus.

    The same arguments give the same recording, of kind ``KINDS[index % 5]``; no sample is beyond 0.99. An
    argument out of its range is a `UsageError`: at least 2 s and 8000 Hz, no negative seed or index.
    """
    if seed < 0 or index < 0:
        raise UsageError(f"seed={seed} and index={index} must not be negative")
    if not MINIMUM_SECONDS <= seconds < np.inf:
        raise UsageError(f"seconds={seconds}: a phantom recording lasts at least {MINIMUM_SECONDS} s")
    if sample_rate < MINIMUM_SAMPLE_RATE:
        raise UsageError(f"sample_rate={sample_rate} is under {MINIMUM_SAMPLE_RATE} Hz")
    kind = KINDS[index % len(KINDS)]
    gain_place, rate_place = (np.random.default_rng([seed]).random(2) + (index + 1) * R2_STEPS) % 1.0
    low, high = ONSET_RATE_RANGE
    score_rng, sound_rng, mix_rng = (np.random.default_rng([seed, index, part]) for part in range(3))
    score = compose(score_rng, kind, low + (high - low) * rate_place, seconds)
    raw = render(score, sound_rng, round(seconds * sample_rate), sample_rate)
    times, gain = gain_contour(mix_rng, gain_place, seconds)
    stems = mix(mix_rng, kind, raw, np.interp(np.arange(len(raw["voice"])) / sample_rate, times, gain))
    peak = float(np.max(np.abs(np.sum(list(stems.values()), axis=0))))
    room = min(1.0, PEAK_LIMIT / peak)
    sung = [Note(s.onset, s.offset, s.midi, "voice") for s in score.syllables]
    onsets = {
        "harmonic": [note.onset for note in score.notes],
        "percussive": [hit.onset for hit in score.hits],
        "voice": [syllable.onset for syllable in score.syllables],
    }
    return PhantomRecording(
        kind=kind,
        seed=seed,
        index=index,
        sample_rate=sample_rate,
        stems={stem: (room * stems[stem]).astype(np.float32) for stem in STEMS},
        onsets={stem: np.unique(np.array(onsets[stem], dtype=float)) for stem in STEMS},
        gain_times=times,
        gain=room * gain,
        voice_intervals=_joined((s.onset, s.offset) for s in score.syllables),
        voiced_intervals=_joined((s.voicing, s.offset) for s in score.syllables),
        notes={"harmonic": score.notes, "voice": sung},
        tempo_bpm=score.tempo_bpm,
        key=score.key,
    )


def write_phantom(
    directory: str | os.PathLike[str],
    *,
    recordings: int = 40,
    seconds: float = 10.0,
    sample_rate: int = 22050,
    seed: int = 0,
    stems: bool = False,
    progress: Callable[[int, int], object] | None = None,
) -> Path:
    """Write the phantom corpus: synthetic music, with everything about it known.

    Each file appears complete or not at all, the manifest last, so that a folder with a manifest is a whole
    corpus. Phantom files of an earlier corpus in the folder are replaced or removed, other files are left
    alone. The same arguments give the same bytes, on one machine; a file that holds them already is left as
    it is, its time of modification too, so that what was computed from it still holds.

    Parameters
    ----------
    directory : str or os.PathLike
        Folder for the wav files, the truth of each as JSON, and manifest.csv.
    recordings : int, optional
        How many; the first ones do not depend on it.
    seconds : float, optional
        Length of each, at least 2.
    sample_rate : int, optional
        Hz, at least 8000.
    seed : int, optional
        Another seed gives other recordings.
    stems : bool, optional
        Whether the stems are written, too, as ``stems/phantom_00000_voice.wav``; the manifest names them in
        columns such as ``stem_voice``.
    progress : callable, optional
        Called after each recording with the number done and the number in all.

    Returns
    -------
    Path
        The manifest: the ``path`` of each wav and the ``truth`` of each JSON relative to the folder, and what
        is known of the recording, such as ``kind``, ``true_onset_rate`` and ``true_gain_db``.

    Raises
    ------
    UsageError
        No recordings, or too short, or a rate too low.
    CorpusError
        The folder cannot be written.

    Examples
    --------
    >>> manifest = actprobe.write_phantom("PHANTOM", recordings=5, seconds=3)
    >>> len(actprobe.open_corpus(manifest))
    5
    """
    if recordings < 1:
        raise UsageError(f"recordings={recordings}: a corpus has at least one")
    folder = Path(directory)
    manifest = folder / "manifest.csv"
    rows: list[dict[str, str | float]] = []
    written = {manifest}
    try:
        for index in range(recordings):
            recording = phantom_recording(seed, index, seconds=seconds, sample_rate=sample_rate)
            if index == 0:
                (folder / "stems" if stems else folder).mkdir(parents=True, exist_ok=True)
                manifest.unlink(missing_ok=True)
            name = f"phantom_{index:05d}"
            files = {f"{name}.wav": _wav(recording.samples, sample_rate)}
            if stems:
                files |= {f"stems/{name}_{s}.wav": _wav(recording.stems[s], sample_rate) for s in STEMS}
            files[f"{name}.json"] = (json.dumps(recording.truth(), indent=1) + "\n").encode()
            for relative, content in files.items():
                _write(folder / relative, content)
                written.add(folder / relative)
            parts = {f"{STEM}{s}": f"stems/{name}_{s}.wav" for s in STEMS} if stems else {}
            rows.append({"path": f"{name}.wav", **recording.row(), "truth": f"{name}.json", **parts})
            if progress is not None:
                progress(index + 1, recordings)
        for stale in {*folder.glob("phantom_?????.*"), *folder.glob("stems/phantom_?????_*.wav")} - written:
            stale.unlink()
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        _write(manifest, table.getvalue().encode())
    except OSError as error:
        raise CorpusError(folder, f"cannot be written: {error.strerror or error}") from error
    return manifest


def _joined(intervals: Iterable[Interval]) -> list[Interval]:
    """Join intervals that touch, given in order."""
    joined: list[Interval] = []
    for start, end in intervals:
        if joined and start - joined[-1][1] < 1e-6:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _wav(samples: NDArray[np.float32], sample_rate: int) -> bytes:
    # 16-bit: the header of a float wav holds the time of writing.
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all, unless it is there already."""
    if path.is_file() and path.read_bytes() == content:
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
