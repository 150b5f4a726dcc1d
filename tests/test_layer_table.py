"""The layer table: a mapping from names to layers, a table for the eye, and all its layers at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from actprobe.analyses.maps.settings import look_up
from actprobe.errors import UsageError
from actprobe.models import NETWORKS, Layer, LayerTable, layers_of


def row(name: str, shape: tuple[int, ...] = (10, 8, 4), tensor: str = "", kind: str = "conv") -> Layer:
    return Layer(
        name, kind, shape, 0.01, 0.0, 0.05, (20.0, 90.0), (60.0, 300.0), tensor or name, first_hz=40.0
    )


@pytest.fixture
def table() -> LayerTable:
    rows = [
        row("conv/linear", tensor="conv", kind="pre-activation"),
        row("conv"),
        row("relu/linear"),
        row("relu"),
        row("same", tensor="relu"),
        row("units", (3,), kind="dense"),
    ]
    return LayerTable("net", rows, {"conv_1": "conv"})


def test_it_is_a_mapping_from_names_to_layers_in_the_order_of_the_network(table: LayerTable) -> None:
    names = ["conv/linear", "conv", "relu/linear", "relu", "same", "units"]
    assert isinstance(table, Mapping)
    assert list(table) == list(table.keys()) == names
    assert [layer.name for layer in table.values()] == names
    assert dict(table.items())["units"] is table["units"]
    assert len(table) == 6
    assert "conv" in table
    assert "pool" not in table
    assert table.get("pool") is None


def test_an_alias_is_found_but_not_listed(table: LayerTable) -> None:
    assert table["conv_1"] is table["conv"]
    assert "conv_1" in table
    assert "conv_1" not in list(table)


@pytest.mark.parametrize("name", ["pool", "", 0, -1])
def test_what_is_no_name_is_refused_and_the_names_are_listed(table: LayerTable, name: Any) -> None:
    with pytest.raises(UsageError) as refused:
        table[name]
    assert str(refused.value) == (
        f"net has no layer {name!r}; it has conv/linear, conv, relu/linear, relu, same, units"
    )


def test_all_layers_are_those_with_values_of_their_own_but_pre_activations(table: LayerTable) -> None:
    assert [layer.name for layer in table.select("all")] == ["conv", "relu", "units"]
    assert table.asked("all") == ["conv", "relu", "units"]
    assert table.asked(["conv_1"]) == ["conv_1"]


def test_one_name_has_to_be_in_a_list(table: LayerTable) -> None:
    with pytest.raises(UsageError, match="layers='conv': give a list of names, or 'all'"):
        table.select("conv")


@pytest.mark.parametrize("name", NETWORKS)
def test_all_layers_of_a_network_hold_each_tensor_once(name: Any) -> None:
    chosen = layers_of(name).select("all")
    tensors = [layer.tensor for layer in chosen]
    assert len(set(tensors)) == len(tensors)
    assert not [layer.name for layer in chosen if layer.name.endswith("/linear")]
    assert {layer.tensor for layer in layers_of(name).values() if not layer.is_pre_activation} == set(tensors)


def test_all_layers_of_a_run_over_maps_are_the_maps(table: LayerTable) -> None:
    chosen, _ = look_up(table, "all", ["percussive"], "recording", 30.0)
    assert [layer.name for layer in chosen] == ["conv", "relu"]
    with pytest.raises(UsageError, match="vector"):
        look_up(table, ["units"], ["percussive"], "recording", 30.0)
    lines = LayerTable("lines", [row("of_time", (10, 1, 4)), row("of_mel", (1, 8, 4))])
    with pytest.raises(UsageError, match=r"of_time has one position along mel.*actprobe-neurons"):
        look_up(lines, ["of_time"], ["percussive"], "recording", 30.0)
    with pytest.raises(UsageError, match="of_mel has one position along time"):
        look_up(lines, ["of_mel"], ["percussive"], "recording", 30.0)
    with pytest.raises(UsageError, match="lines has no maps"):
        look_up(lines, "all", ["percussive"], "recording", 30.0)
    with pytest.raises(UsageError, match="flat has no maps"):
        look_up(LayerTable("flat", [row("units", (3,))]), "all", ["percussive"], "recording", 30.0)


def test_the_text_and_the_notebook_show_the_same_cells(table: LayerTable) -> None:
    lines = [line.split("  ") for line in repr(table).splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells[0] == ["layer", "kind", "shape", "hop s", "sees s", "hop Hz", "sees Hz"]
    assert cells[2] == ["conv", "conv", "10 x 8 x 4", "0.01", "0.05", "20-90", "60-300"]
    html = table._repr_html_()
    shown = html.replace("<table><caption>net</caption>", "").replace("</table>", "")
    for line, kept in zip(cells, shown.split("</tr>"), strict=False):
        tag = "th" if line is cells[0] else "td"
        assert kept == "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in line)


def test_names_of_a_users_network_cannot_write_html() -> None:
    html = LayerTable("<b>", [row("<script>alert(1)</script>")])._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html


def test_the_data_frame_has_the_rows_that_files_have(table: LayerTable) -> None:
    frame = table.to_frame()
    assert frame.to_dict("records") == table.rows()
    assert frame["name"].tolist() == list(table)
