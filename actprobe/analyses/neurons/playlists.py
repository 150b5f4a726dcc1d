"""Playlists: the excerpts of a corpus that drive a neuron highest and lowest, to listen to.

A playlist takes at most one excerpt of each recording, so that ten excerpts are ten recordings and not
ten moments of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile
from numpy.typing import ArrayLike, NDArray

from actprobe.analyses.neurons.merged import Merged
from actprobe.audio import Waveform
from actprobe.corpora import Recording
from actprobe.corpora.folder import readable_name
from actprobe.errors import AudioError, UsageError
from actprobe.provenance import atomic_path, write_csv

PLAYLIST_COLUMNS = ("layer", "neuron", "end", "rank", "path", "start_seconds", "end_seconds", "value")
FORMATS = ("flac", "wav")
FADE_SECONDS = 0.01
NEURONS_AT_ONCE = 256


@dataclass(frozen=True)
class Extremes:
    """The example of every unit that drives each neuron the most, upwards or downwards.

    Parameters
    ----------
    activity : numpy.ndarray
        Largest or smallest activation, shape [units, neurons], an array or a memory map; NaN where there
        is none.
    examples : numpy.ndarray
        int, same shape: number of that example in its recording.
    """

    activity: NDArray[Any]
    examples: NDArray[Any]


def playlist(
    layer: str,
    highest: Extremes,
    lowest: Extremes,
    paths: Sequence[str],
    *,
    start_seconds: Callable[[int, int], float],
    example_seconds: float,
    recordings: ArrayLike | None = None,
    seconds: ArrayLike | None = None,
    count: int = 10,
    neurons: Iterable[int] | None = None,
) -> pd.DataFrame:
    """List the excerpts that drive neurons highest and lowest.

    Parameters
    ----------
    layer : str
        Name of the layer.
    highest, lowest : Extremes
        Over the examples of each unit: a recording, or an excerpt.
    paths : sequence of str
        For each unit, name of its recording.
    start_seconds : callable
        Number of a recording, number of an example in it -> seconds at which the example begins.
    example_seconds : float
        Duration of an example.
    recordings : array_like, optional
        For each unit, number of its recording; by default units are recordings.
    seconds : array_like, optional
        For each unit, duration of its recording: an example that is filled up beyond it ends there.
    count : int, optional
        Excerpts at each end, of as many recordings.
    neurons : iterable of int, optional
        Which neurons, in this order; by default all.

    Returns
    -------
    pandas.DataFrame
        Columns `PLAYLIST_COLUMNS`: ``end`` is ``top`` or ``bottom``, ``rank`` counts from 1 for the most
        extreme. Of equal values the unit that comes first in the corpus is first.

    Raises
    ------
    ValueError
        Shapes that do not fit.
    UsageError
        A neuron that the layer does not have.
    """
    shape = highest.activity.shape
    others = (highest.examples, lowest.activity, lowest.examples)
    if len(shape) != 2 or any(values.shape != shape for values in others) or len(paths) != shape[0]:
        raise ValueError(f"extremes [units, neurons] and {len(paths)} paths do not fit: {shape}")
    chosen = list(range(shape[1])) if neurons is None else [int(neuron) for neuron in neurons]
    for neuron in chosen:
        if not 0 <= neuron < shape[1]:
            raise UsageError(f"{layer} has neurons 0 to {shape[1] - 1}, not {neuron}")
    numbers = np.arange(shape[0]) if recordings is None else np.asarray(recordings)
    limits = np.full(shape[0], np.inf) if seconds is None else np.asarray(seconds, np.float64)
    rows: list[tuple[Any, ...]] = []
    for start in range(0, len(chosen), NEURONS_AT_ONCE):
        some = chosen[start : start + NEURONS_AT_ONCE]
        sides = [
            (end, sign, np.asarray(extremes.activity[:, some], np.float64), extremes.examples)
            for end, sign, extremes in (("top", -1.0, highest), ("bottom", 1.0, lowest))
        ]
        for column, neuron in enumerate(some):
            for end, sign, block, examples in sides:
                activity = block[:, column]
                best = _first_of_each(np.argsort(sign * activity, kind="stable"), numbers)
                best = best[~np.isnan(activity[best])][:count]
                for rank, unit in enumerate(best, start=1):
                    begin = start_seconds(int(numbers[unit]), int(examples[unit, neuron]))
                    until = min(begin + example_seconds, float(limits[unit]))
                    rows.append((layer, neuron, end, rank, paths[unit], begin, until, float(activity[unit])))
    return pd.DataFrame(rows, columns=list(PLAYLIST_COLUMNS))


def layer_playlist(
    merged: Merged, layer: str, count: int, neurons: Iterable[int] | None = None
) -> pd.DataFrame:
    """List the excerpts of a finished run that drive neurons of a layer highest and lowest."""
    ends = merged.extremes(layer)
    return playlist(
        layer,
        Extremes(ends.highest, ends.highest_examples),
        Extremes(ends.lowest, ends.lowest_examples),
        list(merged.recordings["path"]),
        start_seconds=merged.start_seconds,
        example_seconds=float(merged.index["example_seconds"]),
        seconds=merged.recordings["seconds"].to_numpy(np.float64),
        count=count,
        neurons=neurons,
    )


def best_of_layers(table: pd.DataFrame) -> list[tuple[str, int]]:
    """Pick the neuron with the strongest correlation of every layer and feature of neurons.csv, each once."""
    strength = table["r"].abs().dropna()
    best = strength.groupby([table["layer"], table["feature"]], sort=False).idxmax()
    rows = table.loc[best]
    return list(dict.fromkeys(zip(rows["layer"], (int(number) for number in rows["neuron"]), strict=True)))


def write_playlists(
    merged: Merged,
    recordings: Sequence[Recording],
    directory: Path,
    neurons: Sequence[tuple[str, int]],
    count: int,
) -> pd.DataFrame:
    """Write playlists.csv and the excerpts that it names (flac), so many at each end of each neuron."""
    directory.mkdir(parents=True, exist_ok=True)
    for earlier in directory.glob("*.flac"):
        earlier.unlink()
    by_layer: dict[str, list[int]] = {}
    for layer, number in neurons:
        by_layer.setdefault(layer, []).append(number)
    parts = [layer_playlist(merged, layer, count, numbers) for layer, numbers in by_layer.items()]
    listed = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(PLAYLIST_COLUMNS))
    table = cut_playlist(listed, {recording.name: recording for recording in recordings}, directory)
    write_csv(directory / "playlists.csv", table)
    return table


def _first_of_each(order: NDArray[np.intp], numbers: NDArray[Any]) -> NDArray[np.intp]:
    """Keep the first unit of every recording, in the order given."""
    _, first = np.unique(numbers[order], return_index=True)
    return np.asarray(order[np.sort(first)])


def cut_playlist(
    table: pd.DataFrame,
    recordings: Mapping[str, Recording],
    output_dir: Path,
    *,
    audio_format: str = "flac",
) -> pd.DataFrame:
    """Cut the excerpts of a playlist out of their recordings.

    Parameters
    ----------
    table : pandas.DataFrame
        What `playlist` gave, or some rows of it.
    recordings : mapping
        Name of a recording -> the recording.
    output_dir : Path
        Gets one audio file an excerpt: mono, at the recording's own rate, with fades of 10 ms, named
        by layer, neuron, end and rank and by what of the recording's name a file name can hold.
    audio_format : str, optional
        ``flac`` or ``wav``, both of 16 bit.

    Returns
    -------
    pandas.DataFrame
        The table with the columns ``file``, empty where there is none, and ``reason`` why not.

    Raises
    ------
    UsageError
        Another format.
    """
    if audio_format not in FORMATS:
        raise UsageError(f"excerpts are cut as {' or '.join(FORMATS)}, not {audio_format!r}")
    output_dir.mkdir(parents=True, exist_ok=True)
    rows = table.reset_index(drop=True)
    names = _file_names(rows, audio_format)
    files, reasons = [""] * len(rows), [""] * len(rows)
    for path, positions in rows.groupby("path", sort=False).indices.items():
        try:
            if str(path) not in recordings:
                raise AudioError(str(path), "is not a recording of the corpus")
            waveform = recordings[str(path)].waveform()
        except AudioError as error:
            for i in positions:
                reasons[i] = error.reason
            continue
        for i in positions:
            begin, end = float(rows["start_seconds"].iloc[i]), float(rows["end_seconds"].iloc[i])
            reasons[i] = _cut(waveform, begin, end, output_dir / names[i])
            files[i] = "" if reasons[i] else names[i]
    return rows.assign(file=files, reason=reasons)


def _cut(waveform: Waveform, begin: float, end: float, path: Path) -> str:
    """Write an excerpt in the format of its suffix; return why it could not be done, or nothing."""
    rate = waveform.sample_rate
    excerpt = waveform.samples[max(0, round(begin * rate)) : round(end * rate)].copy()
    if not len(excerpt):
        return f"lasts {waveform.seconds:.2f} s; the excerpt begins at {begin:.2f} s"
    fade = min(round(FADE_SECONDS * rate), len(excerpt) // 2)
    ramp = (np.arange(fade, dtype=np.float32) + 0.5) / max(fade, 1)
    excerpt[:fade] *= ramp
    excerpt[len(excerpt) - fade :] *= ramp[::-1]
    kind = path.suffix[1:].upper()
    try:
        with atomic_path(path) as temporary:
            soundfile.write(temporary, np.clip(excerpt, -1, 1), rate, format=kind, subtype="PCM_16")
    except (OSError, soundfile.SoundFileError) as error:
        return f"cannot be written as {kind.lower()} ({error})"
    return ""


def _file_names(rows: pd.DataFrame, audio_format: str) -> list[str]:
    """Name the excerpts so that every name is a file name and none is given twice."""
    names: dict[str, int] = {}
    found = []
    for row in rows.itertuples():
        layer, stem = (readable_name(text) for text in (str(row.layer), Path(str(row.path)).stem))
        name = f"{layer}-{row.neuron}-{row.end}-{int(str(row.rank)):02d}-{stem}"
        names[name] = names.get(name, 0) + 1
        found.append(f"{name}{f'-{names[name]}' if names[name] > 1 else ''}.{audio_format}")
    return found
