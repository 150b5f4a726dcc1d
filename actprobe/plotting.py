"""The one style of all figures: sizes and text for a paper, colours, and how they are saved.

A figure is one column of a paper wide, or two where it has many panels; its text is 8 pt. Functions that draw
are decorated with `styled`, and the figure itself is drawn and saved in the same style wherever it goes.
"""

from __future__ import annotations

import io
import logging
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from fontTools.subset import Options as FontCut
from matplotlib.backend_bases import RendererBase
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.provenance import atomic_path

# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, BLACK = OKABE_ITO = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
SIGNED = LinearSegmentedColormap.from_list("against and for", [BLUE, "#ffffff", ORANGE])  # below and above 0
COLOUR_MAP = "cividis"  # of everything over time and frequency; its lightness rises evenly, right in grey too
ONE_COLUMN, TWO_COLUMNS = 3.5, 7.2  # inches
POINTS = 8  # of all text
STYLE: Any = {
    **dict.fromkeys(
        (
            "font.size", "figure.titlesize", "axes.titlesize", "axes.labelsize", "xtick.labelsize",
            "ytick.labelsize", "legend.fontsize",
        ),
        POINTS,
    ),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width"), 0.6),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 2.5),
    "lines.linewidth": 1.0,
    "lines.markersize": 3.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "image.cmap": COLOUR_MAP,
    "image.interpolation": "none",
    "text.parse_math": False,  # names of recordings may hold dollar signs
    "pdf.fonttype": 42,  # TrueType, as journals ask for
}  # fmt: skip
PNG_DPI, PDF_DPI = 200, 300  # the latter of what is rasterised inside
TICKS_HZ = (50, 100, 200, 500, 1000, 2000, 4000, 8000)
TICKS_APART = 0.05  # of the axis
CHARACTERS_AN_INCH = 14  # of a title
NAME_CHARACTERS = 20  # of a name at a tick or over a panel

Tick = tuple[float, str]


logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells every table of every font of a PDF
# What a PDF does not need of a font, and what takes longest to cut down to the letters in it.
FontCut._drop_tables_default = [*FontCut._drop_tables_default, "GDEF", "GPOS", "GSUB", "kern"]
styled = matplotlib.rc_context(STYLE)  # decorates functions that draw


class _PaperFigure(Figure):
    """A figure in the style of this module, which a notebook shows without pyplot."""

    def draw(self, renderer: RendererBase) -> None:
        with matplotlib.rc_context(STYLE):  # ticks are made as late as here
            super().draw(renderer)

    def savefig(self, fname: Any, **options: Any) -> None:
        with matplotlib.rc_context(STYLE):
            super().savefig(fname, **options)

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=150)
        return content.getvalue()


def new_figure(width: float, height: float) -> Figure:
    """Make a figure, sizes in inches, whose parts do not overlap."""
    return _PaperFigure(figsize=(width, height), layout="constrained")


def colour_table(colours_of: Colormap | None = None) -> NDArray[np.uint8]:
    """Give 256 colours, the lowest first, shape [256, 3]; by default those of `COLOUR_MAP`."""
    chosen = colours_of or matplotlib.colormaps[COLOUR_MAP]
    colours = np.asarray(chosen(np.linspace(0, 1, 256)), np.float64)
    return np.asarray(np.rint(255 * colours[:, :3]), np.uint8)


def hertz_ticks(
    places_of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    low: float,
    high: float,
    apart: float = TICKS_APART,
) -> list[Tick]:
    """Say where round frequencies are on an axis, none so close to another that labels overlap.

    Parameters
    ----------
    places_of : callable
        Hz -> places on the axis; NaN where there is none.
    low, high : float
        Ends of the axis.
    apart : float, optional
        Share of the axis that is between two at least.

    Returns
    -------
    list of tuple
        Place and label, upwards.
    """
    found: list[Tick] = []
    for hertz, place in zip(TICKS_HZ, places_of(np.array(TICKS_HZ, np.float64)), strict=True):
        free = not found or place - found[-1][0] > apart * (high - low)
        if low <= place <= high and free:
            found.append((float(place), f"{hertz}"))
    return found


def band_ticks(centres_hz: NDArray[np.float64], apart: float = TICKS_APART) -> list[Tick]:
    """Say where round frequencies are on an axis of bands with these centres, upwards.

    Band k is at k, from k - 0.5 to k + 0.5; ``apart`` as in `hertz_ticks`.
    """
    bands = np.arange(len(centres_hz), dtype=np.float64)

    def places_of(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.interp(hertz, centres_hz, bands, left=np.nan, right=np.nan))

    return hertz_ticks(places_of, -0.5, len(bands) - 0.5, apart)


def set_title(figure: Figure, title: str) -> None:
    """Write a title over a figure, in as many lines as its width needs."""
    width = int(CHARACTERS_AN_INCH * figure.get_figwidth())
    lines = [textwrap.fill(line, max(width, 20)) for line in title.splitlines()]
    figure.suptitle("\n".join(lines), fontsize=POINTS)


def short_name(name: str, characters: int = NAME_CHARACTERS) -> str:
    """Shorten a long name at its start: layers of a network differ at the end of their names."""
    return name if len(name) <= characters else f"\N{HORIZONTAL ELLIPSIS}{name[1 - characters :]}"


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure as the PNG ``path`` and as a PDF beside it, making their folder.

    Each is written whole or not at all, and equal figures give equal files. The PDF is made of vectors and
    text; images, and what the figure has marked as rasterised, are pictures inside it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    layout = figure.get_layout_engine()
    # The parts are put in their places once; with a layout engine each file is drawn twice.
    dpi, figure.dpi = figure.dpi, PNG_DPI
    if layout is not None:
        with matplotlib.rc_context(STYLE):
            layout.execute(figure)
    figure.dpi = dpi
    figure.set_layout_engine(None)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=PNG_DPI, metadata={"Software": "actprobe"})
    with atomic_path(path.with_suffix(".pdf")) as temporary:
        metadata = {"Creator": "actprobe", "Producer": None, "CreationDate": None}
        figure.savefig(temporary, format="pdf", dpi=PDF_DPI, metadata=metadata)
    figure.set_layout_engine(layout)
