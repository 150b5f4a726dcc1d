"""What a detector takes for singing: voices soft and loud, a voice alone, and sounds in which nobody sings.

Figures over recordings not trained on, at one threshold. A recording is varied by the level of its stems and
predicted like any other, so that ``predict`` is all that is needed of a detector.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from actprobe.corpora.labelled import LabelledRecording, Stems
from actprobe.detection.evaluation import together
from actprobe.detection.prediction import Predictions, predict_all
from actprobe.frontends.logmel import FRAME_HOP, SAMPLE_RATE
from actprobe.models.networks import svd
from actprobe.plotting import BLUE, GREEN, ONE_COLUMN, ORANGE, new_figure, styled
from actprobe.statistics.roc import auc
from actprobe.training.variation import decibels

VOICES = "voices test"  # the set of voices alone, see `actprobe.corpora.splits.open_splits`
VOICE_DB = (-24.0, -18.0, -12.0, -6.0, 0.0, 6.0, 12.0)  # of the voice against the accompaniment
LOUDNESS_DB = (-12.0, -6.0, 6.0, 12.0)
FIGURE = "figures/voice_level.png"
# Sounds close to singing, by words in the names of recordings.
CLOSE_SOUNDS = {"speech": ("speech", "spoken"), "violin": ("violin",), "saxophone": ("sax",)}

Predict = Callable[[Sequence[LabelledRecording]], list[Predictions]]


@dataclass(frozen=True)
class VoiceLevel:
    """Figures with the voice at a level; ``voice_db`` is None for the recordings as they are.

    ``recall``: share of the sung frames that are found. ``false_alarms``: share of the others that are.
    """

    voice_db: float | None
    auc: float
    recall: float
    false_alarms: float


@dataclass(frozen=True)
class Loudness:
    """Figures with all of the recordings louder by ``gain_db``.

    ``changed``: share of the frames whose decision changes. ``mean_change``: mean absolute change of output.
    """

    gain_db: float
    auc: float
    changed: float
    mean_change: float


@dataclass(frozen=True)
class Share:
    """The ``share`` of ``seconds`` that is found sung, of so many ``recordings`` of a set together."""

    name: str
    set: str
    recordings: int
    seconds: float
    share: float


def open_predictor(weights: Path, normalization: Path) -> Predict:
    """Read a detector that was trained, svd.npz and meanstd.npz, for `judge`."""
    network = svd.build()
    for name, arrays in svd.port(svd.read(weights)).items():
        network.get_layer(name).set_weights(arrays)
    with np.load(normalization) as stored:
        return partial(predict_all, network, (stored["mean"], stored["std"]))


def judge(
    predict: Predict,
    tests: Mapping[str, Sequence[Predictions]],
    valid: Sequence[Predictions],
    threshold: float,
) -> dict[str, Any]:
    """Measure everything that the recordings allow, as a dict for JSON; NaN where a figure has no frames.

    ``tests`` maps the names of sets, as `actprobe.corpora.splits.Splits` has them, to what ``predict`` gives
    for them; ``valid`` are predictions of recordings for validation. ``threshold``: see
    `actprobe.detection.scores.Scores`. Left out are ``voice_level`` and ``loudness`` without any test
    recording with stems, ``false_alarms`` and ``close_sounds`` without any recording in which nobody sings,
    and ``voices`` without that set.
    """
    levels_db = {each: voice_db(each.recording) for group in tests.values() for each in group}
    mixed = [each for each, level in levels_db.items() if math.isfinite(level)]
    found: dict[str, Any] = {"threshold": threshold}
    if mixed:
        found["voice_level"] = {
            "recordings": len(mixed),
            "recorded_db": float(np.median([levels_db[each] for each in mixed])),
            "levels": [asdict(each) for each in voice_levels(predict, mixed, threshold)],
        }
        found["loudness"] = [asdict(each) for each in loudness(predict, mixed, threshold)]
    alarms = false_alarms({**tests, "valid": valid}, threshold)
    if alarms:
        sets = list(dict.fromkeys(each.set for each in alarms))
        totals = [total("together", [row for row in alarms if row.set == each], each) for each in sets]
        found["false_alarms"] = _shares(alarms, [*totals, total("together", alarms, "all")])
        found["close_sounds"] = [asdict(each) for each in close_sounds(alarms)]
    voices = sung_found(tests.get(VOICES, ()), threshold)
    if voices:
        found["voices"] = _shares(voices, [total("together", voices, VOICES)])
    return found


def _shares(rows: Sequence[Share], totals: Sequence[Share]) -> dict[str, Any]:
    return {"recordings": [asdict(each) for each in rows], "together": [asdict(each) for each in totals]}


def voice_levels(
    predict: Predict,
    as_recorded: Sequence[Predictions],
    threshold: float,
    levels_db: Sequence[float] = VOICE_DB,
) -> list[VoiceLevel]:
    """Measure with the voice at each level against the accompaniment, and at last as recorded.

    ``as_recorded`` are predictions of recordings with both stems. See `at_voice_level`.
    """
    recordings = [each.recording for each in as_recorded]
    varied = [(db, predict([at_voice_level(each, db) for each in recordings])) for db in levels_db]
    rows = []
    for db, predictions in [*varied, (None, as_recorded)]:
        labels, scores = together(predictions)
        found = scores >= threshold
        rows.append(VoiceLevel(db, auc(labels, scores), _mean(found[labels]), _mean(found[~labels])))
    return rows


def loudness(
    predict: Predict,
    as_recorded: Sequence[Predictions],
    threshold: float,
    gains_db: Sequence[float] = LOUDNESS_DB,
) -> list[Loudness]:
    """Measure with the recordings as a whole softer or louder; ``as_recorded`` are predictions of them."""
    _, before = together(as_recorded)
    rows = []
    for db in gains_db:
        labels, scores = together(predict([with_gain(each.recording, db) for each in as_recorded]))
        changed = (scores >= threshold) != (before >= threshold)
        rows.append(Loudness(db, auc(labels, scores), _mean(changed), _mean(np.abs(scores - before))))
    return rows


def false_alarms(sets: Mapping[str, Sequence[Predictions]], threshold: float) -> list[Share]:
    """Give the share that is found sung of every recording in which, as is known, nobody sings."""
    return [
        _share(each, name, each.probabilities >= threshold)
        for name, group in sets.items()
        for each in group
        if each.recording.known and not len(each.recording.sung)
    ]


def sung_found(voices: Sequence[Predictions], threshold: float) -> list[Share]:
    """Give the share of the sung frames that is found of every recording that has such."""
    rows = [_share(each, VOICES, (each.probabilities >= threshold)[each.labels()]) for each in voices]
    return [row for row in rows if row.seconds]


def close_sounds(alarms: Sequence[Share]) -> list[Share]:
    """Put together what `false_alarms` gave for each of `CLOSE_SOUNDS`, also where there is no recording."""
    return [
        total(sound, [each for each in alarms if any(word in each.name.lower() for word in words)], "all")
        for sound, words in CLOSE_SOUNDS.items()
    ]


def total(name: str, rows: Sequence[Share], set_name: str) -> Share:
    """Put shares together, each counting by its seconds."""
    seconds = sum(each.seconds for each in rows)
    found = sum(each.seconds * each.share for each in rows if each.seconds)
    count = sum(each.recordings for each in rows)
    return Share(name, set_name, count, seconds, found / seconds if seconds else math.nan)


def _share(predictions: Predictions, set_name: str, found: NDArray[np.bool_]) -> Share:
    seconds = len(found) * FRAME_HOP / SAMPLE_RATE
    return Share(predictions.recording.name, set_name, 1, seconds, _mean(found))


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else math.nan


def voice_db(recording: LabelledRecording) -> float:
    """Measure the level of the voice against the accompaniment in dB.

    The RMS of the voice where it is sung over that of the whole accompaniment. NaN without both stems, or if
    one is silent.
    """
    return _voice_db(recording, recording.stems(SAMPLE_RATE), SAMPLE_RATE)


def _voice_db(recording: LabelledRecording, stems: Stems, sample_rate: int) -> float:
    if not {"voice", "accompaniment"} <= set(stems):
        return math.nan
    sung = recording.labels_at(np.arange(len(stems["voice"])) / sample_rate)
    voice, accompaniment = _power(stems["voice"][sung]), _power(stems["accompaniment"])
    return 10 * math.log10(voice / accompaniment) if voice > 0 and accompaniment > 0 else math.nan


def _power(samples: NDArray[np.float32]) -> float:
    return _mean(np.square(samples, dtype=np.float64))


def at_voice_level(recording: LabelledRecording, level_db: float) -> LabelledRecording:
    """Give a recording with its voice at a level against the accompaniment, which stays as it is."""

    def load(_: LabelledRecording, sample_rate: int) -> Stems:
        stems = recording.stems(sample_rate)
        gain = decibels(level_db - _voice_db(recording, stems, sample_rate))
        return {**stems, "voice": gain * stems["voice"]}

    return replace(recording, load=load)


def with_gain(recording: LabelledRecording, gain_db: float) -> LabelledRecording:
    """Give a recording that is louder as a whole."""

    def load(_: LabelledRecording, sample_rate: int) -> Stems:
        stems = recording.stems(sample_rate)
        return {name: decibels(gain_db) * samples for name, samples in stems.items()}

    return replace(recording, load=load)


@styled
def draw_voice_levels(found: Mapping[str, Any]) -> Figure:
    """Draw AUC, recall and false alarms by the level of the voice, with open marks for as recorded.

    ``found`` is ``voice_level`` of what `judge` gave. Open marks are at the median level of the recordings.
    """
    figure = new_figure(ONE_COLUMN, 2.4)
    axes = figure.subplots()
    *varied, recorded = found["levels"]
    lines = (
        ("auc", "AUC", BLUE, "o"),
        ("recall", "recall", GREEN, "s"),
        ("false_alarms", "false alarms", ORANGE, "^"),
    )
    for key, label, colour, marker in lines:
        values = np.array([each[key] for each in varied], np.float64)
        axes.plot([each["voice_db"] for each in varied], values, color=colour, marker=marker, label=label)
        at = np.array([recorded[key]], np.float64)
        axes.plot([found["recorded_db"]], at, color=colour, marker=marker, fillstyle="none", markersize=6)
    axes.plot(
        [], [], color="0.4", marker="o", fillstyle="none", markersize=6, linestyle="", label="as recorded"
    )
    axes.set_xticks([each["voice_db"] for each in varied])
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("voice against accompaniment (dB)")
    axes.set_ylabel("AUC, or share of frames")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
