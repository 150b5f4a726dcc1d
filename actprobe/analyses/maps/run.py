"""The map run: a folder of recordings in, the table of activation maps against feature maps out.

It goes over the corpus twice. First every recording's features are computed and their keypoints kept, in
processes without TensorFlow. Then the activations of every recording are compared with its own features and,
for the null, with those of a few other recordings, read from the files of the first pass. Both passes write a
shard a recording, so that a killed run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from absl import logging
from numpy.typing import NDArray

from actprobe.analyses.maps.counting import CountStore, MapJob, partners_of
from actprobe.analyses.maps.describing import FeatureJob
from actprobe.analyses.maps.settings import MapSettings
from actprobe.analyses.maps.table import map_table
from actprobe.batch.executors import DEFAULT, run_job
from actprobe.batch.handle import ModelHandle
from actprobe.batch.identity import run_key
from actprobe.batch.ledger import ledger_frame, usable_recordings
from actprobe.batch.shards import ShardStore
from actprobe.batch.tables import write_parquet
from actprobe.corpora import Recording
from actprobe.errors import UsageError
from actprobe.models import Model
from actprobe.provenance import atomic_path, digest, write_csv

__all__ = ["LONGEST_SECONDS", "PARTNERS", "MapRun", "run_maps"]

LONGEST_SECONDS = 30.0
PARTNERS = 3
FEW = 8  # recordings below which p and q say little


@dataclass(frozen=True)
class MapRun:
    """What a map run found.

    Parameters
    ----------
    table : pandas.DataFrame
        maps.csv: one row a layer, feature and channel.
    recordings : pandas.DataFrame
        recordings.csv: the ledger, one row a recording.
    usable : tuple of Recording
        The recordings that entered, in the order of the counts.
    counts : dict
        Layer name -> float64 [usable recordings, features, 1 + partners, channels, 6].
    settings : MapSettings
        What decided the images.
    provenance : dict
        What made the numbers, JSON-able, for run.json.
    """

    table: pd.DataFrame
    recordings: pd.DataFrame
    usable: tuple[Recording, ...]
    counts: dict[str, NDArray[np.float64]]
    settings: MapSettings
    provenance: dict[str, Any]


def run_maps(
    model: Model,
    corpus: str | Path,
    recordings: Sequence[Recording],
    *,
    layers: Sequence[str],
    features: Sequence[str],
    output_dir: Path,
    executor: str = DEFAULT,
    unit: str = "recording",
    longest_seconds: float = LONGEST_SECONDS,
    null_partners: int = PARTNERS,
    seed: int = 0,
    threads: int = 2,
    all_matches: bool = False,
) -> MapRun:
    """Compare the activation maps of some layers with feature maps over a corpus, and write the tables.

    Parameters
    ----------
    model : Model
        The network.
    corpus : str or Path
        What the recordings came from, for messages.
    recordings : sequence of Recording
        The corpus.
    layers : sequence of str
        Layers that keep time and mel axes.
    features : sequence of str
        Feature maps.
    output_dir : Path
        Gets recordings.csv, maps.csv, maps.parquet and the folder shards.
    executor : str, optional
        Who does the work, see `actprobe.batch.executors`.
    unit : str, optional
        ``recording``: images of whole recordings. ``excerpt``: of examples by themselves; what is
        counted is added up over a recording all the same.
    longest_seconds : float, optional
        Whole recordings are cut into stretches that are no longer; 0 for one image a recording.
    null_partners : int, optional
        Other recordings that each is compared with for the null; fewer where there are fewer.
    seed : int, optional
        Seed of the choice of partners.
    threads : int, optional
        Threads that find and match keypoints in the process of the network.
    all_matches : bool, optional
        Whether to write matches.parquet: every match of every map with its recording's own features.

    Returns
    -------
    MapRun
        Tables, the counts behind them and their provenance.

    Raises
    ------
    CorpusError
        No recording could be used; recordings.csv is written all the same.
    UsageError
        A layer, feature or unit that does not exist, or a layer without maps.
    """
    settings = MapSettings.of(model, layers, features, unit, longest_seconds)
    if null_partners < 0:
        raise UsageError(f"null_partners={null_partners}: a number of recordings")
    described = settings.describe()
    output_dir.mkdir(parents=True, exist_ok=True)
    first = ShardStore(output_dir / "shards", f"features-{digest(described)}")
    rows = run_job(FeatureJob(settings), recordings, first, executor)
    usable = [recording for recording, row in zip(recordings, rows, strict=True) if row.status == "ok"]
    partners = partners_of(usable, null_partners, seed)
    provenance = {
        "model": model.name,
        "weights": {**vars(model.weights)},
        "layers": list(settings.grids),
        **described,
        "null_partners": null_partners,
        "seed": seed,
        "all_matches": all_matches,
    }
    key = run_key(provenance, model.weights)
    second = CountStore(output_dir / "shards", f"maps-{key}", partners)
    if usable:
        job = MapJob(ModelHandle(model), settings, first, threads, all_matches)
        counted = {row.path: row for row in run_job(job, usable, second, executor)}
        rows = [counted.get(row.path, row) for row in rows]
    ledger = ledger_frame(rows, ())
    write_csv(output_dir / "recordings.csv", ledger)
    usable = usable_recordings(recordings, rows, corpus)
    if len(usable) < FEW:
        smallest = (1 + min(null_partners, len(usable) - 1)) ** -len(usable)
        logging.warning("%d usable recordings: no p can be below %.2g", len(usable), smallest)
    counts = _gather(second, usable, list(settings.grids))
    table = map_table(model.name, counts, features)
    write_csv(output_dir / "maps.csv", table)
    write_parquet(output_dir / "maps.parquet", table, key)
    if all_matches:
        _write_matches(output_dir / "matches.parquet", second, usable, settings, key)
    return MapRun(table, ledger, tuple(usable), counts, settings, {**provenance, "run_key": key})


def _gather(
    store: CountStore, recordings: Sequence[Recording], layers: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    counts: dict[str, NDArray[np.float64]] = {}
    for i, recording in enumerate(recordings):
        shard = store.needed(recording)
        for layer in layers:
            if layer not in counts:
                counts[layer] = np.empty((len(recordings), *shard.arrays[layer].shape))
            counts[layer][i] = shard.arrays[layer]
    return counts


def _write_matches(
    path: Path, store: CountStore, recordings: Sequence[Recording], settings: MapSettings, key: str
) -> None:
    """Write every match, a recording and layer at a time."""
    names = [feature.name for feature in settings.features]
    writer = None
    with atomic_path(path) as temporary:
        for recording in recordings:
            shard = store.needed(recording)
            for layer in settings.grids:
                rows = shard.arrays[f"{layer}/matches"]
                columns: dict[str, Any] = {
                    "recording": pa.array([recording.name] * len(rows), pa.string()),
                    "layer": pa.array([layer] * len(rows), pa.string()),
                    "feature": pa.array([names[number] for number in rows["feature"]], pa.string()),
                    **{
                        name: np.ascontiguousarray(rows[name])
                        for name in rows.dtype.names or ()
                        if name != "feature"
                    },
                }
                table = pa.table(columns).replace_schema_metadata({"actprobe_run": key})
                writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(table)
        if writer is not None:
            writer.close()
