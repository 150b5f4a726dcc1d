"""Linear readouts for an evaluation, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from actprobe.analyses.inversion.evaluation.excerpts import SampledExcerpts
from actprobe.analyses.inversion.evaluation.readout.data import ReadoutData, cross_fitted, fitted_elsewhere
from actprobe.analyses.inversion.evaluation.readout.readout import LinearReadout
from actprobe.analyses.inversion.evaluation.readout.recordings import (
    FEWEST_RECORDINGS,
    FitRecordings,
    Recordings,
)
from actprobe.batch.progress import Progress
from actprobe.corpora.fingerprint import fingerprint
from actprobe.errors import CorpusError
from actprobe.models import Model
from actprobe.provenance import digest


def open_readout(
    model: Model,
    layers: Sequence[str],
    sampled: SampledExcerpts,
    recordings: Recordings,
    given: FitRecordings | None,
    *,
    count: int,
    seed: int,
    batch_size: int,
    folder: Path,
    identity: str,
    needed: bool = False,
) -> LinearReadout | str:
    """Fit the linear readouts of layers, if that has not been done; or say why there are none.

    ``given`` are the recordings to fit on; without them readouts are cross-fitted on the evaluated excerpts,
    ``sampled`` of ``recordings``. At most ``count`` excerpts are fitted on. ``folder`` keeps what is
    finished; ``identity`` is that of the evaluated excerpts. CorpusError where
    the recordings to fit on cannot be read and the readouts are ``needed``.
    """
    cross = None
    if given is None:
        usable = len(np.unique(sampled.owners))
        if usable < FEWEST_RECORDINGS:
            return f"cross-fitting needs {FEWEST_RECORDINGS} recordings, not {usable}"
        cross = cross_fitted(sampled, recordings, count, seed)
        parts = [[each.tolist() for each in vars(fold).values()] for fold in cross.folds]
    else:
        parts = [[fingerprint(each) for each in group] for group in (given.fit, given.choose)]

    def data(scratch: Path) -> ReadoutData:
        if cross is not None:
            return cross
        assert given is not None
        with Progress(len(given.fit) + len(given.choose), "recordings of linear readouts") as bar:
            return fitted_elsewhere(model.frontend, given, sampled, count, seed, scratch, bar.advance)

    found = LinearReadout(
        model, layers, data, folder, digest([identity, parts, count, seed]), batch_size=batch_size
    )
    try:
        if found.facts is None:
            found.fit()
    except CorpusError as error:
        found.close()
        if needed:
            raise
        return str(error)
    return found
