"""Excited inputs as sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.audio.writing import write_wav
from actprobe.frontends import FrontEnd

Facts = dict[str, dict[str, Any]]


def save_sounds(
    folder: Path,
    neuron: str,
    frontend: FrontEnd,
    arrays: Mapping[str, NDArray[Any]],
    ways: Sequence[str],
    seed: int,
) -> Facts:
    """Write the sounds of a neuron: of every method, of the best excerpt's example, and of the recording.

    Where a front end standardises every example by itself, an excited input gets the best excerpt's level.

    Returns
    -------
    dict
        ``original``, ``best`` and the methods -> ``file``, ``gain`` it was multiplied by, and ``error_db``,
        how far its bands lie from those that were wanted, where it had to be estimated. Where the front end
        keeps the phase, ``best`` is the recording, and left out.

    Raises
    ------
    UsageError
        The front end has no sound; nothing is written.
    """
    samples = np.asarray(arrays["best_samples"], np.float32)
    names = [*ways] if frontend.keeps_phase else ["best", *ways]
    made = {name: frontend.sound(arrays[name], samples, seed=seed) for name in names}
    folder.mkdir(parents=True, exist_ok=True)
    facts: Facts = {}

    def write(name: str, sound: NDArray[np.float32]) -> None:
        file = f"{neuron} {name}.wav".replace("/", "-").replace(" ", "-")
        facts[name] = {"file": file, "gain": write_wav(folder / file, sound, frontend.sample_rate)}

    write("original", samples)
    for name, sound in made.items():
        write(name, sound.samples)
        if sound.error_db is not None:
            facts[name]["error_db"] = sound.error_db
    return facts
