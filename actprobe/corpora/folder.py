"""A folder of recordings, a manifest CSV or one file -> a list of recordings."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from absl import logging

from actprobe.errors import CorpusError

PLAIN_CHARACTERS = 60

AUDIO_SUFFIXES = frozenset(
    "." + suffix
    for suffix in re.findall(
        r"\w+",
        """
        3g2 3gp aac ac3 aif aifc aiff amr ape asf au avi caf dff dsf flac flv m4a m4b m4v mka mkv mov mp2 mp3
        mp4 mpc mpeg mpg oga ofr ogg ogv opus ra rf64 snd spx tta voc w64 wav wave webm wma wmv wv
        """,
    )
)


@dataclass(frozen=True)
class Recording:
    """One audio file of a corpus.

    ``name`` is unique: the path relative to the folder or as the manifest gives it, with forward slashes,
    and with escapes (``\\xe9``) for bytes that are not UTF-8. ``labels`` are further columns of the manifest,
    as text.
    """

    name: str
    path: Path
    labels: dict[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        """Make the name text that every file and terminal takes; the path stays what it is."""
        text = self.name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        object.__setattr__(self, "name", text)


def open_folder(source: str | Path) -> list[Recording]:
    """List the recordings of a folder, a CSV manifest or one audio file; at least one.

    A folder is walked with its subfolders and sorted by name; files with an audio suffix count, hidden ones
    do not. A manifest is a CSV with a column ``path``, relative to the manifest's folder; what it names is
    listed in its order, whether it exists or not, so that a run can say what is missing. CorpusError: nothing
    usable there, or not a readable manifest.
    """
    source = Path(source)
    if source.is_dir():
        recordings = sorted(_walk(source), key=lambda recording: recording.name)
        if not recordings:
            raise CorpusError(source, "holds no audio file (.wav, .flac, .ogg, .mp3, .m4a, ...)")
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


def readable_name(text: str) -> str:
    """Make of any text part of a file name that keeps letters of all scripts: 60 bytes of UTF-8 at most."""
    kept = re.sub(r"[^\w.-]+", "_", text).encode("utf-8", "ignore")[:PLAIN_CHARACTERS]
    return kept.decode("utf-8", "ignore")


def plain_name(text: str) -> str:
    """Make of any text what can be part of a file name anywhere: 60 characters at most, of A-Za-z0-9._-"""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:PLAIN_CHARACTERS]


def _walk(folder: Path) -> Iterator[Recording]:
    def skipped(error: OSError) -> None:
        logging.warning("%s: folder skipped (%s)", error.filename, error.strerror)

    for where, folders, files in os.walk(folder, onerror=skipped):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in AUDIO_SUFFIXES:
                path = Path(where, name)
                yield Recording(path.relative_to(folder).as_posix(), path)


def _read_manifest(manifest: Path) -> list[Recording]:
    recordings: dict[str, Recording] = {}
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file, strict=True)
            if "path" not in (rows.fieldnames or ()):
                raise CorpusError(manifest, "has no column named path in its first line")
            for row in rows:
                name = (row.pop("path") or "").strip()
                if not name:
                    raise CorpusError(manifest, f"line {rows.line_num}: empty path")
                if "\0" in name:
                    raise CorpusError(manifest, f"line {rows.line_num}: a path with a NUL byte")
                if name in recordings:
                    raise CorpusError(manifest, f"line {rows.line_num}: {name} is named twice")
                labels = {column: text or "" for column, text in row.items() if isinstance(column, str)}
                recordings[name] = Recording(name, manifest.parent / name, labels)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(manifest, f"is not a readable CSV ({error})") from error
    if not recordings:
        raise CorpusError(manifest, "names no recording")
    return list(recordings.values())
