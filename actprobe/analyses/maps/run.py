"""`maps`: which activation maps look like which feature maps, over a corpus of recordings.

A run goes over the corpus twice. First every recording's features are computed and their keypoints kept, in
processes without TensorFlow. Then the activations of every recording are compared with its own features and,
for the null, with those of a few other recordings, read from the files of the first pass. Both passes write a
shard a recording, so that a killed run goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from absl import logging

from actprobe.analyses.maps.channel_pass import ChannelJob, CountStore, partners_of
from actprobe.analyses.maps.feature_pass import FeatureJob
from actprobe.analyses.maps.figures import draw_figures
from actprobe.analyses.maps.gallery import Item, write_gallery
from actprobe.analyses.maps.look import Viewer, match_rows
from actprobe.analyses.maps.result import MapResult
from actprobe.analyses.maps.settings import MapSettings, look_up
from actprobe.analyses.maps.summary import map_summary
from actprobe.analyses.maps.table import map_table
from actprobe.batch.executors import DEFAULT, parse_executor, run_job
from actprobe.batch.handle import ModelHandle
from actprobe.batch.identity import made_by, run_key
from actprobe.batch.jobs import StageSeconds
from actprobe.batch.ledger import ledger_frame, refuse_unknown, usable_recordings
from actprobe.batch.opening import corpus_or_phantom, head_start, output_folder
from actprobe.batch.shards import ShardStore
from actprobe.batch.tables import write_parquet
from actprobe.corpora import Corpus, Recording
from actprobe.corpora.corpus import CorpusLike
from actprobe.errors import UsageError
from actprobe.features.own import import_features
from actprobe.features.registry import packages
from actprobe.models import Model
from actprobe.models.record import network_record
from actprobe.models.source import ModelSource
from actprobe.provenance import atomic_path, digest, run_record, write_csv, write_json

FEW = 8  # recordings below which p and q say little


def maps(
    model: Model | ModelSource,
    corpus: CorpusLike | None = None,
    *,
    layers: Sequence[str],
    features: Sequence[str] = ("harmonic", "percussive", "hpcp"),
    output_dir: str | Path,
    unit: str = "recording",
    longest_seconds: float = 30.0,
    null_partners: int = 3,
    seed: int = 0,
    threads: int = 2,
    all_matches: bool = False,
    executor: str = DEFAULT,
    figures: int = 3,
    features_from: str | Path | None = None,
) -> MapResult:
    """Compare every activation map of some layers with feature maps over a corpus.

    The map of a channel and that of a feature are brought to images on the same seconds and hertz, keypoints
    are found in both and matched, and the score is the share of keypoints with a match that agrees with
    others on where things are. A killed run goes on where it was when it is called again: recordings
    finished before are not computed again as long as the model, front end, features, versions and the
    recording itself are the same.

    Parameters
    ----------
    model : Model
        The network, from `actprobe.load_model` or `actprobe.wrap_model`.
    corpus : str, Path, list, pandas.DataFrame or Corpus, optional
        What `actprobe.open_corpus` takes; by default the phantom corpus, written into the folder.
    layers : sequence of str
        Names of layers that keep time and mel axes, see ``model.layers``; or ``all`` of these but
        pre-activations.
    features : sequence of str, optional
        Feature maps.
    output_dir : str or Path
        Gets maps.csv, maps.parquet, recordings.csv, matches.csv, run.json and the folders figures, gallery
        and shards.
    unit : str, optional
        ``recording``: images of whole recordings. ``excerpt``: images of examples by themselves, whose
        counts are added up over a recording all the same.
    longest_seconds : float, optional
        Whole recordings are cut into equal segments no longer than this, an image each; 0 for one image.
    null_partners : int, optional
        Other recordings whose features each recording is compared with for ``score_null``, p and q; 0
        leaves them empty.
    seed : int, optional
        Seed of the choice of partners.
    threads : int, optional
        Threads that find and match keypoints in the process of the network.
    all_matches : bool, optional
        Whether to write matches.parquet: every match of every map with its recording's own features.
    executor : str, optional
        ``local:N``: N processes decode and describe beside the network. ``dask:N`` or ``dask://HOST:PORT``: a
        cluster.
    figures : int, optional
        Maps that are drawn for each feature, the best first.
    features_from : str or Path, optional
        Python file with decorated feature maps of your own; it is run.

    Returns
    -------
    MapResult
        ``table``, ``recordings``, ``matches``, ``plot("LAYER/27", "percussive")``.

    Raises
    ------
    UsageError
        A layer, feature, unit or executor that does not exist, or a layer without maps.
    CorpusError
        The corpus cannot be read, or no recording could be used; recordings.csv is written all the same.
    OSError
        The folder cannot be made.

    Examples
    --------
    >>> found = actprobe.maps(
    ...     model, "FOLDER", layers=["conv1"], features=["percussive"], null_partners=1, output_dir="MAPS"
    ... )
    >>> found.table.shape[0]  # one row a channel
    64
    >>> best = found.table.sort_values("score", ascending=False).head()
    """
    began = time.time()
    model.layers.select(layers)
    parse_executor(executor)
    for name, count, least in (
        ("null_partners", null_partners, 0), ("figures", figures, 0), ("threads", threads, 1),
    ):  # fmt: skip
        if count < least:
            raise UsageError(f"{name}={count}: a number, at least {least}")
    if features_from is not None:
        import_features(features_from)
    look_up(model.layers, layers, features, unit, longest_seconds)
    recordings = corpus_or_phantom(corpus, model, Path(output_dir))
    folder = output_folder(output_dir)
    head_start(executor, len(recordings), FeatureJob.__module__, ChannelJob.__module__, *packages(features))
    opened = model.open()
    logging.info("%s on %d recordings of %s", opened, len(recordings), recordings.source)
    images = MapSettings.of(opened, layers, features, unit, longest_seconds)
    settings = _Settings(images, null_partners, seed, threads, all_matches, executor)
    viewer, table, ledger, made = _compute(opened, recordings, settings, folder)
    looks = viewer.best(table, figures)
    items = [Item.of(look) for look in looks]
    draw_figures(made, table, items, folder / "figures")
    write_gallery(items, folder)
    write_csv(folder / "matches.csv", match_rows(looks))
    arguments = {
        "corpus": recordings.source, "layers": list(images.grids), "features": list(features),
        "output_dir": str(folder), "unit": unit, "longest_seconds": longest_seconds,
        "null_partners": null_partners, "seed": seed, "threads": threads, "all_matches": all_matches,
        "executor": executor, "figures": figures,
        "features_from": None if features_from is None else str(features_from),
    }  # fmt: skip
    record = run_record("maps", began, arguments, made)
    write_json(folder / "run.json", {**record, **map_summary(made, table, ledger).counts})
    return MapResult.load(folder)


@dataclass(frozen=True)
class _Settings:
    """What was asked for, checked; see `maps`."""

    images: MapSettings
    null_partners: int
    seed: int
    threads: int
    all_matches: bool
    executor: str


def _compute(
    model: Model, corpus: Corpus, settings: _Settings, folder: Path
) -> tuple[Viewer, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Take the corpus through both passes and write the tables.

    Returns
    -------
    tuple
        What looks at maps again, maps.csv, recordings.csv, and what made the numbers.
    """
    images, shards, stages = settings.images, folder / "shards", StageSeconds()
    described, layers = images.describe(), list(images.grids)
    first = ShardStore(shards, f"features-{digest(described)}")
    rows = run_job(
        FeatureJob(images), corpus, first, settings.executor, stages=stages, what="recordings described"
    )
    usable = [recording for recording, row in zip(corpus, rows, strict=True) if row.status == "ok"]
    decides = made_by(
        model,
        layers=layers,
        **{name: value for name, value in described.items() if name not in ("frontend", "versions")},
        null_partners=settings.null_partners,
        seed=settings.seed,
        all_matches=settings.all_matches,
    )
    key = run_key(decides, model.weights)
    second = CountStore(shards, key, partners_of(usable, settings.null_partners, settings.seed))
    if usable:
        job = ChannelJob(ModelHandle(model), images, first, settings.threads, settings.all_matches)
        compared = run_job(
            job, usable, second, settings.executor,
            stages=stages, what="recordings compared", least_seconds=model.example_seconds,
        )  # fmt: skip
        counted = {row.path: row for row in compared}
        rows = [counted.get(row.path, row) for row in rows]
    ledger = ledger_frame(rows, ())
    write_csv(folder / "recordings.csv", ledger)
    usable = usable_recordings(corpus, rows, corpus.source)
    if len(usable) < FEW:
        smallest = (1 + min(settings.null_partners, len(usable) - 1)) ** -len(usable)
        logging.warning("%d usable recordings: no p can be below %.2g", len(usable), smallest)
    counts = second.counts(usable, layers)
    names = [feature.name for feature in images.features]
    table = map_table(model.name, counts, names)
    unknown = [name for name in names if not table.loc[table["feature"] == name, "n"].any()]
    refuse_unknown(rows, names, unknown, corpus.source)
    write_csv(folder / "maps.csv", table)
    write_parquet(folder / "maps.parquet", table, key)
    if settings.all_matches:
        _write_matches(folder / "matches.parquet", second, usable, images, key)
    ran = {"corpus": corpus.source, "mono": corpus.mono, "run_key": key, "stages": asdict(stages)}
    made = {**decides, **network_record(model), **ran}
    return Viewer(model, images, usable, counts), table, ledger, made


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
