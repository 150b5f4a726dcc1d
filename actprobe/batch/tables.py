"""Tables that know their run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from actprobe.provenance import atomic_path

__all__ = ["write_parquet"]


def write_parquet(path: Path, frame: pd.DataFrame, run_key: str) -> None:
    """Write a table as Parquet.

    Parameters
    ----------
    path : Path
        The file to be.
    frame : pandas.DataFrame
        The table.
    run_key : str
        Key of the run, which goes into the file's metadata as ``actprobe_run``.
    """
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), "actprobe_run": run_key})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
