"""Excerpts of a labelled corpus, drawn for an evaluation and kept on disk.

What is drawn of each recording is decoded once; an excerpt that several draws share is there once. The
excerpts lie in a memory-mapped file, so that memory does not grow with the corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.inversion.evaluation.nre import (
    DRAWS,
    EXCERPTS_PER_RECORDING,
    PairSums,
    draw_excerpts,
    pair_sums,
)
from actprobe.corpora import open_corpus
from actprobe.corpora.jamendo import open_jamendo
from actprobe.corpora.labelled import LabelledRecording, open_labelled_folder, open_voiceless_folder
from actprobe.corpora.mir1k import open_mir1k
from actprobe.corpora.rwc import open_rwc
from actprobe.errors import ActprobeError, CorpusError, UsageError
from actprobe.frontends import FrontEnd

__all__ = ["CORPORA", "Drawn", "RecordingNote", "draw_corpus", "open_evaluation_corpus"]

CORPORA = ("mir1k", "jamendo", "rwc", "folder", "voiceless")

UNLABELLED, NOT_SUNG, SUNG = -1, 0, 1


@dataclass(frozen=True)
class RecordingNote:
    """What became of a recording.

    Parameters
    ----------
    path : str
        Name of the recording in its corpus.
    reason : str
        Why nothing was drawn of it; empty when something was.
    warning : str
        What a careful reader should know.
    seconds : float or None
        Its length.
    examples : int or None
        Different excerpts that were drawn of it.
    """

    path: str
    reason: str = ""
    warning: str = ""
    seconds: float | None = None
    examples: int | None = None


@dataclass(frozen=True, eq=False)
class Drawn:
    """The excerpts of an evaluation.

    Parameters
    ----------
    excerpts : numpy.ndarray
        float32, shape [excerpts, time, mel], none twice.
    owners : numpy.ndarray
        int64, shape [excerpts]: the recording of each, a position in `notes`.
    starts_seconds : numpy.ndarray
        float64, shape [excerpts]: where each begins in its recording.
    sung : numpy.ndarray
        int8, shape [excerpts]: 1 where somebody sings at the centre of the excerpt, 0 where nobody does, -1
        where no label says it.
    draws : tuple of numpy.ndarray
        For each draw the positions of its excerpts.
    notes : tuple of RecordingNote
        One a recording, in the order of the corpus.
    """

    excerpts: NDArray[np.float32]
    owners: NDArray[np.int64]
    starts_seconds: NDArray[np.float64]
    sung: NDArray[np.int8]
    draws: tuple[NDArray[np.int64], ...]
    notes: tuple[RecordingNote, ...]

    @cached_property
    def pairs(self) -> list[PairSums]:
        """Distances between the excerpts of each draw."""
        return [pair_sums(self.excerpts[rows], self.owners[rows], len(self.notes)) for rows in self.draws]


def open_evaluation_corpus(
    corpus: str, folder: str | Path, split: str | None = None
) -> tuple[list[LabelledRecording], bool]:
    """List the recordings to evaluate on.

    Parameters
    ----------
    corpus : str
        One of `CORPORA`: the layout of the folder. ``folder`` takes recordings with ``.lab`` files, or, where
        there is not one label, all recordings of the folder or manifest; ``voiceless`` takes recordings in
        which nobody sings.
    folder : str or Path
        The corpus.
    split : str, optional
        ``train``, ``valid`` or ``test``; by default all.

    Returns
    -------
    recordings : list of LabelledRecording
        At least one.
    labelled : bool
        Whether it is known where somebody sings.

    Raises
    ------
    CorpusError
        Nothing usable there.
    UsageError
        No such corpus.
    """
    openers: dict[str, Callable[..., list[LabelledRecording]]] = {
        "mir1k": open_mir1k,
        "jamendo": open_jamendo,
        "rwc": open_rwc,
        "folder": lambda where, split: open_labelled_folder(where, split=split),
        "voiceless": lambda where, split: open_voiceless_folder(where, split),
    }
    if corpus not in openers:
        raise UsageError(f"there is no corpus {corpus!r}; there is {', '.join(openers)}")
    folder = Path(folder)
    if corpus == "folder" and not (folder.is_dir() and any(folder.glob("*.lab"))):
        return [
            LabelledRecording(found.name, found.path, np.zeros((0, 2))) for found in open_corpus(folder)
        ], False
    recordings = openers[corpus](folder, split=split)
    if not recordings:
        raise CorpusError(folder, f"holds no recording for {split}")
    return recordings, True


def draw_corpus(
    frontend: FrontEnd,
    recordings: Sequence[LabelledRecording],
    *,
    labelled: bool = True,
    draws: int = DRAWS,
    per_recording: int = EXCERPTS_PER_RECORDING,
    seed: int = 0,
    short: str = "skip",
    folder: Path | None = None,
    advance: Callable[[int], None] = lambda count: None,
    ledger: Callable[[Sequence[RecordingNote]], None] = lambda notes: None,
) -> Drawn:
    """Draw excerpts of every recording that can be read and is long enough.

    Parameters
    ----------
    frontend : FrontEnd
        What makes the excerpts; with its hop, which has to be 1 for the published protocol.
    recordings : sequence of LabelledRecording
        The corpus.
    labelled : bool, optional
        Whether the recordings' labels mean something.
    draws, per_recording, seed : int, optional
        See `actprobe.analyses.inversion.evaluation.nre.draw_excerpts`.
    short : str, optional
        ``skip`` recordings shorter than an excerpt, or ``pad`` them as the front end does.
    folder : Path, optional
        Gets the file of the excerpts; by default they are held in memory.
    advance : callable, optional
        Told how many recordings were finished.
    ledger : callable, optional
        Told what became of every recording, whether enough could be drawn or not.

    Returns
    -------
    Drawn
        At least two excerpts in every draw.

    Raises
    ------
    CorpusError
        Fewer than two excerpts could be drawn.
    UsageError
        No draw, or no excerpt in it.
    """
    shape = frontend.example_shape
    notes: list[RecordingNote] = []
    owners, starts, sung = [], [], []
    rows: list[list[NDArray[np.int64]]] = [[] for _ in range(draws)]
    kept: list[NDArray[np.float32]] = []
    total = 0
    path = None if folder is None else folder / "excerpts.float32"
    file = None if path is None else path.open("wb")
    try:
        for number, recording in enumerate(recordings):
            note, examples, begins = _examples(frontend, recording, short)
            if not note.reason:
                chosen = draw_excerpts(
                    len(examples), number, draws=draws, per_recording=per_recording, seed=seed
                )
                different = np.unique(np.concatenate(chosen))
                for draw, picks in enumerate(chosen):
                    rows[draw].append(total + np.searchsorted(different, picks))
                array = np.ascontiguousarray(examples[different], np.float32)
                kept.append(array) if file is None else file.write(array.tobytes())
                seconds = begins[different] / frontend.sample_rate
                centres = seconds + frontend.example_samples / frontend.sample_rate / 2
                label = recording.labels_at(centres).astype(np.int8)
                owners.append(np.full(len(different), number, np.int64))
                starts.append(seconds)
                sung.append(label if labelled else np.full(len(different), UNLABELLED, np.int8))
                total += len(different)
                note = RecordingNote(note.path, "", note.warning, note.seconds, len(different))
            notes.append(note)
            advance(1)
    finally:
        if file is not None:
            file.close()
    ledger(notes)
    if total < 2:
        reasons = [f"{note.path}: {note.reason}" for note in notes if note.reason]
        first = f"; the first: {reasons[0]}" if reasons else ""
        raise CorpusError(
            _common(recordings), f"{total} excerpts of {len(notes)} recordings: too few for an NRE{first}"
        )
    excerpts: Any = (
        np.concatenate(kept) if path is None else np.memmap(path, np.float32, "r", shape=(total, *shape))
    )
    return Drawn(
        excerpts,
        np.concatenate(owners),
        np.concatenate(starts),
        np.concatenate(sung),
        tuple(np.concatenate(each) for each in rows),
        tuple(notes),
    )


def _examples(
    frontend: FrontEnd, recording: LabelledRecording, short: str
) -> tuple[RecordingNote, NDArray[np.float32], NDArray[np.int64]]:
    """Read a recording; its note has a reason if nothing can be drawn of it."""
    nothing = np.zeros((0, *frontend.example_shape), np.float32), np.zeros(0, np.int64)
    try:
        samples = recording.mixture(frontend.sample_rate)
        seconds = len(samples) / frontend.sample_rate
        if len(samples) < frontend.example_samples and short == "skip":
            needed = frontend.example_samples / frontend.sample_rate
            reason = f"lasts {seconds:.3f} s, less than an excerpt of {needed:.3f} s"
            return RecordingNote(recording.name, reason, seconds=seconds), *nothing
        examples = frontend.examples(samples)
    except ActprobeError as error:
        reason = str(getattr(error, "reason", error))
        return RecordingNote(recording.name, reason), *nothing
    if not np.isfinite(examples).all():
        return RecordingNote(recording.name, "its examples hold NaN or infinity", seconds=seconds), *nothing
    silent = "" if np.abs(samples).max() >= 1e-5 else "silent: every sample lies under -100 dBFS"
    note = RecordingNote(recording.name, "", silent, seconds)
    return note, examples, frontend.example_starts(len(samples))


def _common(recordings: Sequence[LabelledRecording]) -> Path:
    return recordings[0].path.parent if recordings else Path()
