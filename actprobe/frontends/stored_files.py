"""Stored activations and examples: one npz a recording, found by the recording's path, read with care.

A file may hold, in any order:

- ``times``: seconds from the start of the recording to that of each example, [examples], ascending
- ``LAYER``: numbers, [examples, time, mel, channel], [examples, time, unit] or [examples, unit]
- ``LAYER/times``: seconds from the start of an example to the centre of each time position, [time]
- ``examples``: the network's input, [examples, time, mel]; or ``frames``, [frames, mel], of which the
  examples are windows
- ``facts``: JSON: ``frontend``, what `FrontEnd.describe` gives; ``example_seconds``; ``windows``, the frames
  of an example and those between examples
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import AudioError, CorpusError
from actprobe.frontends.base import FrontEnd
from actprobe.provenance import digest

OWN_NAMES = ("times", "facts", "frames", "examples")
MOST_DEFLATED = 1100  # deflate cannot do better than 1032 to 1
LARGEST_FACTS = 16 << 20  # bytes
DAMAGED = (OSError, ValueError, EOFError, zipfile.BadZipFile)


def file_facts(frontend: FrontEnd) -> dict[str, Any]:
    """Say what files of a front end's examples hold as ``facts``."""
    facts: dict[str, Any] = {
        "frontend": frontend.describe(),
        "example_seconds": frontend.example_samples / frontend.sample_rate,
    }
    if frontend.windows and frontend.hop <= frontend.example_shape[0]:
        facts["windows"] = [frontend.example_shape[0], frontend.hop]
    return facts


