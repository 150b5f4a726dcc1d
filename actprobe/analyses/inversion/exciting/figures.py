"""Figures of excited inputs: start, excited input, best excerpt and control side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.analyses.inversion.figures import SHARED_RANGE, inversion_figure
from actprobe.analyses.inversion.pictures import pictures_of

PANELS = 4  # of a row, one row a method


def excitation_figure(
    rows: pd.DataFrame, arrays: Mapping[str, NDArray[Any]], unit: str, title: str
) -> Figure:
    """Draw a neuron's rows of excited.csv with its arrays, on one colour scale.

    ``arrays`` are ``times``, ``bands_hz``, ``best`` and those of every method.
    """
    shown = {"times": arrays["times"], "bands_hz": arrays["bands_hz"]}
    titles: dict[str, str] = {}
    for row in rows.to_dict("records"):
        way = f"{row['method']} {row['space']}".strip()
        panels = {
            f"{way}/start": f"start ({row['start']})\n{row['value_start']:.3g}",
            way: f"{way}\n{row['value']:.3g}",
            f"{way}/best": f"best excerpt\n{row['best_excerpt_value']:.3g}",
            f"{way}/random_weights": f"with random weights\n{row['random_weights_value']:.3g}",
        }
        titles |= panels
        shown |= {name: arrays["best" if name.endswith("/best") else name] for name in panels}
    pictures = pictures_of(shown, list(titles), unit)
    low, high = np.percentile(np.stack(list(pictures.panels.values())), SHARED_RANGE)
    return inversion_figure(pictures, titles, title=title, columns=PANELS, limits=(float(low), float(high)))
