"""How much of a recording is sung, by the label file that lies beside it.

Read are ``NAME.vocal`` of MIR-1K and ``NAME.lab`` of Jamendo and of folders of one's own (`mir1k`, `jamendo`,
`labelled` say what stands in them), for a recording ``NAME.wav`` in the same folder, or with the labels in a
folder beside that of the audio, as those corpora have them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from absl import logging

from actprobe.corpora.folder import Recording
from actprobe.corpora.jamendo import LABEL_FOLDERS
from actprobe.corpora.label_files import read_lab, read_text
from actprobe.corpora.mir1k import FRAME_SECONDS, read_vocal
from actprobe.errors import CorpusError

COLUMN = "voice_activity"

MIR1K_LABELS = "vocal-nonvocalLabel"


def label_file(recording: Recording) -> Path | None:
    """Find the label file of a recording.

    Parameters
    ----------
    recording : Recording
        The recording.

    Returns
    -------
    Path or None
        The first there is: ``.vocal`` or ``.lab`` beside the audio, then in the folders of labels beside the
        folder of the audio, then beside the folder above that.
    """
    folder, name = recording.path.parent, recording.path.stem
    candidates = [folder / f"{name}.vocal", folder / f"{name}.lab"]
    for above in (folder.parent, folder.parent.parent):
        candidates.append(above / MIR1K_LABELS / f"{name}.vocal")
        candidates += [above / labels / f"{name}.lab" for labels in LABEL_FOLDERS]
    return next((path for path in candidates if path.is_file()), None)


def sung_share(path: Path) -> float:
    """Read a label file.

    Parameters
    ----------
    path : Path
        ``.vocal`` or ``.lab``.

    Returns
    -------
    float
        Seconds with singing over seconds with a label, 0 to 1: of all frames of a ``.vocal`` file, or up to
        the last line's end of a ``.lab`` file.

    Raises
    ------
    CorpusError
        It is no label file of singing.
    """
    if path.suffix == ".vocal":
        sung = read_vocal(path)
        seconds = len(read_text(path).split()) * FRAME_SECONDS
    else:
        sung = read_lab(path)
        seconds = max(float(line.split()[1]) for line in read_text(path).splitlines() if line.strip())
    if not seconds:
        raise CorpusError(path, "labels nothing longer than 0 s")
    return float(np.sum(sung[:, 1] - sung[:, 0])) / seconds


def cell(recording: Recording) -> str:
    """Say how much of a recording is sung, as a manifest would.

    Parameters
    ----------
    recording : Recording
        The recording.

    Returns
    -------
    str
        `sung_share` with six digits; empty when there is no label file, or one that cannot be read, of which
        a warning is logged.
    """
    path = label_file(recording)
    if path is None:
        return ""
    try:
        return f"{sung_share(path):.6f}"
    except CorpusError as error:
        logging.warning("voice_activity of %s is unknown: %s", recording.name, error)
        return ""
