"""A folder of recordings, a manifest CSV or one file -> a list of recordings."""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from absl import logging

from actprobe.errors import CorpusError
from actprobe.provenance import is_run

if TYPE_CHECKING:
    from actprobe.audio import Waveform

PLAIN_CHARACTERS = 60
SHOWN = 5  # of what is left out

SOUNDS_OF_RUNS = frozenset({"playlists", "report", "sounds"})  # folders in which runs write what they cut out
AUDIO_SUFFIXES = frozenset(
    "." + suffix
    for suffix in re.findall(
        r"\w+",
        """
        3g2 3gp aac ac3 adts aif aifc aiff amr ape asf au avi bwf caf dff dsf dts eac3 flac flv iff m2ts m4a
        m4b m4v mka mkv mov mp2 mp3 mp4 mpc mpeg mpg mpga mts oga ofr ogg ogv opus ra rf64 snd sph spx ts tta
        voc w64 wav wave weba webm wma wmv wv
        """,
    )
)


STEM = "stem_"  # what columns of a manifest begin with that name files of known parts: stem_voice
MEAN = "mean"
MONO = (MEAN, "left", "right", "loudest")  # what is read of the channels, as `actprobe.load_audio` takes it


@dataclass(frozen=True)
class Recording:
    """One audio file of a corpus.

    ``name`` is unique: the path relative to the folder or as the manifest gives it, with forward slashes,
    and with escapes (``\\xe9``) for bytes that are not UTF-8. ``labels`` are further columns of the manifest,
    as text, and ``folder``, the subfolder, where it is in one. ``mono`` is one of `MONO`.
    """

    name: str
    path: Path
    labels: dict[str, str] = field(default_factory=dict, compare=False)
    mono: str = field(default=MEAN, kw_only=True)

    def waveform(self, sample_rate: int | None = None, max_seconds: float | None = None) -> Waveform:
        """Decode it, by default at its own rate; AudioError where that is not possible.

        TooLongError where it is longer than ``max_seconds``.
        """
        from actprobe.audio import load_audio

        if max_seconds is None:
            return load_audio(self.path, sample_rate, mono=self.mono)
        return load_audio(self.path, sample_rate, mono=self.mono, max_seconds=max_seconds)

    def __post_init__(self) -> None:
        """Make the name text that every file and terminal takes; the path stays what it is."""
        object.__setattr__(self, "name", printable_name(self.name))


def open_folder(source: str | Path) -> list[Recording]:
    """List the recordings of a folder, a CSV manifest or one audio file; at least one.

    A folder is walked with its subfolders and sorted by name; files with an audio suffix count, hidden ones
    do not, and how many others there are is logged. What a run wrote, such as playlists, is left out.
    A manifest is a CSV with a column ``path``, relative to the manifest's folder; what it names is listed in
    its order, whether it exists or not, so that a run can say what is missing. CorpusError: nothing
    usable there, or not a readable manifest.
    """
    source = Path(source)
    if source.is_dir():
        walk = _Walk(source)
        recordings = sorted(walk, key=lambda recording: recording.name)
        left_out = walk.left_out()
        if not recordings:
            nothing = "holds no audio file (.wav, .flac, .ogg, .mp3, .m4a, ...)"
            raise CorpusError(source, "; ".join([nothing, *left_out]))
        for line in left_out:
            logging.info("%s: %s", source, line)
        return recordings
    if not source.exists():
        raise CorpusError(source, "does not exist")
    if source.suffix.lower() == ".csv":
        return _read_manifest(source)
    return [Recording(source.name, source)]


def open_split(source: str | Path, split: str | None = None) -> list[Recording]:
    """List the recordings of a folder, a manifest or one file whose label ``split`` is the one asked for."""
    recordings = open_folder(source)
    chosen = [one for one in recordings if split in (None, one.labels.get("split"))]
    if not chosen:
        raise CorpusError(source, f"has no recording whose column split says {split}")
    return chosen


def with_stem_paths(labels: dict[str, str], folder: Path) -> dict[str, str]:
    """Make the paths in labels such as ``stem_voice``, relative to a folder, absolute."""
    stems = {name: text for name, text in labels.items() if text and name.startswith(STEM)}
    return labels | {name: str((folder / text).absolute()) for name, text in stems.items()}