class StoredFile:
    """The npz of one recording: `shapes` of its arrays by name, checked before a number is read.

    CorpusError: it is no npz, is damaged, or holds something else than arrays of numbers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._members: dict[str, zipfile.ZipInfo] = {}
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._offsets: dict[str, int] = {}  # of the numbers, in the member
        self.shapes: dict[str, tuple[int, ...]] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.infolist():
                    self._look_at(archive, member)
        except (
            OSError,
            ValueError,
            EOFError,
            zipfile.BadZipFile,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise CorpusError(path, f"is not a readable npz ({error})") from error

    def _look_at(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        name = member.filename.removesuffix(".npy")
        if name == member.filename:
            raise ValueError(f"{name} is not an array")
        if member.file_size > MOST_DEFLATED * max(1, member.compress_size):
            raise ValueError(f"{name} declares {member.file_size} bytes")
        numpy_format: Any = np.lib.format  # its functions have no types
        with archive.open(member) as file:
            version = numpy_format.read_magic(file)
            read = {(1, 0): numpy_format.read_array_header_1_0, (2, 0): numpy_format.read_array_header_2_0}
            if version not in read:
                raise ValueError(f"{name} is of version {version}")
            shape, fortran, dtype = read[version](file)
            offset = file.tell()
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or offset + size != member.file_size or (fortran and len(shape) > 1):
            raise ValueError(f"{name} is not a plain array of the size that it declares")
        if name == "facts":
            if dtype.kind not in "US" or shape != () or size > LARGEST_FACTS:
                raise ValueError("facts are no text")
        elif dtype.kind not in "fiu":
            raise ValueError(f"{name} holds {dtype}, not numbers")
        self._members[name], self._dtypes[name], self.shapes[name] = member, dtype, shape
        self._offsets[name] = offset

    @property
    def layers(self) -> list[str]:
        """Names of the layers, in the order of the file."""
        inner = {f"{name}/times" for name in self.shapes}
        return [name for name in self.shapes if name not in OWN_NAMES and name not in inner]

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What the file says of itself; empty where it says nothing."""
        if "facts" not in self.shapes:
            return {}
        try:
            found = json.loads(str(self._read("facts")))
        except ValueError as error:
            raise CorpusError(self.path, f"its facts are no JSON ({error})") from error
        return found if isinstance(found, dict) else {}

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """Seconds at which the examples begin, ascending, at least one."""
        if "times" not in self.shapes:
            raise CorpusError(self.path, "holds no times: the seconds at which its examples begin")
        times = np.asarray(self._read("times"), np.float64)
        if times.ndim != 1 or not len(times) or not np.isfinite(times).all():
            raise CorpusError(self.path, f"times has shape {list(times.shape)}: finite seconds are needed")
        if (np.diff(times) <= 0).any():
            raise CorpusError(self.path, "times do not ascend")
        return times

    def array(self, name: str) -> NDArray[Any]:
        """Give an array whose first axis counts examples, from the disk where that is possible."""
        if name not in self.shapes:
            raise CorpusError(self.path, f"holds no {name}; it holds {', '.join(self.layers) or 'no layer'}")
        if self.shapes[name][:1] != (len(self.times),):
            raise CorpusError(
                self.path,
                f"{name} has shape {list(self.shapes[name])}, but there are {len(self.times)} times",
            )
        return self._read(name)

    def layer_times(self, name: str) -> NDArray[Any]:
        """Give the seconds of a map's time positions within an example, as they are stored."""
        return self._read(f"{name}/times")

    @property
    def has_examples(self) -> bool:
        """Whether the network's input is stored."""
        return "examples" in self.shapes or ("frames" in self.shapes and "windows" in self.facts)

    @cached_property
    def examples(self) -> NDArray[Any]:
        """The network's input, [examples, time, mel]."""
        if "examples" in self.shapes:
            found = self.array("examples")
            if found.ndim != 3:
                raise CorpusError(
                    self.path, f"examples has shape {list(found.shape)}, not [examples, time, mel]"
                )
            return found
        frames, windows = self._read("frames"), self.facts["windows"]
        fits = (
            isinstance(windows, list) and len(windows) == 2 and all(type(n) is int and n > 0 for n in windows)
        )
        if not fits or frames.ndim != 2 or len(frames) < windows[1] * (len(self.times) - 1) + windows[0]:
            raise CorpusError(self.path, f"frames of shape {list(frames.shape)} are no windows {windows}")
        views = np.lib.stride_tricks.sliding_window_view(frames, windows[0], axis=0).transpose(0, 2, 1)
        return views[:: windows[1]][: len(self.times)]

    def _read(self, name: str) -> NDArray[Any]:
        member, shape, dtype = self._members[name], self.shapes[name], self._dtypes[name]
        try:
            if member.compress_type == zipfile.ZIP_STORED and 0 not in shape:
                with self.path.open("rb") as file:
                    file.seek(member.header_offset + 26)
                    before = 30 + sum(int.from_bytes(file.read(2), "little") for _ in range(2))
                offset = member.header_offset + before + self._offsets[name]
                return np.memmap(self.path, dtype, "r", offset, shape)
            with zipfile.ZipFile(self.path) as archive, archive.open(member) as file:
                file.read(self._offsets[name])
                return np.frombuffer(file.read(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
        except DAMAGED as error:
            raise CorpusError(self.path, f"{name} cannot be read ({error})") from error


class StoredFiles:
    """The npz files of a folder and its subfolders, by the recordings that they belong to.

    A file belongs to the recording of its own path within the folder, with or without the suffix of the
    recording: ``drums/a.npz`` or ``drums/a.wav.npz`` to ``.../drums/a.wav``. A folder that
    `actprobe.activations` wrote says in recordings.csv which is whose. CorpusError: no folder, or no file.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir():
            raise CorpusError(
                folder, "is not a folder of stored activations" if folder.exists() else "does not exist"
            )
        self.record = self._json(folder / "run.json")
        self._by_name = self._listed()
        if not self._by_name:
            found = sorted(path for path in folder.rglob("*.npz") if not path.name.startswith("."))
            self._by_name = {path.relative_to(folder).with_suffix("").as_posix(): path for path in found}
        if not self._by_name:
            raise CorpusError(folder, "holds no npz of stored activations")
        self._places = {name: place for place, name in enumerate(self._by_name)}

    def _listed(self) -> dict[str, Path]:
        """Read whose files recordings.csv says they are, where there is one with such a column."""
        ledger = self.folder / "recordings.csv"
        if not ledger.is_file():
            return {}
        import pandas as pd

        try:
            table = pd.read_csv(ledger, dtype=str, keep_default_na=False)
        except (OSError, ValueError) as error:
            raise CorpusError(ledger, f"cannot be read ({error})") from error
        if not {"path", "file"} <= set(table.columns):
            return {}
        rows = table[table["file"] != ""]
        named = zip(map(str, rows["path"]), map(str, rows["file"]), strict=True)
        return {Path(name).as_posix(): self.folder / Path(file).name for name, file in named}

    @staticmethod
    def _json(path: Path) -> dict[str, Any]:
        try:
            found = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        except (OSError, ValueError) as error:
            raise CorpusError(path, f"cannot be read ({error})") from error
        return found if isinstance(found, dict) else {}

    def __iter__(self) -> Iterator[Path]:
        """Iterate over the files, in the order of their names."""
        return iter(self._by_name.values())

    def __len__(self) -> int:
        """Count the files."""
        return len(self._by_name)

    def state(self) -> str:
        """Hash which files there are and in which state: names, sizes, times of modification."""
        found = []
        for name, path in self._by_name.items():
            status = path.stat() if path.is_file() else None
            found.append([name, *((status.st_size, status.st_mtime_ns) if status else ())])
        return digest(found)

    @cached_property
    def first(self) -> StoredFile:
        """The first file that can be read; CorpusError, that of the first, where none can."""
        for path in self:
            with suppress(CorpusError):
                return StoredFile(path)
        return StoredFile(next(iter(self)))

    def number_of(self, recording: Path) -> int:
        """Give the place of a recording's file in this folder; AudioError where it has none."""
        for path in (recording, recording.with_suffix("")):
            for depth in range(len(path.parts)):  # the longest part of the path that a file is named after
                place = self._places.get("/".join(path.parts[depth:]))
                if place is not None:
                    return place
        raise AudioError(recording, f"there is no npz of it in {self.folder}")

    def file(self, number: int) -> StoredFile:
        """Open a file by its place in this folder."""
        return StoredFile(list(self._by_name.values())[number])
