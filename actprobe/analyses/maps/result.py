"""A finished map run, as Python and notebooks see it."""

from __future__ import annotations

from functools import cached_property

import pandas as pd
from matplotlib.figure import Figure

from actprobe.analyses.maps.channel_pass import CountStore, partners_of
from actprobe.analyses.maps.figures import pair_figure
from actprobe.analyses.maps.gallery import Item, read_gallery
from actprobe.analyses.maps.look import Viewer
from actprobe.analyses.maps.settings import MapSettings
from actprobe.analyses.maps.summary import map_summary
from actprobe.analyses.maps.table import rank_maps
from actprobe.batch.result import Result
from actprobe.corpora import open_corpus
from actprobe.corpora.corpus import CorpusLike
from actprobe.errors import UsageError
from actprobe.models import Model
from actprobe.models.layer_table import read_unit
from actprobe.models.source import ModelSource
from actprobe.provenance import canonical_json


class MapResult(Result):
    """A finished map run: what `actprobe.maps` returns.

    Examples
    --------
    >>> found = actprobe.load_run("MAPS")
    >>> best = found.table.sort_values("score").tail()
    >>> figure = found.plot()
    """

    KIND = "maps"
    TABLE = "maps.parquet"

    @cached_property
    def matches(self) -> pd.DataFrame:
        """matches.csv: one row a match of the maps that were drawn; ``matches.parquet`` may have them all."""
        return self.frame("matches.csv")

    @property
    def summary(self) -> str:
        """What was found, in the lines that the binary prints."""
        return map_summary(self.record, self.table, self.recordings).text

    def plot(
        self,
        channel: str | None = None,
        feature: str | None = None,
        *,
        model: Model | ModelSource | None = None,
        corpus: CorpusLike | None = None,
    ) -> Figure:
        """Draw a channel's map and a feature with their matches, as in the folder ``figures``.

        The recording and the segment are those in which most matches agree. Maps that the run has drawn
        (``figures``) are drawn from its folder; for others the recording goes through the network again.

        Parameters
        ----------
        channel : str, optional
            ``LAYER/NUMBER``; by default the one with the highest score for the feature.
        feature : str, optional
            A feature of the run, by default the first one.
        model : Model, optional
            The network of the run, for a map that the run has not drawn.
        corpus : str, Path, list, pandas.DataFrame or Corpus, optional
            The corpus of the run; needed with ``model`` where it was a list or a data frame.

        Returns
        -------
        matplotlib.figure.Figure
            The feature above the map, a line for every match, those that agree in orange.

        Raises
        ------
        UsageError
            No such channel or feature, a map that was not drawn and no ``model``, or another network.
        CorpusError
            The corpus, or the shards of the run, are no longer what they were.
        """
        features = list(dict.fromkeys(self.table["feature"]))
        feature = features[0] if feature is None else feature
        if feature not in features:
            raise UsageError(f"the run has no feature {feature!r}; it has {', '.join(features)}")
        layer, number = self._best(feature) if channel is None else self._read(channel)
        item = self._drawn(layer, number, feature) if model is None else None
        if item is None:
            if model is None:
                raise UsageError(
                    f"{layer}/{number} beside {feature} was not drawn by this run: give model=, its network"
                )
            item = Item.of(open_viewer(self, model, corpus).look(layer, number, feature))
        return pair_figure(self.record, self.table, item, feature)

    def _best(self, feature: str) -> tuple[str, int]:
        best = rank_maps(self.table, feature, 1)
        if best.empty:
            raise UsageError(f"no map has matches with {feature} that agree: name one to draw it")
        return str(best["layer"].iloc[0]), int(best["channel"].iloc[0])

    def _read(self, channel: str) -> tuple[str, int]:
        highest = self.table.groupby("layer", sort=False)["channel"].max()
        return read_unit(channel, {str(layer): int(last) + 1 for layer, last in highest.items()}, "channel")

    def _drawn(self, layer: str, number: int, feature: str) -> Item | None:
        """Find a map in the gallery, best where it was chosen for the feature."""
        items = [item for item in read_gallery(self.folder) if (item.layer, item.channel) == (layer, number)]
        chosen = [item for item in items if item.feature == feature]
        return next((item for item in [*chosen, *items] if item.side(feature)), None)


def open_viewer(found: MapResult, model: Model | ModelSource, corpus: CorpusLike | None = None) -> Viewer:
    """Open what looks at any channel of a run again, with the network of the run and all that it counted.

    The corpus can be opened again by its source unless it was a list or a data frame. Errors as
    `MapResult.plot` has them.
    """
    record, opened = found.record, model.open()
    given = [opened.name, opened.weights.sha256, opened.weights.seed, opened.frontend.describe()]
    known = [record["model"], record["weights"]["sha256"], record["weights"]["seed"], record["frontend"]]
    if canonical_json(given) != canonical_json(known):
        raise UsageError(f"the run was not made with {opened}: its name, weights or front end differ")
    if corpus is None and record["corpus"].startswith(("list of ", "data frame of ")):
        raise UsageError(f"the corpus of the run was a {record['corpus']}: give it again, corpus=")
    recordings = open_corpus(record["corpus"] if corpus is None else corpus)
    names = set(found.recordings.loc[found.recordings["status"] == "ok", "path"])
    usable = [recording for recording in recordings if recording.name in names]
    if len(usable) != len(names):
        raise UsageError(f"{recordings.source} does not hold the {len(names)} usable recordings of the run")
    layers = record["layers"]
    settings = MapSettings.of(
        opened, layers, list(record["features"]), record["unit"], record["longest_seconds"]
    )
    partners = partners_of(usable, record["null_partners"], record["seed"])
    store = CountStore(found.folder / "shards", record["run_key"], partners)
    return Viewer(opened, settings, usable, store.counts(usable, layers))
