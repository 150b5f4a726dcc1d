"""The ledger: what became of every recording, with the reason when it failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actprobe.corpora import Recording
from actprobe.errors import CorpusError

if TYPE_CHECKING:  # feature processes make rows, but no tables
    import pandas as pd

__all__ = ["LedgerRow", "ledger_frame", "usable_recordings"]


@dataclass(frozen=True)
class LedgerRow:
    """One recording.

    Parameters
    ----------
    path : str
        Name of the recording in its corpus.
    status : str
        ``ok`` or ``failed``.
    reason : str
        Why it failed; empty when ok.
    warning : str
        What a careful reader should know; empty when nothing.
    seconds : float or None
        Duration that was decoded.
    sample_rate : int or None
        The recording's own rate in Hz.
    examples : int or None
        Examples that went through the network.
    features : dict
        Feature name -> value.
    """

    path: str
    status: str
    reason: str = ""
    warning: str = ""
    seconds: float | None = None
    sample_rate: int | None = None
    examples: int | None = None
    features: dict[str, float] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Give what the file of a finished recording keeps for the ledger.

        Returns
        -------
        dict
            JSON-able; with ``path`` and ``status`` it makes the row again.
        """
        found = {
            "warning": self.warning,
            "seconds": self.seconds,
            "sample_rate": self.sample_rate,
            "examples": self.examples,
        }
        return {**found, "features": self.features} if self.features else found


def usable_recordings(
    recordings: Sequence[Recording], rows: Sequence[LedgerRow], corpus: str | Path
) -> list[Recording]:
    """Keep the recordings that could be used.

    Parameters
    ----------
    recordings : sequence of Recording
        The corpus.
    rows : sequence of LedgerRow
        Its ledger, in the same order.
    corpus : str or Path
        What the recordings came from, for the error.

    Returns
    -------
    list of Recording
        At least one, in the same order.

    Raises
    ------
    CorpusError
        There is none.
    """
    usable = [recording for recording, row in zip(recordings, rows, strict=True) if row.status == "ok"]
    if not usable:
        raise CorpusError(
            corpus,
            f"none of {len(rows)} recordings could be used; the first: {rows[0].path}: {rows[0].reason}",
        )
    return usable


def ledger_frame(rows: Sequence[LedgerRow], features: Sequence[str]) -> pd.DataFrame:
    """Lay the ledger out as recordings.csv has it.

    Parameters
    ----------
    rows : sequence of LedgerRow
        In the order of the corpus.
    features : sequence of str
        Features, one column each.

    Returns
    -------
    pandas.DataFrame
        Columns path, status, reason, warning, seconds, sample_rate, examples, then the features.
    """
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
