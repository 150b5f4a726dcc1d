"""Excerpts of a labelled corpus, sampled for an evaluation and kept on disk.

Each recording is decoded once; an excerpt that several draws share is kept once. The excerpts lie in a
memory-mapped file, so that memory does not grow with the corpus.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.analyses.inversion.evaluation.nre import (
    DRAWS,
    EXCERPTS_PER_RECORDING,
    PairSums,
    pair_sums,
    sample_excerpts,
)
from actprobe.batch.ledger import LedgerRow, failed_row
from actprobe.corpora.labelled import LabelledRecording
from actprobe.errors import ActprobeError, CorpusError
from actprobe.frontends import FrontEnd

SHORT = ("skip", "pad")
UNLABELLED, NOT_SUNG, SUNG = -1, 0, 1
SILENCE = 1e-5  # -100 dBFS


@dataclass(frozen=True, eq=False)
class SampledExcerpts:
    """The excerpts of an evaluation.

    - ``excerpts``: float32 [excerpts, time, mel], none twice.
    - ``owners``: int64 [excerpts], the recording of each, a position in ``ledger``.
    - ``starts_seconds``: float64 [excerpts], where each begins in its recording.
    - ``sung``: int8 [excerpts], 1 where somebody sings at the centre of the excerpt, 0 where nobody does, -1
      where there are no labels.
    - ``draws``: for each draw the positions of its excerpts.
    - ``ledger``: a row for each recording, in the order of the corpus; its ``examples`` are the different
      excerpts of the recording.
    """

    excerpts: NDArray[np.float32]
    owners: NDArray[np.int64]
    starts_seconds: NDArray[np.float64]
    sung: NDArray[np.int8]
    draws: tuple[NDArray[np.int64], ...]
    ledger: tuple[LedgerRow, ...]

    @cached_property
    def pairs(self) -> list[PairSums]:
        """Distances between the excerpts of each draw."""
        return [pair_sums(self.excerpts[rows], self.owners[rows], len(self.ledger)) for rows in self.draws]


def sample_corpus(
    frontend: FrontEnd,
    recordings: Sequence[LabelledRecording],
    *,
    draws: int = DRAWS,
    per_recording: int = EXCERPTS_PER_RECORDING,
    seed: int = 0,
    short: str = "skip",
    folder: Path | None = None,
    advance: Callable[[int], None] = lambda count: None,
    keep_ledger: Callable[[Sequence[LedgerRow]], None] = lambda rows: None,
) -> SampledExcerpts:
    """Sample excerpts of every recording that can be read and is long enough.

    ``frontend`` makes the excerpts with its own hop, which has to be 1 for the published protocol. ``draws``,
    ``per_recording`` and ``seed``: see `sample_excerpts`. ``short``: ``skip`` recordings shorter than an
    excerpt, or ``pad`` them as the front end does. ``folder`` gets the file of the excerpts; by default they
    are held in memory. ``advance`` is told how many recordings were finished; ``keep_ledger`` gets the
    ledger, whether there are enough excerpts or not. CorpusError for fewer than two excerpts.
    """
    shape = frontend.example_shape
    ledger: list[LedgerRow] = []
    owners, starts, sung = [], [], []
    rows: list[list[NDArray[np.int64]]] = [[] for _ in range(draws)]
    kept: list[NDArray[np.float32]] = []
    total = 0
    path = None if folder is None else folder / "excerpts.float32"
    file = None if path is None else path.open("wb")
    try:
        for number, recording in enumerate(recordings):
            entry, examples, begins = _examples(frontend, recording, short)
            if entry.status == "ok":
                chosen = sample_excerpts(
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
                sung.append(label if recording.known else np.full(len(different), UNLABELLED, np.int8))
                total += len(different)
                entry = replace(entry, examples=len(different))
            ledger.append(entry)
            advance(1)
    finally:
        if file is not None:
            file.close()
    keep_ledger(ledger)
    if total < 2:
        reasons = [f"{entry.path}: {entry.reason}" for entry in ledger if entry.reason]
        first = f"; the first: {reasons[0]}" if reasons else ""
        where = recordings[0].path.parent if recordings else Path()
        raise CorpusError(where, f"{total} excerpts of {len(ledger)} recordings: too few for an NRE{first}")
    excerpts: Any = (
        np.concatenate(kept) if path is None else np.memmap(path, np.float32, "r", shape=(total, *shape))
    )
    return SampledExcerpts(
        excerpts,
        np.concatenate(owners),
        np.concatenate(starts),
        np.concatenate(sung),
        tuple(np.concatenate(each) for each in rows),
        tuple(ledger),
    )


def _examples(
    frontend: FrontEnd, recording: LabelledRecording, short: str
) -> tuple[LedgerRow, NDArray[np.float32], NDArray[np.int64]]:
    """Read a recording: its entry in the ledger, its examples and the first sample of each."""
    nothing = np.zeros((0, *frontend.example_shape), np.float32), np.zeros(0, np.int64)
    try:
        frontend = frontend.of(recording.path)
        samples = recording.mixture(frontend.sample_rate)
        seconds = len(samples) / frontend.sample_rate
        if len(samples) < frontend.example_samples and short == "skip":
            needed = frontend.example_samples / frontend.sample_rate
            reason = f"lasts {seconds:.3f} s, less than an excerpt of {needed:.3f} s"
            return replace(failed_row(recording, reason), seconds=seconds), *nothing
        examples = frontend.examples(samples)
    except ActprobeError as error:
        return failed_row(recording, error), *nothing
    if not np.isfinite(examples).all():
        reason = "its examples hold NaN or infinity"
        return replace(failed_row(recording, reason), seconds=seconds), *nothing
    silent = "" if np.abs(samples).max() >= SILENCE else "silent: every sample lies under -100 dBFS"
    row = LedgerRow(recording.name, "ok", warning=silent, seconds=seconds)
    return row, examples, frontend.example_starts(len(samples))
