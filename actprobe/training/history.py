"""What a training leaves behind beside its weights: history.json, its curves, and the command."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from actprobe.errors import CorpusError
from actprobe.plotting import ONE_COLUMN, new_figure, styled
from actprobe.provenance import write_json

HISTORY = "history.json"

Line = dict[str, float]


def without_nan(value: Any) -> Any:
    """Put None where there is no figure: JSON knows no NaN."""
    if isinstance(value, dict):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_nan(each) for each in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def write_history(folder: Path, lines: Sequence[Line]) -> None:
    """Write one line an epoch, whole or not at all."""
    write_json(folder / HISTORY, {"epochs": without_nan(list(lines))})


def read_history(folder: Path) -> list[Line]:
    """Read what `write_history` wrote."""
    path = folder / HISTORY
    try:
        lines = json.loads(path.read_text("utf-8"))["epochs"]
        return [{key: math.nan if each is None else each for key, each in line.items()} for line in lines]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(path, f"is not the history of a training ({error})") from error


@styled
def draw_history(table: pd.DataFrame, judged: str, label: str, colours: Sequence[str]) -> Figure:
    """Draw the loss by epoch above, and what the epochs were judged by below, where there is any.

    ``table`` has a row an epoch, with ``loss`` and perhaps its terms; ``judged`` is the column of the measure
    that epochs were judged by, and ``label`` its name for the axis.
    """
    terms = list(table.columns[1 : list(table.columns).index(judged)])
    panels = [(terms, "training loss"), ([judged], label)][: 2 if table[judged].notna().any() else 1]
    figure = new_figure(ONE_COLUMN, 1.6 * len(panels) + 0.4)
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
    for axes, (columns, name) in zip(grid[:, 0], panels, strict=True):
        axes.set_prop_cycle(color=list(colours))
        for column in columns:
            axes.plot(table["epoch"], table[column], marker="o", label=column)
        axes.set_ylabel(name)
        axes.grid(alpha=0.3)
        if len(columns) > 1:
            axes.legend()
    grid[-1, 0].set_xlabel("epoch")
    return figure


def plain_command(record: Mapping[str, Any]) -> str:
    """Give the command of a run.json without the folder of the binary."""
    first, *rest = shlex.split(record["command"])
    return " ".join([Path(first).name, *map(shlex.quote, rest)])
