"""The ledger: what became of every recording, with the reason when it failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import logging

from actprobe.corpora import Recording
from actprobe.errors import ActprobeError, AudioError, CorpusError

if TYPE_CHECKING:  # feature processes make rows, but no tables
    import pandas as pd


@dataclass(frozen=True)
class LedgerRow:
    """One recording, by its name in the corpus (``path``).

    ``status`` is ``ok`` or ``failed``, ``reason`` why it failed.

    - ``warning``: what a careful reader should know.
    - ``seconds``: duration that was decoded.
    - ``sample_rate``: the recording's own, in Hz.
    - ``examples``: how many went through the network and are not left out.
    - ``features``: name -> value, of those that could be computed.
    - ``again``: whether the next run does it again, since the function of a feature had an error.
    """

    path: str
    status: str
    reason: str = ""
    warning: str = ""
    seconds: float | None = None
    sample_rate: int | None = None
    examples: int | None = None
    features: dict[str, float] = field(default_factory=dict)
    again: bool = False

    def warned(self, *warnings: str) -> LedgerRow:
        """Add warnings to the row's own."""
        return replace(self, warning="; ".join(filter(None, [self.warning, *warnings])))

    def facts(self) -> dict[str, Any]:
        """What the file of a finished recording keeps: the row but for ``path`` and ``status``, JSON-able."""
        found = {
            "warning": self.warning,
            "seconds": self.seconds,
            "sample_rate": self.sample_rate,
            "examples": self.examples,
        }
        optional = {"features": self.features, "again": self.again}
        return found | {name: value for name, value in optional.items() if value}


def failed_row(recording: Recording, fault: Exception | str) -> LedgerRow:
    """Enter a recording that could not be used into the ledger, with the reason in one line.

    An error that is not actprobe's own is named as unexpected.
    """
    match fault:
        case AudioError():
            reason = fault.reason
        case ActprobeError() | str():
            reason = str(fault)
        case _:
            reason = f"unexpected {type(fault).__name__}: {fault}"
            logging.debug("%s", recording.name, exc_info=fault)
    return LedgerRow(recording.name, "failed", reason=" ".join(reason.split()))


def usable_recordings(
    recordings: Sequence[Recording], rows: Sequence[LedgerRow], corpus: str | Path
) -> list[Recording]:
    """Keep the recordings that could be used, of rows in the same order; CorpusError when there is none."""
    usable = [recording for recording, row in zip(recordings, rows, strict=True) if row.status == "ok"]
    if not usable:
        raise CorpusError(
            corpus,
            f"none of {len(rows)} recordings could be used; the first: {rows[0].path}: {rows[0].reason}",
        )
    return usable


def refuse_unknown(
    rows: Sequence[LedgerRow], features: Sequence[str], unknown: Sequence[str], corpus: str | Path
) -> None:
    """Warn of features that are unknown for every usable recording; CorpusError where all features are."""
    if not unknown:
        return
    usable = [row for row in rows if row.status == "ok"]
    first = next((row for row in usable if any(f"feature {name}: " in row.warning for name in unknown)), None)
    reason = "" if first is None else f"; the first: {first.path}: {first.warning}"
    told = f"none of {len(usable)} usable recordings has a value of {', '.join(unknown)}{reason}"
    if len(unknown) == len(features):
        raise CorpusError(corpus, told)
    logging.warning("%s", told)


def ledger_frame(rows: Sequence[LedgerRow], features: Sequence[str]) -> pd.DataFrame:
    """Lay the ledger out as recordings.csv has it, a column for each feature at the end."""
    import pandas as pd

    frame = pd.DataFrame(
        {
            "path": [row.path for row in rows],
            "status": [row.status for row in rows],
            "reason": [row.reason for row in rows],
            "warning": [row.warning for row in rows],
            "seconds": pd.array([row.seconds for row in rows], "Float64"),
            "sample_rate": pd.array([row.sample_rate for row in rows], "Int64"),
            "examples": pd.array([row.examples for row in rows], "Int64"),
        }
    )
    for feature in features:
        frame[feature] = pd.array([row.features.get(feature) for row in rows], "Float64")
    return frame
