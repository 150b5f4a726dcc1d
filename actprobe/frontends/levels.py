"""Mel spectrogram -> level: the logarithms that networks are fed with, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends.framing import Framing
from actprobe.frontends.mel_settings import number, one_of

LOGS = ("ln", "log10", "db", "log10_1p", "none")
PER_UNIT = {"ln": 1.0, "log10": np.log(10.0), "db": np.log(10.0) / 10.0}  # natural logarithm of a unit
AMIN = 1e-10
TOP_DB = 80.0
C = 10_000.0
ROUNDING_DB = 1e-9
AT_FLOOR = 1e-4  # a natural logarithm so little over the floor is the floor, rounded

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """What is done to mel bands S.

    `log` is ``ln`` or ``log10`` of ``max(S, amin)``, with `amin` 1e-10 by default, or, with an `offset`, of
    ``S + offset``; ``db`` as `librosa.power_to_db`; ``log10_1p``, log10(1 + `c` S); or ``none``. `ref` is 0
    dB, or ``max``, the peak of the recording. What lies more than `top_db` under that peak is raised to
    there; None raises nothing.
    """

    log: str
    amin: float | None
    offset: float | None
    ref: float | str
    top_db: float | None
    c: float

    def __post_init__(self) -> None:
        one_of("log", self.log, LOGS)
        for name in ("amin", "offset"):
            if getattr(self, name) is not None:
                number(name, getattr(self, name), 0.0)
                self._only(name, "ln", "log10", "db")
        if self.amin is not None and self.offset is not None:
            raise UsageError("amin is a lower bound, offset is added in its place: give one of them")
        if self.ref != 1.0:
            self._only("ref", "db")
        if self.ref != "max":
            number("ref", self.ref, 0.0)
        if self.top_db is not None:
            if self.top_db != TOP_DB:
                self._only("top_db", "db")
            if self.top_db != 0:
                number("top_db", self.top_db, 0.0)
        number("c", self.c, 0.0)
        if self.c != C:
            self._only("c", "log10_1p")

    def _only(self, name: str, *logs: str) -> None:
        if self.log not in logs:
            known = " and ".join(f"log={log!r}" for log in logs)
            raise UsageError(f"{name} belongs to {known}, not to log={self.log!r}")

    @property
    def floor(self) -> float:
        """Least that bands count as; 0 where an offset or a 1 is added."""
        if self.log not in PER_UNIT or self.offset is not None:
            return 0.0
        return AMIN if self.amin is None else float(self.amin)

    @property
    def relative(self) -> bool:
        """Whether a value depends on the peak of the recording."""
        return self.log == "db" and (self.ref == "max" or self.top_db is not None)

    def absolute(self, bands: Any) -> Any:
        """Take bands to levels that nothing is subtracted from yet, float64 [frames, mel], in a graph."""
        tf = backend.tf
        if self.log == "none":
            return bands
        if self.log == "log10_1p":
            return tf.math.log1p(self.c * bands) / np.log(10.0)
        return tf.math.log(self._bounded(bands)) / PER_UNIT[self.log]

    def under(self, peak: Any, levels: Any) -> Any:
        """Finish what `absolute` gave, in a graph; `peak` is the highest of the recording, if `relative`."""
        if self.log != "db":
            return levels
        zero_db = peak if self.ref == "max" else self._zero_db()
        found = levels - zero_db
        if self.ref == "max":  # of equal levels, logarithms may differ in the last bit
            found = backend.tf.where(found > -ROUNDING_DB, backend.tf.zeros_like(found), found)
        return found if self.top_db is None else backend.tf.maximum(found, peak - zero_db - self.top_db)

    def _bounded(self, bands: Any) -> Any:
        if self.offset is not None:
            return bands + self.offset
        return backend.tf.maximum(bands, backend.tf.constant(self.floor, bands.dtype))

    def _zero_db(self, peak: float | None = None) -> float:
        """Give the decibels, without a reference, of 0 dB; peak is the recording's highest."""
        if self.ref == "max":
            if peak is None:
                raise UsageError(
                    "log-mel values are relative to the peak of the recording: give the recording"
                )
            return peak
        return float(10 * np.log10(max(float(self.ref), self.floor)))

    def undo(self, levels: Doubles, framing: Framing, peak: float | None = None) -> Doubles:
        """Give the bands, float64 [..., time, mel], no louder than a full-scale sound can be, by `framing`.

        `peak` is the highest level of the recording before it is subtracted, where ``ref`` is ``max``.
        """
        loudest = np.exp(framing.loudest)
        if self.log == "none":
            return np.asarray(np.clip(levels, 0.0, loudest))
        if self.log == "log10_1p":
            highest = np.log1p(self.c * loudest) / np.log(10.0)
            return np.asarray(np.expm1(np.clip(levels, 0.0, highest) * np.log(10.0)) / self.c)
        shift = self._zero_db(peak) if self.log == "db" else 0.0
        logs = (levels + shift) * PER_UNIT[self.log]
        if self.offset is not None:
            return np.asarray(np.clip(np.exp(np.minimum(logs, 700.0)) - self.offset, 0.0, loudest))
        return framing.exp(logs, float(np.log(self.floor)) + AT_FLOOR)

    def unit(self, bands: str) -> str:
        """Say what the values are, given what the bands are."""
        inner = bands if self.offset is None else f"{bands} + {self.offset:g}"
        if self.log == "db":
            return f"{bands}, dB" + (" under the recording's peak" if self.ref == "max" else "")
        named = {"ln": f"ln({inner})", "log10": f"log10({inner})", "none": bands}
        return named.get(self.log, f"log10(1 + {self.c:g} {bands})")

    def constants(self) -> dict[str, Any]:
        """Give every setting that counts, for provenance."""
        found: dict[str, Any] = {"log": self.log}
        if self.log in PER_UNIT:
            found |= {"amin": self.floor} if self.offset is None else {"offset": self.offset}
        if self.log == "db":
            found |= {"ref": self.ref, "top_db": "none" if self.top_db is None else self.top_db}
        if self.log == "log10_1p":
            found["c"] = self.c
        return found
