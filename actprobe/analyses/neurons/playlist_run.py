"""Playlists of a neuron run: the excerpts that drive its best neurons highest and lowest, to be heard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from actprobe.analyses.neurons.merged import Merged
from actprobe.analyses.neurons.playlists import PLAYLIST_COLUMNS, Extremes, cut_playlist, playlist
from actprobe.corpora import Recording
from actprobe.errors import UsageError
from actprobe.provenance import write_csv

__all__ = ["best_of_layers", "parse_neurons", "write_playlists"]

Neurons = list[tuple[str, int]]


def parse_neurons(names: Sequence[str], merged: Merged) -> Neurons:
    """Read neurons given as ``layer/number``.

    Parameters
    ----------
    names : sequence of str
        Such as ``fc8/12`` or ``conv1/linear/3``.
    merged : Merged
        The run.

    Returns
    -------
    list of tuple
        Layer and number.

    Raises
    ------
    UsageError
        A layer that the run does not have, or no such neuron.
    """
    found = []
    for name in names:
        layer, _, number = name.rpartition("/")
        if layer not in merged.layers or not number.isdigit():
            raise UsageError(
                f"neuron {name!r} is not LAYER/NUMBER with a layer of {', '.join(merged.layers)}"
            )
        if int(number) >= merged.activity[layer].shape[1]:
            last = merged.activity[layer].shape[1] - 1
            raise UsageError(f"neuron {name!r}: {layer} has neurons 0 to {last}")
        found.append((layer, int(number)))
    return found


def best_of_layers(table: pd.DataFrame) -> Neurons:
    """Pick the neuron with the strongest correlation of every layer and feature.

    Parameters
    ----------
    table : pandas.DataFrame
        neurons.csv.

    Returns
    -------
    list of tuple
        Layer and number, each once.
    """
    strength = table["r"].abs().dropna()
    best = strength.groupby([table["layer"], table["feature"]], sort=False).idxmax()
    rows = table.loc[best]
    return list(dict.fromkeys(zip(rows["layer"], (int(number) for number in rows["neuron"]), strict=True)))


def write_playlists(
    merged: Merged, recordings: Sequence[Recording], directory: Path, neurons: Neurons, count: int
) -> pd.DataFrame:
    """Write playlists.csv and the excerpts that it names, cut out of their recordings.

    Parameters
    ----------
    merged : Merged
        The run.
    recordings : sequence of Recording
        The corpus.
    directory : Path
        Gets playlists.csv and the excerpts (flac).
    neurons : list of tuple
        Layer and number.
    count : int
        Excerpts at each end.

    Returns
    -------
    pandas.DataFrame
        playlists.csv.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for earlier in directory.glob("*.flac"):
        earlier.unlink()
    by_layer: dict[str, list[int]] = {}
    for layer, number in neurons:
        by_layer.setdefault(layer, []).append(number)
    parts = []
    for layer, numbers in by_layer.items():
        ends = merged.extremes(layer)
        parts.append(
            playlist(
                layer,
                Extremes(ends.highest, ends.highest_examples),
                Extremes(ends.lowest, ends.lowest_examples),
                list(merged.recordings["path"]),
                start_seconds=merged.start_seconds,
                example_seconds=float(merged.index["example_seconds"]),
                seconds=merged.recordings["seconds"].to_numpy(float),
                count=count,
                neurons=numbers,
            )
        )
    listed = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(PLAYLIST_COLUMNS))
    files = {recording.name: recording.path for recording in recordings}
    table = cut_playlist(listed, files, directory)
    write_csv(directory / "playlists.csv", table)
    return table
