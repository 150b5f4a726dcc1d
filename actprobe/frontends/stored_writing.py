"""`save_activations`: what another framework computed, written so that actprobe reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actprobe.errors import UsageError
from actprobe.frontends.base import FrontEnd
from actprobe.frontends.stored_files import OWN_NAMES
from actprobe.provenance import write_npz


def save_activations(
    path: str | Path,
    *,
    times: ArrayLike,
    examples: ArrayLike | None = None,
    frontend: FrontEnd | None = None,
    example_seconds: float | None = None,
    layer_times: Mapping[str, ArrayLike] | None = None,
    **layers: ArrayLike,
) -> Path:
    """Write what a network of any framework computed for one recording; `open_activations` reads it.

    Parameters
    ----------
    path : str or Path
        The npz, named after the recording: ``FOLDER/drums/a.npz`` for ``drums/a.wav``.
    times : array_like
        Seconds from the start of the recording to that of each example, [examples], ascending.
    examples : array_like, optional
        What the network was given, [examples, time, mel]; inverters need it.
    frontend : FrontEnd, optional
        What gives such examples, such as a `LogMelFrontEnd`: what activation maps need to know hertz, and
        inversions to make sound.
    example_seconds : float, optional
        How long an example is; by default that of the front end, else the time from one to the next.
    layer_times : mapping, optional
        Layer name -> seconds from the start of an example to the centre of each time position of its map;
        by default positions are spread evenly over the example.
    **layers
        Layer name -> [examples, time, mel, channel], [examples, time, unit] or [examples, unit], of numbers;
        a PyTorch map [examples, channel, mel, time] is turned by ``.permute(0, 3, 2, 1)``. Names that are no
        Python names are given as ``**{"features.0": array}``.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UsageError
        An array of another shape, or a name that is taken.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> path = tempfile.mkdtemp() + "/song.npz"
    >>> conv1 = np.zeros((3, 50, 1, 8))
    >>> actprobe.save_activations(path, times=[0.0, 1.0, 2.0], conv1=conv1).name
    'song.npz'
    """
    starts = np.asarray(_numpy("times", times), np.float64)
    if starts.ndim != 1 or not len(starts) or not np.isfinite(starts).all() or (np.diff(starts) <= 0).any():
        shape = list(starts.shape)
        raise UsageError(f"times has shape {shape}: ascending seconds, one an example, are needed")
    if not layers:
        raise UsageError("name at least one layer: save_activations(path, times=..., conv1=array)")
    arrays: dict[str, NDArray[Any]] = {"times": starts}
    for name, values in layers.items():
        _check_name(name)
        arrays[name] = _of_examples(name, values, len(starts), (2, 3, 4))
    if examples is not None:
        arrays["examples"] = _of_examples("examples", examples, len(starts), (3,))
    for name, values in (layer_times or {}).items():
        if name not in layers or arrays[name].ndim == 2:
            raise UsageError(f"layer_times: {name} is not a map that is saved here")
        seconds = np.asarray(_numpy(f"{name}/times", values), np.float64)
        if seconds.shape != arrays[name].shape[1:2]:
            raise UsageError(
                f"layer_times: {name} has {arrays[name].shape[1]} positions, not {seconds.shape}"
            )
        arrays[f"{name}/times"] = seconds
    facts: dict[str, Any] = {}
    if frontend is not None:
        facts["frontend"] = frontend.describe()
        example_seconds = example_seconds or frontend.example_samples / frontend.sample_rate
        if examples is not None and arrays["examples"].shape[1:] != frontend.example_shape:
            raise UsageError(
                f"examples has shape {list(arrays['examples'].shape)}, but {frontend.name} gives [examples, "
                f"{frontend.example_shape[0]}, {frontend.example_shape[1]}]"
            )
    if example_seconds is not None:
        facts["example_seconds"] = float(example_seconds)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays["facts"] = np.array(json.dumps(facts, allow_nan=False))
    write_npz(path, arrays)
    return path


def _check_name(name: str) -> None:
    if name in OWN_NAMES or name.endswith("/times") or not name:
        raise UsageError(f"a layer named {name!r} cannot be saved: rename it")


def _of_examples(name: str, values: ArrayLike, examples: int, ranks: tuple[int, ...]) -> NDArray[np.float32]:
    found = _numpy(name, values)
    if found.dtype.kind not in "fiu" or found.ndim not in ranks or len(found) != examples or 0 in found.shape:
        forms = {2: "[examples, unit]", 3: "[examples, time, unit]", 4: "[examples, time, mel, channel]"}
        wanted = " or ".join(forms[rank] for rank in ranks) if name != "examples" else "[examples, time, mel]"
        raise UsageError(
            f"{name} has shape {list(found.shape)} and type {found.dtype}: numbers {wanted} are needed, with "
            f"{examples} examples, as many as times"
        )
    return np.ascontiguousarray(found, np.float32)


def _numpy(name: str, values: Any) -> NDArray[Any]:
    """Take an array of any framework, a PyTorch tensor with gradients or on a GPU among them."""
    try:
        return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{name} is no array of numbers ({error})") from error
