"""Names that changed: for one release the old ones work, and say what they are called now."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import pandas as pd
import pytest

from actprobe.batch.tables import read_frame
from actprobe.columns import TABLES
from actprobe.provenance import write_csv
from actprobe.renamed import COLUMNS


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    table = pd.DataFrame({"layer": ["fc8"], "null_95": [0.125], "above_null": [3]})
    write_csv(tmp_path / "layers.csv", table)
    return tmp_path / "layers.csv"


def test_a_file_has_both_names_the_old_ones_last(layers: Path) -> None:
    with layers.open() as file:
        header, row = csv.reader(file)
    assert header == ["layer", "null_95", "above_null", "level", "above_level"]
    assert row == ["fc8", "0.125", "3", "0.125", "3"]


def test_a_table_that_is_read_has_the_new_names_and_answers_to_the_old(layers: Path) -> None:
    table = read_frame(layers)
    assert list(table.columns) == ["layer", "null_95", "above_null"]
    with pytest.warns(DeprecationWarning, match="column level is deprecated.* use null_95") as caught:
        assert table["level"].tolist() == [0.125]
    assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="use above_null"):
        assert table[["layer", "above_level"]].columns.tolist() == ["layer", "above_null"]
    with pytest.warns(DeprecationWarning, match="use null_95"):
        assert table[table["layer"] == "fc8"].reset_index(drop=True)["level"].tolist() == [0.125]


def test_the_new_names_and_other_tables_warn_of_nothing(layers: Path, tmp_path: Path) -> None:
    write_csv(tmp_path / "nre.csv", pd.DataFrame({"level": [1.0]}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_frame(layers)["null_95"].tolist() == [0.125]
        assert read_frame(layers).above_null.tolist() == [3]
        assert read_frame(tmp_path / "nre.csv")["level"].tolist() == [1.0]


def test_a_run_that_was_written_before_is_read_by_todays_names(tmp_path: Path) -> None:
    (tmp_path / "layers.csv").write_text("layer,level,above_level\nfc8,0.5,2\n")
    table = read_frame(tmp_path / "layers.csv")
    assert list(table.columns) == ["layer", "null_95", "above_null"]
    assert table["above_null"].tolist() == [2]


def test_every_new_name_is_in_the_reference() -> None:
    for name, names in COLUMNS.items():
        assert set(names.values()) <= set(TABLES[name])
        assert not set(names) & set(TABLES[name])
