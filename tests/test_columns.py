"""The reference of columns says what the tables hold: no column without a meaning, none that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from actprobe.analyses.inversion.evaluation.measures import DETAIL_COLUMNS, NRE_COLUMNS
from actprobe.analyses.inversion.evaluation.run import LEDGER
from actprobe.analyses.maps.table import MAP_COLUMNS
from actprobe.analyses.neurons.playlists import PLAYLIST_COLUMNS, cut_playlist
from actprobe.analyses.neurons.table import LAYER_COLUMNS, NEURON_COLUMNS, neuron_table
from actprobe.batch.ledger import LedgerRow, ledger_frame
from actprobe.columns import TABLES, VARYING
from actprobe.statistics.alignment import ALIGNMENT_COLUMNS
from actprobe.statistics.cka import CKA_COLUMNS


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("neurons.csv", NEURON_COLUMNS),
        ("layers.csv", LAYER_COLUMNS),
        ("maps.csv", MAP_COLUMNS),
        ("nre.csv", NRE_COLUMNS),
        ("nre_detail.csv", DETAIL_COLUMNS),
    ],
)
def test_columns_are_those_that_are_written(table: str, columns: tuple[str, ...]) -> None:
    assert tuple(TABLES[table]) == columns


def test_details_of_neurons() -> None:
    rng = np.random.default_rng(0)
    activity = {"fc8": rng.standard_normal((8, 2))}
    tables = neuron_table(
        "m", activity, {"f": rng.standard_normal(8)}, random_activity=[activity], permutations=10
    )
    assert tuple(TABLES["neurons_detail.csv"]) == tuple(tables.detail.columns)


def test_ledgers() -> None:
    written = [*ledger_frame([LedgerRow("a.wav", "ok")], ["loudness"]).columns]
    said = TABLES["recordings.csv"]
    assert [name for name in said if name not in ("file", "FEATURE")] == written[:-1]
    assert set(LEDGER) == set(said) - VARYING["recordings.csv"]


def test_playlists(tmp_path: Path) -> None:
    listed = pd.DataFrame([("fc8", 0, "top", 1, "a", 0.0, 1.0, 0.5)], columns=list(PLAYLIST_COLUMNS))
    assert tuple(TABLES["playlists.csv"]) == tuple(cut_playlist(listed, {}, tmp_path).columns)


@pytest.mark.parametrize(
    ("table", "columns"), [("alignment.csv", ALIGNMENT_COLUMNS), ("cka.csv", CKA_COLUMNS)]
)
def test_comparisons_name_both_networks(table: str, columns: tuple[str, ...]) -> None:
    assert [name for name in TABLES[table] if not name.startswith("model_")] == list(columns)
    assert list(TABLES[table]).index("model_b") == list(TABLES[table]).index("layer_b") - 1
    assert next(iter(TABLES[table])) == "model_a"


def test_every_table_that_a_manual_names_is_here() -> None:
    manuals = "".join(path.read_text("utf-8") for path in sorted(ROOT.glob("bin/actprobe-*")))
    named = set(re.findall(r"\b(?:OUT/)?(?:playlists/)?([a-z_]+\.csv)\b", manuals))
    of_users = {"layers.csv", "splits.csv", "corpus.csv", "MANIFEST.csv", "manifest.csv"}
    assert named - of_users <= set(TABLES)


def test_meanings_are_sentences() -> None:
    for table, columns in TABLES.items():
        for name, meaning in columns.items():
            assert meaning.endswith("."), (table, name)
            assert "|" not in meaning, (table, name)  # it stands in a Markdown table
