"""`dissect`: which units detect which concept of sound, over a corpus of recordings."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from absl import logging

from actprobe.analyses.causal.dissection.concepts import FAMILIES, families_of, label_names
from actprobe.analyses.causal.dissection.examples import Example, best_units, find_examples, stored
from actprobe.analyses.causal.dissection.figures import count_figure
from actprobe.analyses.causal.dissection.grid import Grid, frame_times
from actprobe.analyses.causal.dissection.job import MaskJob, SurveyJob, SurveyStore
from actprobe.analyses.causal.dissection.masks import MaskShards, unit_thresholds
from actprobe.analyses.causal.dissection.result import EXAMPLES, DissectionResult, draw_unit
from actprobe.analyses.causal.dissection.settings import DissectionSettings, map_layers, refuse_unplaced
from actprobe.analyses.causal.dissection.table import dissection_tables
from actprobe.batch.executors import DEFAULT, parse_executor, run_job
from actprobe.batch.handle import ModelHandle
from actprobe.batch.identity import made_by, run_key
from actprobe.batch.ledger import ledger_frame, usable_recordings
from actprobe.batch.opening import head_start, output_folder
from actprobe.batch.shards import ShardStore
from actprobe.corpora import Corpus, Recording, open_corpus
from actprobe.corpora.corpus import CorpusLike
from actprobe.corpora.folder import plain_name
from actprobe.corpora.grouping import group_numbers, refuse_unknown_column
from actprobe.corpora.label_tracks import TrackFiles, open_tracks
from actprobe.errors import CorpusError, UsageError
from actprobe.models import Model, ModelSource
from actprobe.models.record import network_record
from actprobe.plotting import save_figure
from actprobe.provenance import digest, run_record, write_csv, write_json, write_npz

FORMAT = 1  # raise when shards of before must be computed again
FEW = 8  # recordings below which p and q say little
LABEL_TRACK = "label_track"  # column of a manifest that names label files


def dissect(
    model: Model | ModelSource,
    corpus: CorpusLike,
    *,
    layers: Sequence[str],
    concepts: Sequence[str] | None = None,
    label_tracks: str | Path | None = None,
    excerpts: int = 8,
    quantile: float = 0.005,
    iou_threshold: float = 0.04,
    group_by: str | None = None,
    permutations: int = 500,
    random_seeds: int = 1,
    seed: int = 0,
    executor: str = DEFAULT,
    batch_size: int | None = None,
    output_dir: str | Path,
) -> DissectionResult:
    """Find the units whose maps are high where a concept of sound is: network dissection.

    A unit's mask is where its map exceeds its own threshold, which a share ``quantile`` of all positions of
    the corpus exceeds. It is compared with the mask of each concept at the positions of the layer, by
    intersection over union (IoU) over the corpus, as Bau and others (2017) do it for images; and with the
    concepts of other recordings, since a mask that is often on has a high IoU with anything. A killed run
    goes on where it was when it is called again.

    Parameters
    ----------
    model : Model
        The network, from `actprobe.load_model` or `actprobe.wrap_model`, or stored activations with their
        examples.
    corpus : str, Path, list, pandas.DataFrame or Corpus
        What `actprobe.open_corpus` takes.
    layers : sequence of str
        Layers with maps; ``all`` for all of these but pre-activations.
    concepts : sequence of str, optional
        ``voice`` (labels of singing), ``part_NAME`` (bins that a known part dominates), ``onsets``,
        ``harmonic``, ``percussive``, ``silence``, ``band_LOW_HIGH`` (Hz), ``pitch_class_C`` to
        ``pitch_class_B``, and ``COLUMN=LABEL`` of label tracks. By default all that the corpus has, and
        octaves as bands.
    label_tracks : str or Path, optional
        Folder with a file of labels for each recording, ``NAME.csv`` with columns start, end, label and
        perhaps low_hz and high_hz, or a column of a manifest that names them; by default the column
        ``label_track``, if there is one.
    excerpts : int, optional
        Excerpts of each recording, spread evenly.
    quantile : float, optional
        Share of the positions of the corpus that a unit's mask covers.
    iou_threshold : float, optional
        IoU above which a unit may be a detector.
    group_by : str, optional
        A column of the corpus' labels, such as the song: recordings that share it are permuted together.
    permutations : int, optional
        Permutations of the recordings behind ``iou_null``, ``p`` and ``q``; 0 leaves them empty.
    random_seeds : int, optional
        Controls: the same network with as many sets of random weights; 0 leaves ``random_weights`` empty.
    seed : int, optional
        Seed of everything random.
    executor : str, optional
        ``local:N``: N processes decode and describe beside the network. ``dask:N`` or ``dask://HOST:PORT``: a
        cluster.
    batch_size : int, optional
        Excerpts that go through the network together.
    output_dir : str or Path
        Gets dissection.csv, dissection_concepts.csv, dissection_examples.npz, recordings.csv, run.json and
        the folders figures and shards.

    Returns
    -------
    DissectionResult
        ``table``, ``concepts``, ``detectors``, ``recordings``, ``plot()`` and ``plot("LAYER/9")``.

    Raises
    ------
    UsageError
        No such layer, concept, label or executor; a layer that is no map; a number out of range.
    CorpusError
        The corpus or its label tracks cannot be read, no recording could be used, or none has a concept that
        was asked for; recordings.csv is written all the same.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.dissect(
    ...     model, "FOLDER", layers=["mp3"], concepts=["onsets", "harmonic"], excerpts=2,
    ...     output_dir="DISSECTION",
    ... )  # fmt: skip
    >>> found.table.shape[0]  # 32 units, two concepts
    64
    >>> best = found.table.sort_values("q").head()
    """
    began = time.time()
    settings = DissectionSettings(excerpts, quantile, iou_threshold, permutations, random_seeds, seed)
    chosen = map_layers(model.layers, layers)
    parse_executor(executor)
    refuse_unplaced(str(model.layers.network), model.frontend)
    if isinstance(concepts, str) or (concepts is not None and not concepts):
        raise UsageError(f"concepts={concepts!r}: give a list of names")
    recordings = open_corpus(corpus)
    if group_by is not None:
        refuse_unknown_column(group_by, recordings)
    tracks = _tracks(recordings, label_tracks)
    families = families_of(concepts, model.frontend, label_names(tracks.tracks))
    folder = output_folder(output_dir)
    loads = {each for name in families for each in FAMILIES[name].loads}
    head_start(executor, len(recordings), SurveyJob.__module__, *sorted(loads))
    network = model.open()
    logging.info("%s on %d recordings of %s", network, len(recordings), recordings.source)
    survey = _Survey(network, recordings, tracks, families, chosen, settings, batch_size, executor, folder)
    usable, known, shards, thresholds = survey.walk(concepts)
    independent = len(np.unique(group_numbers(usable, group_by)))
    if independent < FEW:
        logging.warning("%d recordings or groups are few for a permutation: p and q say little", independent)
    tables = dissection_tables(list(shards.values()), usable, known, thresholds, settings, group_by)
    if tables.units.empty:
        told = f"no concept covers a position of {', '.join(chosen)}: {', '.join(known)}"
        raise CorpusError(recordings.source, told)
    examples = find_examples(
        best_units(tables.units), shards, usable, known, survey.grids, network.frontend, excerpts
    )
    title = f"{network.name} on {len(usable)} recordings of {recordings.name}"
    frames = {
        "edges_hz": [float(edge) for edge in network.frontend.band_edges_hz()],
        "seconds": [float(second) for second in frame_times(network.frontend)],
    }
    _draw(folder / "figures", tables.units, tables.concepts, examples, frames, iou_threshold, title)
    write_npz(folder / EXAMPLES, stored(examples))
    write_csv(folder / "dissection_concepts.csv", tables.concepts)
    write_csv(folder / "dissection.csv", tables.units)
    record = {
        **survey.described, **network_record(network), "title": title, "corpus": recordings.source,
        "mono": recordings.mono, "recordings": len(recordings), "failed": len(recordings) - len(usable),
        "permutations": permutations, "group_by": group_by, "frames": frames,
        "iou_threshold": iou_threshold, "quantile": quantile,
        "known": {name: len(names) for name, names in known.items()},
        "not_there": [name for name in families if not any(map(FAMILIES[name].has, known))],
        "examples": [each.told() for each in examples],
    }  # fmt: skip
    arguments = {
        "corpus": recordings.source, "layers": chosen, "concepts": concepts and list(concepts),
        "label_tracks": None if label_tracks is None else str(label_tracks), **asdict(settings),
        "group_by": group_by, "executor": executor, "batch_size": batch_size, "output_dir": str(folder),
    }  # fmt: skip
    write_json(folder / "run.json", run_record("dissect", began, arguments, record))
    return DissectionResult.load(folder)


class _Survey:
    """Takes the corpus through both passes."""

    def __init__(
        self,
        network: Model,
        recordings: Corpus,
        tracks: TrackFiles,
        families: Mapping[str, Sequence[str]],
        layers: Sequence[str],
        settings: DissectionSettings,
        batch_size: int | None,
        executor: str,
        folder: Path,
    ) -> None:
        self.network, self.recordings, self.settings = network, recordings, settings
        self.executor, self.folder = executor, folder
        self.grids = {name: Grid.of(network.layers[name], network.frontend) for name in layers}
        seeds = (
            tuple(network.control_seeds(settings.random_seeds, settings.seed + 1)) if network.computes else ()
        )
        if settings.random_seeds and not network.computes:
            logging.info("no controls with random weights: %s is %s", network.name, network.what)
        self.networks = 1 + len(seeds)
        by_name = dict(zip((each.name for each in recordings), tracks.tracks, strict=True))
        shared = (settings.excerpts, self.grids, seeds, batch_size)
        self.job = SurveyJob(ModelHandle(network), *shared, families, by_name, tracks.faults, settings.seed)
        self.shared, self.tracks = shared, by_name
        self.described = made_by(
            network, layers=list(layers), families={name: list(names) for name, names in families.items()},
            excerpts=settings.excerpts, seed=settings.seed, random_seeds=list(seeds), format=FORMAT,
        )  # fmt: skip

    def walk(
        self, concepts: Sequence[str] | None
    ) -> tuple[list[Recording], dict[str, list[str]], dict[str, MaskShards], dict[str, Any]]:
        """Give the usable recordings, who knows which concept, the masks and the thresholds of each layer."""
        shards, corpus = self.folder / "shards", self.recordings
        least = self.network.example_seconds
        first = SurveyStore(shards, run_key(self.described, self.network.weights), self.tracks)
        rows = run_job(
            self.job, corpus, first, self.executor, what="recordings surveyed", least_seconds=least
        )  # fmt: skip
        write_csv(self.folder / "recordings.csv", ledger_frame(rows, ()))
        usable = usable_recordings(corpus, rows, corpus.source)
        known = self._known(first, usable, concepts)
        thresholds = unit_thresholds(first, usable, list(self.grids), self.networks, self.settings.quantile)
        decides = {
            **self.described,
            "thresholds": digest({name: each.tolist() for name, each in thresholds.items()}),
        }
        second = ShardStore(shards, run_key(decides, self.network.weights))
        masked = run_job(
            MaskJob(ModelHandle(self.network), *self.shared, thresholds), usable, second, self.executor,
            what="recordings masked", least_seconds=least,
        )  # fmt: skip
        again = {row.path: row for row in masked}
        rows = [again.get(row.path, row) for row in rows]
        write_csv(self.folder / "recordings.csv", ledger_frame(rows, ()))
        usable = usable_recordings(corpus, rows, corpus.source)
        masks = {name: MaskShards(first, second, name, self.networks) for name in self.grids}
        there = {one.name for one in usable}
        return (
            usable,
            {name: [one for one in each if one in there] for name, each in known.items()},
            masks,
            thresholds,
        )

    def _known(
        self, store: ShardStore, usable: Sequence[Recording], concepts: Sequence[str] | None
    ) -> dict[str, list[str]]:
        """Say which recordings know each concept; CorpusError for one that was named and none knows."""
        known: dict[str, list[str]] = {name: [] for name in concepts or ()}
        for recording in usable:
            for name in store.needed(recording).arrays["concepts"].tolist():
                known.setdefault(name, []).append(recording.name)
        for name, names in known.items():
            if not names:
                raise CorpusError(self.recordings.source, f"no usable recording has the concept {name}")
        if not known:
            raise CorpusError(self.recordings.source, "no usable recording has any concept")
        return known


def _tracks(recordings: Corpus, where: str | Path | None) -> TrackFiles:
    """Read the label tracks that are named, or those of the column ``label_track``."""
    if where is None and any(LABEL_TRACK in each.labels for each in recordings):
        where = LABEL_TRACK
    return TrackFiles(({},) * len(recordings), {}) if where is None else open_tracks(recordings, where)


def _draw(
    folder: Path,
    units: pd.DataFrame,
    concepts: pd.DataFrame,
    examples: Sequence[Example],
    frames: dict[str, list[float]],
    iou_threshold: float,
    title: str,
) -> None:
    save_figure(count_figure(concepts, title), folder / "detectors.png")
    for each in examples:
        figure = draw_unit(units, each.layer, each.unit, iou_threshold, each, frames, title)
        save_figure(figure, folder / f"unit-{plain_name(each.layer)}-{each.unit}.png")
