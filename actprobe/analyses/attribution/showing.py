"""The figures and sounds of a finished attribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.analyses.attribution.figures import attribution_figure
from actprobe.analyses.attribution.passages import Passage, passages_of
from actprobe.analyses.attribution.sounds import masked_sound
from actprobe.analyses.attribution.store import INPUT, read_recording
from actprobe.audio.writing import write_wav
from actprobe.corpora import Recording
from actprobe.corpora.folder import plain_name
from actprobe.errors import AudioError, UsageError
from actprobe.frontends import FrontEnd
from actprobe.frontends.base import cut_out
from actprobe.models import Model
from actprobe.plotting import save_figure

PASSAGES = 4  # of a recording that are shown, the first ones

Arrays = Mapping[str, NDArray[Any]]


def show_recordings(
    folder: Path, model: Model, recordings: Sequence[Recording], record: Mapping[str, Any], *, sound: bool
) -> list[dict[str, Any]]:
    """Write figures/ and sounds/ of some recordings of attributions.npz.

    Returns
    -------
    list of dict
        For each passage ``recording``, ``start_seconds``, ``seconds``, ``figure`` and ``sounds``: file names
        by what they are of, ``original`` and each method. Sounds are left out, with a warning, where the
        front end does not say how it cuts sound into bands.
    """
    shown: list[dict[str, Any]] = []
    for number, recording in enumerate(recordings):
        arrays = read_recording(folder / "attributions.npz", recording.name)
        for passage in passages_of(arrays["times"], bool(record["joined"]))[:PASSAGES]:
            start = float(arrays["start_seconds"][passage.first])
            stem = f"{number + 1:03d}-{plain_name(Path(recording.name).stem)}-{start:.2f}s"
            figure = passage_figure(arrays, passage, record, recording.name)
            save_figure(figure, folder / "figures" / f"{stem}.png")
            entry = {
                "recording": recording.name, "start_seconds": start,
                "seconds": float(passage.times[-1] - passage.times[0]), "figure": f"{stem}.png",
            }  # fmt: skip
            if sound:
                samples = _samples(recording, model.frontend, passage, start)
                entry["sounds"] = _save_sounds(
                    folder / "sounds", stem, model.frontend, arrays, record["methods"], passage, samples
                )
            shown.append(entry)
    return shown


def passage_figure(arrays: Arrays, passage: Passage, record: Mapping[str, Any], recording: str) -> Figure:
    """Draw a passage of a recording with the attributions of every method."""
    return attribution_figure(
        passage.join(arrays[INPUT]),
        {method: passage.join(arrays[method]) for method in record["methods"]},
        passage.times,
        arrays["bands_hz"],
        unit=record["unit"],
        title=f"{record['title']} of {record['model']}, {recording}",
    )


def _samples(recording: Recording, frontend: FrontEnd, passage: Passage, start: float) -> NDArray[np.float32]:
    """Read the sound of a passage, with zeros where it reaches beyond the recording."""
    samples = recording.waveform(frontend.sample_rate).samples
    more = len(passage.times) - frontend.example_shape[0]
    length = frontend.example_samples + more * frontend.frame_hop
    return cut_out(samples, round(start * frontend.sample_rate), length)


def _save_sounds(
    folder: Path,
    stem: str,
    frontend: FrontEnd,
    arrays: Arrays,
    methods: Sequence[str],
    passage: Passage,
    samples: NDArray[np.float32],
) -> dict[str, str]:
    try:
        made = {name: masked_sound(frontend, passage.join(arrays[name]), samples) for name in methods}
    except (UsageError, AudioError) as error:
        logging.log_first_n(logging.WARNING, "no sounds: %s", 1, error)
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, sound in {"original": samples, **made}.items():
        files[name] = f"{stem}-{name}.wav"
        write_wav(folder / files[name], sound, frontend.sample_rate)
    return files
