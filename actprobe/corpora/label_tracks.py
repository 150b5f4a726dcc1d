"""Labels over time, of anything, from CSV and JAMS files beside the recordings.

A CSV has a header. With a column ``time`` a row holds from its time to that of the next row, the last one
for the median distance of the rows. With ``start`` and ``end`` it holds in between. Each further column is
a track by its name. Times are in seconds.

A JAMS file (Humphrey and others, ISMIR 2014) is read as the JSON that it is: the first annotation of each
namespace is a track by the namespace's name. An observation holds for its duration, or, where all durations
are 0, up to the next. A value is a number, text, or an object with a ``frequency`` (and ``voiced``), as of
pitch contours.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.corpora.corpus import Corpus
from actprobe.corpora.folder import Recording
from actprobe.corpora.label_files import read_text
from actprobe.errors import CorpusError, UsageError

SUFFIXES = (".csv", ".jams")
BAND = ("low_hz", "high_hz")  # columns of a CSV that say which frequencies a row is about, empty for all

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Track:
    """What holds when.

    ``starts``, ascending, and ``ends``: float64 [rows], seconds. ``values``: text.
    """

    starts: Floats
    ends: Floats
    values: tuple[str, ...]

    def at(self, seconds: float) -> list[str]:
        """List the values that hold at a time, the latest to begin last; empty where none does."""
        return [self.values[row] for row in np.flatnonzero((self.starts <= seconds) & (seconds < self.ends))]


@dataclass(frozen=True)
class TrackFiles:
    """The tracks of a corpus.

    ``tracks``: for each recording, its tracks by name, empty where there are none. ``faults``: name of a
    recording -> why it has none.
    """

    tracks: tuple[dict[str, Track], ...]
    faults: dict[str, str]

    @property
    def names(self) -> list[str]:
        """Names of all tracks, sorted."""
        return sorted({name for tracks in self.tracks for name in tracks})


def open_tracks(corpus: Corpus, where: str | Path) -> TrackFiles:
    """Read the label files of a corpus.

    ``where`` is a column of the corpus that names them, relative to the manifest, or their folder, in which
    they have the recordings' paths or names: ``NAME.csv`` or ``NAME.jams``. A file that is missing or bad
    costs only its recording. UsageError: no such column or folder. CorpusError: no file is usable.
    """
    column = any(str(where) in recording.labels for recording in corpus)
    if not column and not Path(where).is_dir():
        raise UsageError(f"frame labels {where}: neither a folder nor a column of the corpus")
    base = Path(corpus.source).parent if Path(corpus.source).is_file() else Path.cwd()
    tracks: list[dict[str, Track]] = []
    faults: dict[str, str] = {}
    for recording in corpus:
        entry = recording.labels.get(str(where), "").strip()
        path = (base / entry if entry else None) if column else _file_in(Path(where), recording)
        found, fault = _read(path, f"column {where}" if column else str(where))
        tracks.append(found)
        if fault:
            faults[recording.name] = fault
    if len(faults) == len(corpus):
        first = next(iter(faults.values()))
        raise CorpusError(where, f"no label file of {len(corpus)} recordings is usable; the first: {first}")
    return TrackFiles(tuple(tracks), faults)


def _read(path: Path | None, where: str) -> tuple[dict[str, Track], str]:
    """Read the tracks of a recording, or say why that is not possible."""
    if path is None:
        return {}, f"{where} has no label file of it"
    try:
        return read_tracks(path), ""
    except CorpusError as error:
        return {}, str(error)


def _file_in(folder: Path, recording: Recording) -> Path | None:
    inside = Path(recording.name)
    stems = [recording.path.stem] if inside.is_absolute() else [inside.with_suffix(""), recording.path.stem]
    found = (folder / f"{stem}{suffix}" for stem in stems for suffix in SUFFIXES)
    return next((path for path in found if path.is_file()), None)


def read_tracks(path: Path) -> dict[str, Track]:
    """Read the tracks of a label file by name; CorpusError, with the line, where it is none."""
    text = read_text(path)
    found = _of_jams(path, text) if path.suffix.lower() == ".jams" else _of_csv(path, text)
    if not found:
        raise CorpusError(path, "holds no labels")
    return found


def _of_csv(path: Path, text: str) -> dict[str, Track]:
    lines = csv.reader(text.splitlines())
    header = [name.strip() for name in next(lines, [])]
    timed = ["time"] if "time" in header else ["start", "end"]
    names = [name for name in header if name not in timed]
    if not set(timed) <= set(header) or not all(names) or not names or len(set(header)) < len(header):
        raise CorpusError(path, f"line 1: {header} is not: time or start and end, and columns of labels")
    times: list[list[float]] = []
    cells: dict[str, list[str]] = {name: [] for name in names}
    try:
        for line in lines:
            if not any(line):
                continue
            if len(line) != len(header):
                told = f"line {lines.line_num} has {len(line)} cells, the header has {len(header)}"
                raise CorpusError(path, told)
            row = dict(zip(header, line, strict=True))
            _refuse_band(path, f"line {lines.line_num}", row)
            times.append([_seconds(path, f"line {lines.line_num}", row[name]) for name in timed])
            if times[-1][0] > times[-1][-1]:
                raise CorpusError(path, f"line {lines.line_num} ends before it starts")
            for name in names:
                cells[name].append(row[name].strip())
    except csv.Error as error:
        raise CorpusError(path, f"line {lines.line_num}: {error}") from error
    if not times:
        return {}
    return {
        name: _track([each[0] for each in times], [each[1:] for each in times], cells[name]) for name in names
    }


def _refuse_band(path: Path, where: str, row: Mapping[str, str]) -> None:
    cells = [row.get(name, "").strip() for name in BAND]
    try:
        low, high = (float(cell or end) for cell, end in zip(cells, (0, math.inf), strict=True))
    except ValueError:
        low = high = math.nan
    if not 0 <= low < high:
        raise CorpusError(path, f"{where}: low_hz {cells[0]!r} to high_hz {cells[1]!r} is no band in Hz")


def _of_jams(path: Path, text: str) -> dict[str, Track]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorpusError(path, f"is not JSON: {error}") from error
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(annotations, list):
        raise CorpusError(path, "is not JAMS: it has no list of annotations")
    found: dict[str, Track] = {}
    for number, annotation in enumerate(annotations):
        place = f"annotation {number}"
        namespace = annotation.get("namespace") if isinstance(annotation, dict) else None
        if not isinstance(namespace, str):
            raise CorpusError(path, f"{place} has no namespace")
        rows = _observations(path, place, annotation.get("data"))
        if rows and namespace not in found:
            lasting = any(row["duration"] for row in rows)
            ends = [[row["time"] + row["duration"]] if lasting else [] for row in rows]
            found[namespace] = _track([row["time"] for row in rows], ends, [row["value"] for row in rows])
    return found


def _observations(path: Path, place: str, data: Any) -> list[dict[str, Any]]:
    """Check the observations of an annotation: a list of objects, or, of older files, an object of lists."""
    keys = ("time", "duration", "value")
    if isinstance(data, dict) and all(isinstance(data.get(key), list) for key in keys):
        data = [dict(zip(keys, row, strict=False)) for row in zip(*(data[key] for key in keys), strict=False)]
    if not isinstance(data, list):
        raise CorpusError(path, f"{place} has no data")
    found = []
    for number, each in enumerate(data):
        where = f"{place}, observation {number}"
        if not isinstance(each, dict) or not set(keys) <= set(each):
            raise CorpusError(path, f"{where} is not: time, duration, value")
        timed = {key: _seconds(path, where, each[key]) for key in keys[:2]}
        found.append({**timed, "value": _text(path, where, each["value"])})
    return found


def _text(path: Path, where: str, value: Any) -> str:
    if isinstance(value, dict) and "frequency" in value:
        value = value["frequency"] if value.get("voiced", True) else None
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise CorpusError(path, f"{where}: the value is {json.dumps(value)[:40]}, neither a number nor text")
    return value.strip() if isinstance(value, str) else repr(float(value))


def _seconds(path: Path, where: str, value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise CorpusError(path, f"{where}: {str(value)[:40]!r} is no time in seconds")
    return seconds


def _track(starts: Sequence[float], ends: Sequence[Sequence[float]], values: Sequence[str]) -> Track:
    """Sort rows by time; without ends each holds up to the next."""
    begin = np.asarray(starts, np.float64)
    order = np.argsort(begin, kind="stable")
    begin = begin[order]
    if ends[0]:
        end = np.array([each[0] for each in ends], np.float64)[order]
    else:
        last = float(np.median(np.diff(begin))) if len(begin) > 1 else math.inf
        end = np.append(begin[1:], begin[-1] + last)
    return Track(begin, end, tuple(values[row] for row in order))
