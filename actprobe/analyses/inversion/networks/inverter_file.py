"""Inverters as npz files: the original's arrays and, of those trained here, what they are for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError, WeightsError
from actprobe.models.inverter_specs import Plan
from actprobe.provenance import write_npz
from actprobe.weights.npz import read_npz

Floats = NDArray[np.float32]

ORIGIN = "origin"
ORIGIN_BYTES = 1024
DIRECTORY_BYTES = 1 << 16  # the names of an npz stand at its end


@dataclass(frozen=True)
class Origin:
    """What an inverter trained here was made for; stored with its weights.

    - ``model`` and ``layer``: whose features it inverts.
    - ``weights``: sha256 of the network's weights; empty for seeded random ones.
    - ``ending``: see `Plan`.
    - ``architecture``: see `actprobe.analyses.inversion.networks.design.plan_for`.
    """

    model: str
    layer: str
    weights: str = ""
    ending: str = "elu"
    architecture: str = "published"


def save_inverter(path: Path, arrays: Mapping[str, Floats], origin: Origin, dtype: str = "float32") -> None:
    """Write what `get_arrays` gave and what it is for, all or nothing.

    With dtype ``float16`` the file is half as large and the weights keep three digits.
    """
    text = json.dumps(asdict(origin)).encode().ljust(ORIGIN_BYTES)
    if len(text) > ORIGIN_BYTES:
        raise UsageError(f"{origin.layer}: the name of a layer has to be shorter to be stored")
    stored = {name: array.astype(dtype) for name, array in arrays.items()}
    write_npz(path, {**stored, ORIGIN: np.frombuffer(text, np.uint8)})


def architecture_in(path: Path) -> tuple[bool, str]:
    """Look whether a file states what it is for, and for the architecture that it names.

    The originals do not state it. What is seen here only decides which arrays the file is held against; all
    of it is checked then.
    """
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - DIRECTORY_BYTES))
            tail = file.read(DIRECTORY_BYTES)
    except OSError:
        return False, "published"  # reported by what reads the file
    named = re.search(rb'"architecture": "(\w+)"', tail)
    return f"{ORIGIN}.npy".encode() in tail, named.group(1).decode() if named else "published"


def read_inverter(path: Path, plan: Plan, has_origin: bool) -> tuple[list[Floats], Origin | None, str]:
    """Read the weights of an inverter, what it is for (None without ``has_origin``), and the file's sha256.

    The arrays are in the layout of Lasagne and have to fit the plan; a WeightsError where the file is
    damaged, or holds other arrays, NaN or infinity.
    """
    expected: dict[str, tuple[int, ...]] = {
        f"param{i}": shape for i, shape in enumerate(plan.arrays_in_file())
    }
    if has_origin:
        file = read_npz(path, expected | {ORIGIN: (ORIGIN_BYTES,)}, dtypes=("<f4", "<f2", "|u1"))
    else:
        file = read_npz(path, expected)
    for key in expected:
        found = file.arrays[key].dtype
        if found not in (np.float32, np.float16):
            raise WeightsError(path, key, f"has type {found.str}, not <f4 or <f2; it is not cast")
    arrays = [file.arrays[key].astype(np.float32, copy=False) for key in expected]
    for number, array in enumerate(arrays):
        if not np.isfinite(array).all():
            raise WeightsError(path, f"param{number}", "holds NaN or infinity")
    if not has_origin:
        return arrays, None, file.sha256
    try:
        fields = json.loads(file.arrays[ORIGIN].astype(np.uint8).tobytes().decode())
        origin = Origin(**{key: str(value) for key, value in fields.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise WeightsError(path, ORIGIN, "does not say what the weights were made for") from error
    return arrays, origin, file.sha256
