"""The order of a network's input axes, and what an example of a front end becomes in it."""

from __future__ import annotations

from collections.abc import Sequence

from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd

# By what `wrap_model` calls them: the axes of an example, in the network's order.
AXES = {"time,mel": ("time", "mel"), "mel,time": ("mel", "time"), "samples": ("samples",)}


def axes_named(axes: str) -> tuple[str, ...]:
    """Look an order up."""
    if axes not in AXES:
        raise UsageError(f"there are no axes {axes!r}; there are {', '.join(map(repr, AXES))}")
    return AXES[axes]


def in_order(example_shape: tuple[int, int], axes: str) -> tuple[int, ...]:
    """Give the sizes of an example, (time, mel), in the order of the network; without mel for samples."""
    time, mel = example_shape
    return {"time,mel": (time, mel), "mel,time": (mel, time), "samples": (time,)}[axes]


def check_waveform(frontend: FrontEnd | None, axes: str, name: str) -> None:
    """Refuse a front end that gives spectra to a network that takes samples."""
    if axes == "samples" and frontend is not None and frontend.example_shape[1] != 1:
        raise UsageError(
            f"{name} takes samples, but {frontend.name} gives {frontend.example_shape[1]} mel bands: give it "
            f"a WaveformFrontEnd"
        )


def form(axes: str, *, last: bool) -> str:
    """Write what a network of some order takes; the channel axis comes last or first."""
    names = ", ".join(AXES[axes])
    return f"[batch, {names}] or [batch, {f'{names}, 1' if last else f'1, {names}'}]"


def shape_in_words(shape: Sequence[int]) -> str:
    """Write the shape of an example, (time, mel)."""
    return f"{shape[0]} samples" if shape[1] == 1 else f"{shape[0]} time frames by {shape[1]} mel bands"
