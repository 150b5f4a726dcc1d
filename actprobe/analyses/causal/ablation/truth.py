"""What the outputs should be, where the corpus knows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from absl import logging
from numpy.typing import NDArray

from actprobe.corpora import Recording
from actprobe.corpora.labelled_folders import knows_singing, labelled
from actprobe.errors import CorpusError, UsageError
from actprobe.features.labels import label_values
from actprobe.models.target import Target

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """Whether each output should be high.

    - ``columns``: by number of the output, float64 [recordings]: 1, 0, or NaN where it is not known; in place
      of them, with ``singing``, whether somebody sings in the middle of the excerpt.
    """

    columns: dict[int, Floats]
    singing: bool = False

    @property
    def outputs(self) -> list[int]:
        """Numbers of the outputs whose truth is known."""
        return [0] if self.singing else sorted(self.columns)

    def of(self, number: int, recording: Recording, output: int, centres: Floats) -> Floats:
        """Give the truth of an output in excerpts, float64 [excerpts], whose ``centres`` are in seconds."""
        if not self.singing:
            return np.full(len(centres), self.columns[output][number])
        try:
            known = labelled(recording)
        except CorpusError as error:
            logging.warning("where somebody sings in %s is unknown: %s", recording.name, error)
            return np.full(len(centres), np.nan)
        return known.labels_at(centres).astype(np.float64) if known.known else np.full(len(centres), np.nan)


def known_truth(recordings: Sequence[Recording], targets: Sequence[Target], labels: str | None) -> Truth:
    """Find what is known of the outputs.

    ``labels`` names a column: of 0 and 1, or ``COLUMN=CLASS``, for a single output; or of classes that are
    called like outputs.
    Without it, columns that are called like outputs are taken, and of a corpus that says where somebody sings
    that for a single output. UsageError where ``labels`` has nothing for any output.
    """
    there = {column for recording in recordings for column in recording.labels}
    if labels is None:
        named = {target.label for target in targets} & there
        columns = {
            number: _binary(label_values(target.label, recordings), target.label)
            for number, target in enumerate(targets)
            if target.label in named
        }
        known = len(targets) == 1 and not columns and any(map(knows_singing, recordings))
        return Truth(columns, singing=known)
    column = labels.partition("=")[0] if len(targets) == 1 and labels not in there else labels
    if column not in there:
        raise UsageError(f"labels={labels}: there is no such column; there is {', '.join(sorted(there))}")
    if len(targets) == 1:
        return Truth({0: _binary(label_values(labels, recordings), labels)})
    classes = {cell.strip() for each in recordings for cell in each.labels.get(labels, "").split(";")}
    found = {
        number: label_values(f"{labels}={target.label}", recordings)
        for number, target in enumerate(targets)
        if target.label and target.label in classes
    }
    if not found:
        some = ", ".join(sorted(classes - {""})[:10])
        raise UsageError(f"labels={labels}: none of its classes ({some}) is called like an output")
    return Truth(found)


def _binary(values: Floats, column: str) -> Floats:
    if not np.isin(values[~np.isnan(values)], (0, 1)).all():
        raise UsageError(f"column {column} holds other values than 0 and 1: it is no label of an output")
    return values
