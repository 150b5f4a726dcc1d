"""Tables that know their run, and that are read as they were written."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from actprobe.errors import CorpusError
from actprobe.provenance import atomic_path
from actprobe.renamed import COLUMNS, renaming

# Of a CSV: text, whatever it looks like, empty where nothing is said; and counts, missing where unknown.
TEXT = (
    "path", "recording", "singer", "split", "status", "reason", "warning", "file", "model", "model_a",
    "model_b", "layer", "layer_a", "layer_b", "feature", "given", "weights", "end", "method",
    "corpus", "against", "class", "measure", "label", "space", "best_recording", "target", "fill", "metric",
    "note", "concept",
    "units", "kind", "factor",
)  # fmt: skip
COUNTS = (
    "sample_rate", "examples", "best_neuron", "above_null", "above_random", "discoveries",
    "discoveries_permuted", "neuron_b",
)  # fmt: skip


class RenamedTable(pd.DataFrame):
    """A table whose columns can be read by their old names, with a `DeprecationWarning`.

    Examples
    --------
    >>> table = RenamedTable({"null_95": [0.1]})
    >>> table.old_names = {"level": "null_95"}
    >>> float(table["level"][0])  # warns
    0.1
    """

    _metadata = ["old_names"]  # noqa: RUF012 - as pandas has it
    old_names: dict[str, str] = {}  # noqa: RUF012 - replaced, never changed

    @property
    def _constructor(self) -> type[RenamedTable]:
        return RenamedTable

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, list):
            return super().__getitem__([self._name_now(name) for name in key])
        return super().__getitem__(self._name_now(key))

    def _name_now(self, name: Any) -> Any:
        if not isinstance(name, str) or name not in self.old_names or name in self.columns:
            return name
        warnings.warn(renaming("column", name, self.old_names[name]), DeprecationWarning, stacklevel=3)
        return self.old_names[name]


def write_parquet(path: Path, frame: pd.DataFrame, run_key: str) -> None:
    """Write a table as Parquet; the key of its run goes into the metadata as ``actprobe_run``."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), "actprobe_run": run_key})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_frame(path: Path) -> pd.DataFrame:
    """Read a CSV or Parquet table; one that is not there is empty, a damaged one a CorpusError."""
    if not path.exists():
        return pd.DataFrame()
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        frame = pd.read_csv(
            path,
            dtype=dict.fromkeys(TEXT, str),
            keep_default_na=False,
            na_values=[""],
            float_precision="round_trip",
        )
        frame = _with_names_of_today(path.name, frame)
        counts = {name: "Int64" for name in COUNTS if name in frame}
        return frame.fillna({name: "" for name in TEXT if name in frame}).astype(counts)
    except (OSError, ValueError, TypeError) as error:
        raise CorpusError(path, f"is not a readable table ({error})") from error


def _with_names_of_today(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Give a table that was read the names of today alone, whichever it was written with."""
    names = COLUMNS.get(name, {})
    if not names or table.empty:
        return table
    both = [old for old, new in names.items() if old in table and new in table]
    renamed = RenamedTable(table.drop(columns=both).rename(columns=names))
    renamed.old_names = names
    return renamed