def printable_name(text: str) -> str:
    """Make of the name of a file text that can be written anywhere: with escapes for what is not UTF-8."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def readable_name(text: str) -> str:
    """Make of any text part of a file name that keeps letters of all scripts: 60 bytes of UTF-8 at most."""
    kept = re.sub(r"[^\w.-]+", "_", text).encode("utf-8", "ignore")[:PLAIN_CHARACTERS]
    return kept.decode("utf-8", "ignore")


def plain_name(text: str) -> str:
    """Make of any text what can be part of a file name anywhere: 60 characters at most, of A-Za-z0-9._-"""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:PLAIN_CHARACTERS]


@dataclass
class _Walk:
    """Goes through a folder for recordings, and knows what it left out."""

    folder: Path
    others: Counter[str] = field(default_factory=Counter)
    runs: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Recording]:
        for where, folders, files in os.walk(self.folder, onerror=_skipped):
            here = Path(where)
            ended = "run.json" in files and is_run(here)
            if ended and here != self.folder:
                self.runs.append(here.relative_to(self.folder).as_posix())
                folders.clear()
                continue
            if ended:  # the output of a run is in the input folder itself
                self.runs += SOUNDS_OF_RUNS.intersection(folders)
                folders[:] = set(folders) - SOUNDS_OF_RUNS
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in files:
                suffix = Path(name).suffix.lower()
                if name.startswith("."):
                    continue
                if suffix in AUDIO_SUFFIXES:
                    inside = (here / name).relative_to(self.folder)
                    yield Recording(inside.as_posix(), here / name, _label_of_folder(inside))
                else:
                    self.others[suffix or "no suffix"] += 1

    def left_out(self) -> list[str]:
        """Say what is left out, a line for each reason."""
        lines = []
        if self.runs:
            shown = ", ".join(sorted(self.runs)[:SHOWN])
            more = ", ..." if len(self.runs) > SHOWN else ""
            lines.append(f"{_were_left_out(len(self.runs), 'folder')}, written by a run: {shown}{more}")
        if self.others:
            kinds = [f"{suffix} ({count})" for suffix, count in self.others.most_common(SHOWN)]
            more = ", ..." if len(self.others) > SHOWN else ""
            count = self.others.total()
            lines.append(f"{_were_left_out(count, 'file')}: {', '.join(kinds)}{more}")
        return lines


def _label_of_folder(path: Path) -> dict[str, str]:
    """The label ``folder``: recordings of one subfolder are often of one album, singer or class."""
    return {} if path.parent == Path() else {"folder": path.parent.as_posix()}


def _were_left_out(count: int, what: str) -> str:
    return f"{count} {what} was left out" if count == 1 else f"{count} {what}s were left out"


def _skipped(error: OSError) -> None:
    logging.warning("%s: folder skipped (%s)", error.filename, error.strerror)


def _hint(columns: Sequence[str] | None) -> str:
    """Say what a first line without a column path probably is."""
    line = ",".join(columns or ())
    for sign, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if "path" in [column.strip('" ') for column in line.split(sign)]:
            return (
                f": its columns are separated by {name}. Separate them by commas and write decimals with a "
                f"point, as pandas.read_csv(..., sep={sign!r}, decimal=',').to_csv(..., index=False) does"
            )
    return ""


def _read_manifest(manifest: Path) -> list[Recording]:
    recordings: dict[str, Recording] = {}
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            if "path" not in (rows.fieldnames or ()):
                raise CorpusError(
                    manifest, f"has no column named path in its first line{_hint(rows.fieldnames)}"
                )
            for row in rows:
                name = (row.pop("path") or "").strip()
                if not name:
                    raise CorpusError(manifest, f"line {rows.line_num}: empty path")
                if "\0" in name:
                    raise CorpusError(manifest, f"line {rows.line_num}: a path with a NUL byte")
                if name in recordings:
                    raise CorpusError(manifest, f"line {rows.line_num}: {name} is named twice")
                labels = {column: text or "" for column, text in row.items() if isinstance(column, str)}
                labels = with_stem_paths(labels, manifest.parent)
                recordings[name] = Recording(
                    name, manifest.parent / name, _label_of_folder(Path(name)) | labels
                )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(manifest, f"is not a readable CSV ({error})") from error
    if not recordings:
        raise CorpusError(manifest, "names no recording")
    return list(recordings.values())
