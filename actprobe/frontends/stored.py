"""The front end of examples that were computed elsewhere and stored, one npz a recording."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import CorpusError, UsageError
from actprobe.frontends.base import FrontEnd
from actprobe.frontends.described import frontend_described
from actprobe.frontends.framing import Framing
from actprobe.frontends.sound import Sound
from actprobe.frontends.stored_files import StoredFile, StoredFiles

SAMPLE_RATE = 22_050  # Hz, at which recordings are measured where nothing says another
SLACK = 0.01  # seconds by which an example may begin behind the end of its recording


class StoredExamples(FrontEnd):
    """Examples from a folder of npz files, one a recording; see `actprobe.frontends.stored_files`.

    They take the place of a front end whose code is not at hand: the files hold ``examples`` and ``times``.
    What the examples are, in seconds, hertz and sound, is what another front end says that they could have
    come from. Where files hold activations alone, an example is a pair of numbers that say which file and
    which row; nothing can be inverted to it.

    Parameters
    ----------
    folder : str or Path
        The files.
    described_by : FrontEnd, optional
        What says the seconds and hertz of an example and how to undo it, such as a `LogMelFrontEnd`. By
        default what the files say themselves, if they do.

    Raises
    ------
    CorpusError
        No such folder, or no file in it that can be read.
    UsageError
        The examples have another shape than the front end says.

    Examples
    --------
    >>> from actprobe.frontends import StoredExamples
    >>> frontend = StoredExamples("ACTIVATIONS")
    >>> frontend.example_shape
    (115, 80)
    """

    name = "stored"
    free_starts = False

    def __init__(self, folder: str | Path, described_by: FrontEnd | None = None) -> None:
        super().__init__()
        self.files = StoredFiles(Path(folder))
        first = self.files.first
        self.described_by = described_by or frontend_described(
            first.facts.get("frontend") or self.files.record.get("frontend")
        )
        known = self.described_by
        self.has_examples = first.has_examples
        shape = first.examples.shape[1:] if self.has_examples else (1, 2)
        self.example_shape = (int(shape[0]), int(shape[1]))
        if self.has_examples and known is not None and known.example_shape != self.example_shape:
            raise UsageError(
                f"{first.path}: its examples have the shape {list(self.example_shape)}, but {known.name} "
                f"gives {list(known.example_shape)}"
            )
        self.sample_rate = SAMPLE_RATE if known is None else known.sample_rate
        seconds = example_seconds(first) if known is None else known.example_samples / known.sample_rate
        self.example_samples = max(1, round(seconds * self.sample_rate))
        self.frame_hop = known.frame_hop if known else max(1, self.example_samples // self.example_shape[0])
        self.frame_length = known.frame_length if known else self.frame_hop
        self.first_frame = known.first_frame if known else self.frame_hop // 2
        self.unit = known.unit if known else "units of the stored examples"
        self.edge_frames = known.edge_frames if known else 0
        self.joining_refusal = known.joining_refusal if known else ""
        self.keeps_phase = known.keeps_phase if known else False
        if not self.has_examples:
            self.inversion_refusal = (
                f"{self.files.folder} stores activations without the examples that they belong to, which "
                f"inversion needs: store them as `examples`"
            )
        self._number = -1
        self._file: StoredFile | None = None

    def of(self, recording: Path) -> StoredExamples:
        bound = copy.copy(self)
        bound._number = self.files.number_of(recording)
        bound._file = self.files.file(bound._number)
        if bound._file.has_examples != self.has_examples:
            raise CorpusError(bound._file.path, "holds no examples, as others of its folder do")
        return bound

    def example_starts(self, samples: int) -> NDArray[np.int64]:
        file = self._bound()
        if file.times[0] * self.sample_rate <= -self.example_samples:
            raise CorpusError(
                file.path, f"its first example begins at {file.times[0]:.2f} s and ends before the recording"
            )
        if file.times[-1] > samples / self.sample_rate + SLACK:
            raise CorpusError(
                file.path,
                f"its last example begins at {file.times[-1]:.2f} s, behind the end of the recording "
                f"({samples / self.sample_rate:.2f} s)",
            )
        return np.asarray(np.round(file.times * self.sample_rate), np.int64)

    def examples(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        file = self._bound()
        if not self.has_examples:
            rows = np.arange(len(file.times))
            places = np.stack([np.full(len(rows), self._number + 1), rows], 1)
            return np.asarray(places[:, np.newaxis], np.float32)
        if file.examples.shape[1:] != self.example_shape:
            raise CorpusError(
                file.path,
                f"has examples of {list(file.examples.shape[1:])}, others {list(self.example_shape)}",
            )
        return np.asarray(file.examples, np.float32)

    def _bound(self) -> StoredFile:
        if self._file is None:
            raise UsageError(
                f"{self.files.folder} holds the examples of recordings: ask `of(recording)` for them"
            )
        return self._file

    def _known(self) -> FrontEnd:
        if self.described_by is None:
            raise UsageError(
                f"{self.files.folder} does not say what its examples are in hertz and sound: give the "
                f"front end that they come from (described_by=, or frontend= where they are saved)"
            )
        return self.described_by

    def band_edges_hz(self) -> NDArray[np.float64]:
        return self._known().band_edges_hz()

    def framing(self) -> Framing:
        return self._known().framing()

    def reference(self, samples: NDArray[np.float32]) -> Any:
        return self._known().reference(samples)

    def to_power(self, examples: NDArray[Any], reference: Any = None) -> NDArray[np.float64]:
        return self._known().to_power(examples, reference)

    def rescaled(
        self, example: NDArray[Any], samples: NDArray[np.float32], span: NDArray[np.float32]
    ) -> NDArray[Any]:
        known = self.described_by
        return example if known is None else known.rescaled(example, samples, span)

    def sound(
        self,
        values: NDArray[Any],
        samples: NDArray[np.float32] | None = None,
        *,
        own_phase: bool = False,
        seed: int = 0,
    ) -> Sound:
        return self._known().sound(values, samples, own_phase=own_phase, seed=seed)

    def constants(self) -> dict[str, Any]:
        described = None if self.described_by is None else self.described_by.describe()
        return {"folder": str(self.files.folder), "files": self.files.state(), "described_by": described}


def example_seconds(file: StoredFile) -> float:
    """Say how long an example lasts: what the file says, else the time between examples, else 1 s."""
    said = file.facts.get("example_seconds")
    if isinstance(said, int | float) and said > 0:
        return float(said)
    return float(np.median(np.diff(file.times))) if len(file.times) > 1 else 1.0
