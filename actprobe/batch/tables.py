"""Tables that know their run, and that are read as they were written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from actprobe.errors import CorpusError
from actprobe.provenance import atomic_path

# Of a CSV: text, whatever it looks like, empty where nothing is said; and counts, missing where unknown.
TEXT = (
    "path", "recording", "singer", "split", "status", "reason", "warning", "file", "model", "model_a",
    "model_b", "layer", "layer_a", "layer_b", "feature", "given", "weights", "end", "method",
    "corpus", "against", "class", "measure",
)  # fmt: skip
COUNTS = (
    "sample_rate", "examples", "best_neuron", "above_null", "above_random", "discoveries",
    "discoveries_permuted", "neuron_b",
)  # fmt: skip


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
        counts = {name: "Int64" for name in COUNTS if name in frame}
        return frame.fillna({name: "" for name in TEXT if name in frame}).astype(counts)
    except (OSError, ValueError, TypeError) as error:
        raise CorpusError(path, f"is not a readable table ({error})") from error
