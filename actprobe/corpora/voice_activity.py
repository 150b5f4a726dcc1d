"""Where, and how much of, a recording is sung, by the label file that lies beside it.

Read are ``NAME.vocal`` of MIR-1K and ``NAME.lab`` of Jamendo and of folders of one's own (`mir1k`, `jamendo`,
`labelled` say what stands in them), for a recording ``NAME.wav`` in the same folder, or with the labels in a
folder beside that of the audio, as those corpora have them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl import logging

from actprobe.corpora.folder import Recording
from actprobe.corpora.jamendo import label_folders
from actprobe.corpora.label_files import Floats, read_lab, read_text
from actprobe.corpora.mir1k import FRAME_SECONDS, read_vocal
from actprobe.errors import CorpusError

COLUMN = "voice_activity"

MIR1K_LABELS = "vocal-nonvocalLabel"


def label_file(recording: Recording) -> Path | None:
    """Find the label file of a recording; None where there is none.

    The first of: ``.vocal`` or ``.lab`` beside the audio, then in the folders of labels beside the folder of
    the audio, then beside the folder above that.
    """
    return next((path for path in _candidates(recording) if path.is_file()), None)


def _candidates(recording: Recording) -> Iterator[Path]:
    folder, name = recording.path.parent, recording.path.stem
    yield folder / f"{name}.vocal"
    yield folder / f"{name}.lab"
    for above in (folder.parent, folder.parent.parent):
        yield above / MIR1K_LABELS / f"{name}.vocal"
        yield from (labels / f"{name}.lab" for labels in label_folders(above))


def sung_intervals(path: Path) -> Floats:
    """Read the sung intervals of a label file, [intervals, 2], seconds; CorpusError where it is none."""
    return read_vocal(path) if path.suffix == ".vocal" else read_lab(path)


def sung_share(path: Path) -> float:
    """Give the seconds with singing over the seconds with a label, 0 to 1.

    Of all frames of a ``.vocal`` file, or up to the end of the last line of a ``.lab`` file. A file that is
    no label file of singing is a `CorpusError`.
    """
    sung = sung_intervals(path)
    if path.suffix == ".vocal":
        seconds = len(read_text(path).split()) * FRAME_SECONDS
    else:
        seconds = max(float(line.split()[1]) for line in read_text(path).splitlines() if line.strip())
    if not seconds:
        raise CorpusError(path, "labels nothing longer than 0 s")
    return float(np.sum(sung[:, 1] - sung[:, 0])) / seconds


def cell(recording: Recording) -> str:
    """Give `sung_share` as a manifest would, with six digits.

    Empty when there is no label file, or one that cannot be read, of which a warning is logged.
    """
    path = label_file(recording)
    if path is None:
        return ""
    try:
        return f"{sung_share(path):.6f}"
    except CorpusError as error:
        logging.warning("voice_activity of %s is unknown: %s", recording.name, error)
        return ""
