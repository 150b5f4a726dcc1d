"""`attribute`: which time and frequency of a recording an output or a neuron follows from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from absl import logging
from numpy.typing import NDArray

from actprobe.analyses.attribution.excerpts import ExcerptPlan, Places
from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.explaining import COLUMNS, explain_plan
from actprobe.analyses.attribution.fills import FILLS, MEAN_SPECTRUM
from actprobe.analyses.attribution.methods.method import Method, MethodSettings
from actprobe.analyses.attribution.methods.registry import METHODS, open_methods
from actprobe.analyses.attribution.recordings import keep_recording
from actprobe.analyses.attribution.result import AttributionResult
from actprobe.analyses.attribution.showing import show_recordings
from actprobe.analyses.attribution.store import BLOCKS, AttributionStore, known_rows, write_attributions
from actprobe.batch.identity import made_by, run_key
from actprobe.batch.ledger import ledger_frame, usable_recordings
from actprobe.batch.opening import chosen_names, output_folder
from actprobe.batch.progress import Progress
from actprobe.corpora import Recording, open_corpus
from actprobe.corpora.corpus import CorpusLike
from actprobe.errors import UsageError
from actprobe.models import Model
from actprobe.models.record import network_record
from actprobe.models.source import ModelSource
from actprobe.models.target import read_target
from actprobe.provenance import run_record, write_csv, write_json

FORMAT = 1  # raise when shards of before must be computed again
DEFAULT_METHODS = ("integrated_gradients", "occlusion")


def attribute(
    model: Model | ModelSource,
    corpus: CorpusLike,
    *,
    target: str | None = None,
    methods: Sequence[str] = DEFAULT_METHODS,
    fill: str = MEAN_SPECTRUM,
    at: float | None = None,
    seconds: float | None = None,
    excerpts: int | None = None,
    settings: Mapping[str, Any] | MethodSettings | None = None,
    figures: int = 8,
    sound: bool = True,
    batch_size: int | None = None,
    output_dir: str | Path,
) -> AttributionResult:
    """Attribute an output or a neuron to the time and frequency of recordings.

    A killed run goes on where it was when it is called again.

    Parameters
    ----------
    model : Model
        The network, from `actprobe.load_model` or `actprobe.wrap_model`.
    corpus : str, Path, list, pandas.DataFrame or Corpus
        What `actprobe.open_corpus` takes: a file, a folder, ... Where parts are known (MIR-1K, columns such
        as ``stem_voice``) the table says how much of the attribution falls on bins that each dominates.
    target : str, optional
        The label of an output, such as ``rock``, or ``LAYER/UNIT``, such as ``conv5/9``. An output that is
        named by its label is attributed before its nonlinearity. By default the only output.
    methods : sequence of str, optional
        ``gradient``, ``gradient_x_input``, ``smoothgrad``, ``guided_backprop``, ``integrated_gradients``,
        ``grad_cam``; and, for any network, ``occlusion``, ``lime``, ``components``.
    fill : str, optional
        What stands for an absent part: ``mean_spectrum`` of the recording, ``training_mean``, ``minimum`` or
        ``shuffled``.
    at : float, optional
        Where the first excerpt begins, in seconds.
    seconds : float, optional
        Length of the segment that excerpts cover, overlapping by half. By default one excerpt where ``at``
        is given, and the whole recording where it is not.
    excerpts : int, optional
        So many excerpts of each recording, spread evenly, in place of ``at`` and ``seconds``.
    settings : mapping, optional
        Settings of the methods by name: ``steps`` of integrated gradients (50); ``noisy_samples`` (25) and
        ``noise`` (0.1 of the range) of SmoothGrad; ``cam_layer``; ``patch_seconds`` and ``patch_hz`` of
        occlusion; ``tiles_time`` (6), ``tiles_frequency`` (4), ``lime_samples`` (500), ``lime_seeds`` (2)
        and ``kernel_width`` of LIME; ``seed`` (0).
    figures : int, optional
        Recordings of which figures and sounds are made, the first ones.
    sound : bool, optional
        Whether wav files are written.
    batch_size : int, optional
        Excerpts that go through the network together.
    output_dir : str or Path
        Gets attributions.csv, attributions.npz, recordings.csv, run.json and the folders figures, sounds and
        shards.

    Returns
    -------
    AttributionResult
        ``table``, ``arrays``, ``recordings``, ``sounds`` and ``plot()``.

    Raises
    ------
    UsageError
        No such target, method or fill; a method that cannot explain the target, such as gradients of a
        PyTorch network; an invalid time.
    CorpusError
        The corpus cannot be read, or no recording could be used; recordings.csv is written all the same.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.attribute(
    ...     model, "song.mp3", methods=["gradient_x_input"], at=1, output_dir="ATTRIBUTED"
    ... )
    >>> found.table["method"].tolist()
    ['gradient_x_input']
    >>> found.arrays["gradient_x_input"].shape
    (1, 115, 80)
    """
    began = time.time()
    chosen_settings = MethodSettings.of(settings)
    chosen_names("method", methods, METHODS)
    chosen_names("fill", [fill], FILLS)
    places = Places(at, seconds, excerpts)
    if not model.computes:
        raise UsageError("stored activations cannot be attributed: that needs the network itself")
    chosen = read_target(model, target)
    recordings = open_corpus(corpus)
    folder = output_folder(output_dir)
    network = model.open()
    explained = Explained(network, chosen, batch_size=batch_size)
    opened = open_methods(methods, explained, chosen_settings)
    logging.info("%s, %s on %d recordings of %s", network, chosen.title, len(recordings), recordings.source)
    decides = made_by(
        network, target=str(chosen), methods=list(methods), fill=fill, **asdict(places),
        settings=asdict(chosen_settings), format=FORMAT,
    )  # fmt: skip
    store = AttributionStore(folder / "shards", run_key(decides, network.weights))
    rows = []
    with Progress(len(recordings), "recordings") as bar:
        for recording in recordings:
            work = partial(_explain, explained, opened, store, recording)
            rows.append(
                keep_recording(store, recording, network.frontend, places, fill, chosen_settings.seed, work)
            )
            bar.advance()
    write_csv(folder / "recordings.csv", ledger_frame(rows, ()))
    usable = usable_recordings(recordings, rows, recordings.source)
    table = attribution_table(known_rows(store, usable))
    frontend = network.frontend
    write_attributions(
        folder / "attributions.npz", store, usable,
        first_frame_seconds=frontend.first_frame / frontend.sample_rate,
        hop_seconds=frontend.frame_hop / frontend.sample_rate,
        bands_hz=np.asarray(frontend.band_edges_hz()[1:-1], np.float64),
    )  # fmt: skip
    record = {
        **decides, **network_record(network), "title": chosen.title, "corpus": recordings.source,
        "mono": recordings.mono, "unit": frontend.unit, "joined": not frontend.joining_refusal,
    }  # fmt: skip
    shown = show_recordings(folder, network, usable[:figures], record, sound=sound)
    write_csv(folder / "attributions.csv", table)
    arguments = {
        "corpus": recordings.source, "target": target, "methods": list(methods), "fill": fill,
        **asdict(places), "settings": asdict(chosen_settings), "figures": figures, "sound": sound,
        "output_dir": str(folder),
    }  # fmt: skip
    counts = {"recordings": len(rows), "failed": len(rows) - len(usable), "shown": shown}
    write_json(folder / "run.json", {**run_record("attribute", began, arguments, record), **counts})
    return AttributionResult.load(folder)


def attribution_table(rows: Sequence[dict[str, object]]) -> pd.DataFrame:
    """Lay rows out as attributions.csv has them, shares of known parts and facts of the methods last."""
    frame = pd.DataFrame(rows)
    others = [str(name) for name in frame if name not in COLUMNS]
    shares = sorted(name for name in others if name.startswith("share_"))
    return frame[[*COLUMNS, *shares, *sorted(set(others) - set(shares))]]


def _explain(
    explained: Explained,
    methods: dict[str, Method],
    store: AttributionStore,
    recording: Recording,
    plan: ExcerptPlan,
) -> dict[str, NDArray[Any]]:
    """Explain the excerpts of a recording and keep them by blocks; gives what says that all are there."""
    count = 0
    for count, block in enumerate(explain_plan(explained, methods, plan), 1):
        store.save_block(recording, count - 1, block)
    return {BLOCKS: np.array(count)}
