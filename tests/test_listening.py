"""What a detector takes for singing, measured with one whose answers are known.

The stems are constant, and the detector's output is the sample at the centre of each frame: a voice of V over
an accompaniment of A gives (V + A) / 2 where it is sung and A / 2 elsewhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actprobe.corpora.labelled import LabelledRecording
from actprobe.detection import listening
from actprobe.detection.card import figures_table, listening_section
from actprobe.detection.prediction import Predictions
from actprobe.detection.spectra import frame_times
from actprobe.frontends.logmel import FRAME_HOP, FRAME_LENGTH, SAMPLE_RATE
from actprobe.plotting import save_figure
from actprobe.training.history import without_nan

FRAMES = 200
SUNG = (25, 75)  # frames: a quarter of them
THRESHOLD = 0.12


def recording(name: str, sung_frames: Sequence[tuple[int, int]] = (SUNG,), **stems: Any) -> LabelledRecording:
    """Stems of constant samples; an array has one value a frame. The voice sounds where it is sung alone."""
    samples = (FRAMES - 1) * FRAME_HOP + FRAME_LENGTH
    frame_of = np.clip((np.arange(samples) - FRAME_LENGTH // 2 + FRAME_HOP // 2) // FRAME_HOP, 0, FRAMES - 1)
    edges = frame_times(FRAMES + 1) - FRAME_HOP / 2 / SAMPLE_RATE
    sung = np.array([(edges[first], edges[last]) for first, last in sung_frames], float).reshape(-1, 2)
    made = LabelledRecording(name, Path(name), sung, "test")
    on = made.labels_at(np.arange(samples) / SAMPLE_RATE)
    arrays = {
        stem: np.broadcast_to(value, FRAMES)[frame_of].astype(np.float32) * (on if stem == "voice" else 1)
        for stem, value in stems.items()
    }
    return LabelledRecording(name, Path(name), sung, "test", load=lambda self, rate: arrays)


def predict(recordings: Sequence[LabelledRecording]) -> list[Predictions]:
    """Give the sample at the centre of every frame, between 0 and 1."""
    centres = np.arange(FRAMES) * FRAME_HOP + FRAME_LENGTH // 2
    return [Predictions(each, np.abs(each.mixture(SAMPLE_RATE)[centres]).clip(0, 1)) for each in recordings]


@pytest.fixture
def mixed() -> list[LabelledRecording]:
    """A soft and a loud accompaniment; the voice is 20 dB over the one and 6.02 dB under the other."""
    return [
        recording("soft.wav", accompaniment=0.1, voice=1.0),
        recording("loud.wav", accompaniment=0.4, voice=0.2),
    ]


def test_the_level_of_a_voice_is_that_where_it_is_sung(mixed: list[LabelledRecording]) -> None:
    assert [listening.voice_db(each) for each in mixed] == pytest.approx([20, 20 * math.log10(0.5)], abs=1e-4)
    half = recording("half", accompaniment=0.1 * (np.arange(FRAMES) >= FRAMES // 2), voice=0.1)
    assert listening.voice_db(half) == pytest.approx(10 * math.log10(2), abs=0.05)
    for level in (-24.0, 12.0):
        varied = listening.at_voice_level(mixed[0], level)
        assert listening.voice_db(varied) == pytest.approx(level, abs=1e-4)
        assert np.array_equal(varied.stems(SAMPLE_RATE)["accompaniment"], mixed[0].stems(0)["accompaniment"])
        assert varied.sung is mixed[0].sung


def test_without_two_stems_that_sound_there_is_no_level() -> None:
    for stems in (
        {"mixture": 0.1},
        {"voice": 0.1},
        {"voice": 0.0, "accompaniment": 0.1},
        {"voice": 0.1, "accompaniment": 0.0},
    ):
        assert math.isnan(listening.voice_db(recording("a", [SUNG], **stems)))
    assert math.isnan(listening.voice_db(recording("a", [], voice=0.1, accompaniment=0.1)))


def test_figures_by_the_level_of_the_voice(mixed: list[LabelledRecording]) -> None:
    """Not sung: 0.05 and 0.2, so that the loud recording is a false alarm throughout.

    At -24 dB sung frames have 0.0532 and 0.2126: of the four pairs of recordings one is in the wrong order.
    At +12 dB they have 0.249 and 0.996. As recorded 0.55 and 0.3.
    """
    rows = listening.voice_levels(predict, predict(mixed), THRESHOLD, (-24.0, 12.0))
    assert [row.voice_db for row in rows] == [-24, 12, None]
    assert [row.auc for row in rows] == pytest.approx([0.75, 1, 1])
    assert [row.recall for row in rows] == pytest.approx([0.5, 1, 1])
    assert [row.false_alarms for row in rows] == pytest.approx([0.5, 0.5, 0.5])


def test_figures_by_loudness(mixed: list[LabelledRecording]) -> None:
    """6.0206 dB double the output: 0.05, 0.55, 0.2 and 0.3 become 0.1, 1 (cut), 0.4 and 0.6.

    At a threshold of 0.08 the 150 frames of 400 with 0.05 change their decision. 6 dB less halve the output.
    """
    double = 20 * math.log10(2)
    rows = listening.loudness(predict, predict(mixed), 0.08, (double, -double))
    assert [row.gain_db for row in rows] == [double, -double]
    assert rows[0].changed == pytest.approx(150 / 400)
    assert rows[0].mean_change == pytest.approx(
        (150 * 0.05 + 50 * 0.45 + 150 * 0.2 + 50 * 0.3) / 400, abs=1e-6
    )
    assert rows[1].changed == 0
    assert rows[1].mean_change == pytest.approx(
        (150 * 0.025 + 50 * 0.275 + 150 * 0.1 + 50 * 0.15) / 400, abs=1e-6
    )
    assert [row.auc for row in rows] == pytest.approx([1, 1])


def ramp(of_frames: int) -> Any:
    """At 0.5 for the first frames of a recording, and silent after them."""
    return np.where(np.arange(FRAMES) < of_frames, 0.5, 0)


def test_false_alarms_are_those_of_recordings_in_which_nobody_sings(mixed: list[LabelledRecording]) -> None:
    unknown = LabelledRecording("unknown", Path("unknown"), np.zeros((0, 2)), known=False)
    sets = {
        "voiceless test": predict([recording("Violin_A.wav", [], mixture=ramp(20))]),
        "mir1k test": predict(mixed),
        "valid": [
            *predict([recording("sax.wav", [], mixture=0), recording("violin.wav", [], mixture=ramp(70))]),
            Predictions(unknown, np.ones(FRAMES, np.float32)),
        ],
    }  # fmt: skip
    rows = listening.false_alarms(sets, 0.5)
    assert [(row.name, row.set, row.share) for row in rows] == [
        ("Violin_A.wav", "voiceless test", pytest.approx(0.1)),
        ("sax.wav", "valid", 0),
        ("violin.wav", "valid", pytest.approx(0.35)),
    ]
    assert rows[0].seconds == pytest.approx(FRAMES * 315 / 22050)
    speech, violin, saxophone = listening.close_sounds(rows)
    assert (speech.name, speech.recordings, speech.seconds) == ("speech", 0, 0)
    assert math.isnan(speech.share)
    assert (violin.name, violin.recordings) == ("violin", 2)
    assert violin.share == pytest.approx((20 + 70) / 400)
    assert (saxophone.recordings, saxophone.share) == (1, 0)


def test_shares_are_put_together_by_their_seconds() -> None:
    rows = [listening.Share("a", "s", 1, 3.0, 0.1), listening.Share("b", "s", 2, 1.0, 0.5)]
    whole = listening.total("both", rows, "s")
    assert (whole.recordings, whole.seconds) == (3, 4)
    assert whole.share == pytest.approx(0.2)


def test_of_voices_alone_sung_frames_alone_count() -> None:
    """Of 50 sung frames, from frame 25 on, the 15 before frame 40 are found. Other frames do not count."""
    group = [
        recording("v", voice=ramp(40)), recording("rest", [], voice=ramp(0)),
        recording("w", [(0, 100)], voice=0.5),
    ]  # fmt: skip
    rows = listening.sung_found(predict(group), 0.5)
    assert [(row.name, row.share) for row in rows] == [("v", pytest.approx(0.3)), ("w", 1)]
    assert listening.total("together", rows, "x").share == pytest.approx((15 + 100) / 150)


def test_everything_is_measured_and_told_on_the_card(mixed: list[LabelledRecording], tmp_path: Path) -> None:
    tests = {
        "mir1k test": predict(mixed),
        "voices test": predict([recording("aria.wav", voice=ramp(40))]),
        "voiceless test": predict([recording("violin.wav", [], mixture=ramp(20))]),
    }
    valid = predict([recording("drum.wav", [], mixture=ramp(0)), *mixed])
    found = without_nan(listening.judge(predict, tests, valid, 0.5))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["voice_level"]["recordings"] == 2
    assert found["voice_level"]["recorded_db"] == pytest.approx((20 + 20 * math.log10(0.5)) / 2, abs=1e-4)
    assert [row["voice_db"] for row in found["voice_level"]["levels"]] == [*listening.VOICE_DB, None]
    assert [row["gain_db"] for row in found["loudness"]] == [-12, -6, 6, 12]
    assert [(row["set"], row["recordings"], row["share"]) for row in found["false_alarms"]["together"]] == [
        ("voiceless test", 1, pytest.approx(0.1)), ("valid", 1, 0), ("all", 2, pytest.approx(0.05)),
    ]  # fmt: skip
    card = listening_section(found)
    for line in (
        "| as recorded (median +7.0) | 1.000 | 50.0 % | 0.0 % |",
        "| violin.wav | voiceless test | 2.9 | 10.0 % |",
        "| **all, 2 together** |  | 5.7 | 5.0 % |",
        "| aria.wav | voices test | 0.7 | 30.0 % |",
        "| speech | none: not tested | 0.0 | - |",
        "| violin | 1 | 2.9 | 10.0 % |",
    ):
        assert line in card.splitlines()
    assert listening.FIGURE in card
    save_figure(listening.draw_voice_levels(found["voice_level"]), tmp_path / listening.FIGURE)
    assert (tmp_path / "figures/voice_level.png").stat().st_size > 0


def test_what_cannot_be_measured_is_left_out(mixed: list[LabelledRecording]) -> None:
    song = predict([recording("song", mixture=0.1)])
    assert listening.judge(predict, {}, [], 0.5) == {"threshold": 0.5}
    assert listening.judge(predict, {"songs test": song}, song, 0.5) == {"threshold": 0.5}
    assert listening_section({"threshold": 0.5}) == ""
    stems_alone = listening.judge(predict, {"mir1k test": predict(mixed)}, [], 0.5)
    assert set(stems_alone) == {"threshold", "voice_level", "loudness"}
    assert "False alarms" not in listening_section(without_nan(stems_alone))
    valid_alone = listening.judge(predict, {}, predict([recording("drum", [], mixture=0.1)]), 0.5)
    assert set(valid_alone) == {"threshold", "false_alarms", "close_sounds"}


def test_of_sets_in_which_nobody_sings_the_card_has_no_row_of_figures() -> None:
    figures = dict.fromkeys(("auc", "threshold", "accuracy", "precision", "recall", "f"), 0.5)
    table = figures_table(
        {
            "songs": {"labels as they are": {"frames": 10, "sung": 0.4, **figures}},
            "voiceless": {"labels as they are": {"frames": 10, "sung": 0.0, **figures, "auc": None}},
        }
    )
    assert "| songs | labels as they are | 10 | 40 % | 0.500 |" in table
    assert "voiceless" not in table


def test_figures_without_any_frame_are_none_in_json() -> None:
    """Sung from beginning to end: there is no frame for a false alarm, and no pair for the AUC."""
    tests = {"mir1k test": predict([recording("a", [(0, FRAMES)], voice=0.5, accompaniment=0.1)])}
    found = without_nan(listening.judge(predict, tests, [], 0.5))
    assert {row["false_alarms"] for row in found["voice_level"]["levels"]} == {None}
    assert {row["auc"] for row in found["loudness"]} == {None}
    json.dumps(found, allow_nan=False)
    assert "| -24 | - | 0.0 % | - |" in listening_section(found)
    listening.draw_voice_levels(found["voice_level"])


def test_a_trained_detector_is_read_from_its_files(tmp_path: Path) -> None:
    from actprobe import checkpoints

    folder = Path(checkpoints.__path__[0]) / "svd-open"
    found = listening.open_predictor(folder / "svd.npz", folder / "meanstd.npz")
    (silent,) = found([recording("silence", [], mixture=0.0)])
    assert silent.probabilities.shape == (FRAMES,)
    assert silent.probabilities.max() < 0.48
