"""The one style of figures: a PNG and a PDF, text of 8 pt, one or two columns, one colour map."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from matplotlib.figure import Figure
from matplotlib.text import Text

from actprobe import plotting
from actprobe.analyses.inversion.evaluation.figures import difference_figure, nre_figure
from actprobe.analyses.inversion.figures import inversion_figure
from actprobe.analyses.inversion.pictures import Pictures
from actprobe.plotting import COLOUR_MAP, ONE_COLUMN, POINTS, TWO_COLUMNS, colour_table, save_figure
from actprobe.training.history import draw_history


def pictures(count: int, seconds: float = 1.6) -> Pictures:
    rng = np.random.default_rng(0)
    panels = {f"layer{i}": rng.normal(size=(40, 20)) for i in range(count)}
    return Pictures(panels, np.linspace(0, seconds, 40), np.geomspace(50, 7700, 20), "ln")


def inversions(title: str = "a song.mp3") -> Figure:
    shown = pictures(4)
    return inversion_figure(shown, {name: name for name in shown.panels}, title=title)


def errors(layers: int = 3) -> Figure:
    names = [f"conv{i}" for i in range(layers)]
    nre = pd.DataFrame(
        {
            "model": "svd", "layer": names, "corpus": "clips", "excerpts": 10, "method": "joint",
            "nre": np.linspace(0.1, 0.8, layers), "draws": 2,
        }
    )  # fmt: skip
    detail = nre[["layer", "method"]].assign(
        against="", measure="nre", value=nre["nre"], low=nre["nre"] - 0.05, high=nre["nre"] + 0.05
    )
    return nre_figure(nre, detail.assign(**{"class": "all"}))


def differences(table: pd.DataFrame) -> Figure:
    rows = [
        {"layer": layer, "method": method, "against": other, "measure": measure, "value": value,
         "low": value - 0.02, "high": value + 0.01}
        for measure, method, other, layer, value in table.itertuples(index=False)
    ]  # fmt: skip
    return difference_figure(pd.DataFrame(rows).assign(model="svd", corpus="clips", **{"class": "all"}))


def history() -> Figure:
    table = pd.DataFrame({"epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.5], "valid": [0.9, 0.7, 0.6]})
    return draw_history(table, "valid", "validation error", plotting.OKABE_ITO)


def test_a_pdf_stands_beside_the_png_and_equal_figures_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        save_figure(inversions(), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "a.png", "b.pdf", "b.png"]
    for kind, begins in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
        content = (tmp_path / f"a.{kind}").read_bytes()
        assert content.startswith(begins)
        assert content == (tmp_path / f"b.{kind}").read_bytes()


def test_text_in_a_pdf_is_a_truetype_font_and_images_are_pictures(tmp_path: Path) -> None:
    save_figure(inversions(), tmp_path / "a.png")
    content = (tmp_path / "a.pdf").read_bytes()
    assert b"/CIDFontType2" in content or b"/TrueType" in content
    assert b"/Subtype /Type3" not in content
    assert b"/CreationDate" not in content
    assert content.count(b"/Subtype /Image") >= 4


@pytest.mark.parametrize(
    ("figure", "width"),
    [(errors(), ONE_COLUMN), (errors(14), TWO_COLUMNS), (history(), ONE_COLUMN), (inversions(), TWO_COLUMNS)],
    ids=["errors", "errors of many layers", "history", "inversions"],
)
def test_figures_are_one_or_two_columns_wide_with_text_of_eight_points(figure: Figure, width: float) -> None:
    figure.canvas.draw()
    assert figure.get_figwidth() == width
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text()]
    assert {text.get_fontsize() for text in texts} == {POINTS}
    assert POINTS == 8


def test_differences_have_a_panel_for_each_measure_and_each_method_compared_with() -> None:
    table = pd.DataFrame(
        [
            ("nre", "joint", "input", "fc7", -0.05), ("nre", "joint", "input", "fc8", 0.02),
            ("nre", "joint", "linear readout", "fc8", 0.07),
            ("balanced_agreement", "joint", "input", "fc8", 0.1), ("kappa", "joint", "input", "fc8", 0.1),
        ]
    )  # fmt: skip
    figure = differences(table)
    assert len(figure.axes) == 4  # two methods compared with, two measures that are shown
    assert [axes.get_title() for axes in figure.axes[:2]] == ["NRE", "balanced agreement"]
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["minus input", "minus linear readout"]
    drawn = figure.axes[0].lines[1]  # the first is at 0
    assert drawn.get_xdata() == pytest.approx([0, 1])
    assert drawn.get_ydata() == pytest.approx([-0.05, 0.02])
    with pytest.raises(ValueError, match="no two methods were compared"):
        difference_figure(pd.DataFrame(columns=["against", "class", "measure"]))


def test_the_style_leaves_figures_of_others_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    save_figure(errors(), tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before


def test_a_name_with_dollar_signs_is_no_formula(tmp_path: Path) -> None:
    save_figure(inversions("$x^$ and \\frac$ {7*7} ${y}.wav"), tmp_path / "a.png")
    assert (tmp_path / "a.pdf").is_file()


def test_long_names_keep_their_ends() -> None:
    assert plotting.short_name("conv5") == "conv5"
    shortened = plotting.short_name("features.denseblock3.denselayer12.conv2")
    assert shortened == "\N{HORIZONTAL ELLIPSIS}.denselayer12.conv2"
    assert len(shortened) == plotting.NAME_CHARACTERS


def test_there_is_one_colour_map() -> None:
    assert {image.get_cmap().name for axes in inversions().axes for image in axes.images} == {COLOUR_MAP}
    assert np.array_equal(colour_table()[[0, 255]], [[0, 34, 78], [254, 232, 56]])  # the ends of cividis
    for path in (ROOT / "actprobe").rglob("*.py"):
        if path.name != "plotting.py":
            assert not re.search(r"cmap=|colormaps|cividis|viridis|magma", path.read_text("utf-8")), path


def test_the_page_has_the_colours_of_the_figures() -> None:
    script = (ROOT / "actprobe/explorer/static/plots.js").read_text("utf-8")
    named = re.findall(r'(BLUE|ORANGE|GREEN|SKY|PURPLE) = "(#[0-9A-F]{6})"', script)
    assert len(named) == 5
    for name, colour in named:
        assert colour == getattr(plotting, name)
