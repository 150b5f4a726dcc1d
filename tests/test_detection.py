"""The singing voice detector's training: examples, augmentations, steps, figures."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.mir1k import open_mir1k
from actprobe.detection import augmentation, evaluation, prediction, scores, spectra
from actprobe.detection.card import model_card
from actprobe.detection.segments import NO_AUGMENTATION, Augmentation, SegmentBatches, Segments
from actprobe.detection.spectra import CENTRE, SpectraStore, frame_times
from actprobe.errors import CorpusError, UsageError
from actprobe.frontends.logmel import BINS, MELS, SvdFrontEnd, filter_bank
from actprobe.statistics.roc import auc

PROCESSES = multiprocessing.get_context("forkserver")  # processes of their own that have TensorFlow already
PROCESSES.set_forkserver_preload(["tensorflow", "tf_keras"])
RATE = 22_050
SEED = 3


def sing(labels_seconds: Any, seconds: Any, pitch_hz: float = 440.0, seed: int = 0) -> dict[str, Any]:
    """Noise for accompaniment; a harmonic sound with vibrato where somebody sings."""
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * pitch_hz * (times + 0.004 * np.sin(2 * np.pi * 6 * times) / 6)
    tone = sum(np.sin(k * phase) / k for k in range(1, 9))
    on = np.zeros(len(times))
    for start, end in labels_seconds:
        on[(times >= start) & (times < end)] = 1
    return {
        "accompaniment": (0.05 * rng.standard_normal(len(times))).astype(np.float32),
        "voice": (0.3 * tone * on).astype(np.float32),
    }


def recording(
    name: Any, sung: Any, seconds: float = 4.0, split: str = "train", seed: int = 0, load: Any = None
) -> LabelledRecording:
    sung = np.asarray(sung, float).reshape(-1, 2)
    stems = sing(sung, seconds, 300 + 40 * seed, seed)
    return LabelledRecording(name, Path(name), sung, split, load=load or (lambda self, rate: stems))


def four_recordings() -> list[Any]:
    return [recording(f"r{i}", [(0.3 * i, 0.3 * i + 1.5), (3, 3.5)], seed=i) for i in range(4)]


@pytest.fixture
def recordings() -> Any:
    return four_recordings()


@pytest.fixture
def store(tmp_path: Path, recordings: Any) -> SpectraStore:
    return SpectraStore(tmp_path / "spectra", recordings)


# Augmentations


def test_stretching_changes_the_length_and_keeps_the_contents() -> None:
    frames = np.arange(40, dtype=np.float32)[:, None] * np.ones((1, BINS), np.float32)
    slower = augmentation.stretch(frames, np.arange(50) * 0.75)
    assert slower.shape == (50, BINS)
    assert slower[:, 0] == pytest.approx(np.arange(50) * 0.75)


def test_a_pitch_shift_moves_a_sine_to_the_band_of_its_new_pitch() -> None:
    times = np.arange(4096) / RATE
    for factor in (0.7, 1.0, 1.25):
        heard = []
        for pitch, shift in ((1000.0, factor), (1000.0 * factor, 1.0)):
            frame = np.abs(np.fft.rfft(np.sin(2 * np.pi * pitch * times[:1024]) * np.hanning(1024)))[:BINS]
            bank = augmentation.shifted_filter_banks(np.array([shift]))[0]
            heard.append(int(np.argmax(frame.astype(np.float32) @ bank)))
        assert heard[0] == heard[1]


def test_no_pitch_shift_is_the_filter_bank_of_the_front_end() -> None:
    factors = augmentation.shift_factors(0.3)
    assert factors[[0, 30, 60]] == pytest.approx([0.7, 1.0, 1.3])
    assert np.array_equal(augmentation.shifted_filter_banks(np.ones(1))[0], filter_bank())


def test_a_random_filter_stays_within_its_decibels_and_is_smooth() -> None:
    rng = np.random.default_rng(SEED)
    gains = np.array(
        [augmentation.filter_gains_db(rng, 10.0, augmentation.band_centres_hz()) for _ in range(500)]
    )
    assert 9 < np.abs(gains).max() <= 10
    assert gains.min() < -9
    assert np.abs(np.diff(gains, axis=1))[:, 20:].max() < 4


# Examples


def test_the_spectra_are_those_of_the_front_end(recordings: Any) -> None:
    samples = recordings[0].mixture(RATE)
    ours = spectra.log_mel_of(recordings[0])
    assert ours == pytest.approx(SvdFrontEnd().frames(samples), abs=1e-4)


def test_without_augmentation_a_segment_is_the_recording_as_it_is(
    store: SpectraStore, recordings: Any
) -> None:
    segments = Segments(store, 5, NO_AUGMENTATION, SEED)
    whole = {each.name: spectra.log_mel_of(each) for each in recordings}
    for number in range(20):
        bands, labels = segments[number]
        assert bands.shape == (115 + 9 * 4, MELS)
        assert labels.shape == (5,)
        found = [
            (name, start)
            for name, frames in whole.items()
            for start in range(-CENTRE, len(frames) - len(bands) + CENTRE + 1)
            if np.abs(frames[start + 70] - bands[70]).max() < 0.02
        ]
        ((name, start),) = found  # a real place of one recording
        centres = start + CENTRE + 9 * np.arange(5)
        inside = (centres >= 0) & (centres < len(whole[name]))
        each = next(each for each in recordings if each.name == name)
        expected = each.labels_at(frame_times(10_000)[np.clip(centres, 0, None)]) & inside
        assert labels.astype(bool).tolist() == expected.tolist()


def test_a_segment_depends_on_seed_and_number_alone(store: SpectraStore) -> None:
    first, second = (Segments(store, 3, Augmentation(), SEED) for _ in range(2))
    numbers = (5, 0, 5, 7)
    drawn = [first[number][0] for number in numbers]
    assert np.array_equal(drawn[0], drawn[2])
    assert np.array_equal(drawn[3], second[7][0])
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], Segments(store, 3, Augmentation(), SEED + 1)[5][0])


def test_the_accompaniment_alone_is_an_example_without_singing(store: SpectraStore) -> None:
    alone = Segments(store, 5, replace(NO_AUGMENTATION, voiceless=1.0), SEED)
    assert not any(alone[number][1].any() for number in range(20))


def test_labels_follow_the_voice_through_every_augmentation(store: SpectraStore) -> None:
    """The voice is all tone and the accompaniment all noise, so the spectrum says what the label should."""
    segments = Segments(store, 5, replace(Augmentation(), voice_level_db=1.0, filter_db=0.0), SEED)
    agree = []
    for number in range(60):
        bands, labels = segments[number]
        peaks = bands.max(1) - np.median(bands, 1)
        agree += [(peaks[CENTRE + 9 * i] > 2.0) == (label > 0) for i, label in enumerate(labels)]
    assert np.mean(agree) > 0.95


def test_pairs_come_as_batches_in_the_same_order_every_time(store: SpectraStore) -> None:
    segments = Segments(store, 2, Augmentation(), SEED)
    source = SegmentBatches(segments, 4)
    source.first_step = 1
    batches = [(each["frames"], each["labels"]) for each in source.endless().take(2).as_numpy_iterator()]
    assert [frames.shape for frames, _ in batches] == [(4, 124, MELS)] * 2
    assert np.array_equal(batches[1][0][2], segments[10][0])


def test_the_store_is_made_once(tmp_path: Path, recordings: Any, store: SpectraStore) -> None:
    again = SpectraStore(tmp_path / "spectra", [replace(each, load=None) for each in recordings])
    assert [track.name for track in again.tracks] == [each.name for each in recordings]


def test_recordings_of_the_same_name_keep_their_own_labels(tmp_path: Path) -> None:
    alike = [recording("r", [(0, 1)]), recording("r", [(2, 3)], seed=1)]
    broken = LabelledRecording("r", tmp_path / "gone.wav", np.zeros((0, 2)))
    store = SpectraStore(tmp_path / "spectra", [broken, *alike])
    for track, each in zip(store.tracks, alike, strict=True):
        assert track.labels.tolist() == each.labels_at(frame_times(track.frames)).tolist()


def test_a_damaged_recording_is_left_out_and_none_left_is_an_error(tmp_path: Path, recordings: Any) -> None:
    broken = LabelledRecording("gone", tmp_path / "gone.wav", np.zeros((0, 2)))
    assert len(SpectraStore(tmp_path / "a", [*recordings, broken]).tracks) == len(recordings)
    with pytest.raises(CorpusError, match="none of the recordings"):
        SpectraStore(tmp_path / "b", [broken])


# Figures


def test_the_area_under_the_curve_counts_pairs_in_the_right_order() -> None:
    labels = np.array([0, 0, 1, 1], bool)
    assert auc(labels, np.array([0.1, 0.4, 0.35, 0.8])) == 0.75
    assert auc(labels, np.full(4, 0.3)) == 0.5
    assert np.isnan(auc(labels[:2], np.array([0.1, 0.4])))


def test_scores_at_a_threshold() -> None:
    found = scores.score(np.array([1, 1, 1, 0, 0], bool), np.array([0.9, 0.8, 0.2, 0.7, 0.1]), 0.5)
    assert (found.accuracy, found.precision, found.recall) == pytest.approx((0.6, 2 / 3, 2 / 3))
    assert found.f == pytest.approx(2 / 3)
    assert found.auc == pytest.approx(5 / 6)


def test_the_threshold_is_the_most_accurate_one() -> None:
    found = np.array([0.1, 0.2, 0.62, 0.7, 0.9], np.float32)
    assert 0.2 < scores.best_threshold(found > 0.3, found) <= 0.62


@pytest.mark.parametrize("frames", [1, 9, 114, 115, 541, 1500])
def test_every_frame_is_predicted_from_the_excerpt_around_it(frames: int) -> None:
    def centre_of_each(segments: Any) -> Any:
        return segments[:, CENTRE : segments.shape[1] - CENTRE : 9, 0]

    numbers = np.repeat(np.arange(1, frames + 1, dtype=np.float32)[:, None], MELS, 1)
    found = prediction.predict(centre_of_each, numbers, np.zeros(MELS, np.float32))
    assert found.tolist() == numbers[:, 0].tolist()
    assert prediction.predict(centre_of_each, numbers, np.zeros(MELS, np.float32), hop=9).tolist() == (
        numbers[::9, 0].tolist()
    )


def test_closed_gaps_and_the_median_filter_enter_the_figures() -> None:
    each = recording("x", [(0, 1.0), (1.1, 4)])
    times = frame_times(250)
    perfect = prediction.Predictions(each, each.labels_at(times).astype(np.float32))
    assert evaluation.evaluate([perfect], 0.5).accuracy == 1
    assert evaluation.evaluate([perfect], 0.5, median_frames=57).accuracy < 1
    assert evaluation.evaluate([perfect], 0.5, closed_gap_seconds=0.2).recall < 1
    figures = evaluation.report([perfect], {"other": [perfect]})
    assert figures["other"]["labels as they are"]["f"] == 1


# Network and training


def test_a_segment_gives_the_predictions_of_its_excerpts() -> None:
    from actprobe import backend
    from actprobe.detection.network import build_trainable, logits

    model = build_trainable(SEED)
    frames = np.random.default_rng(SEED).standard_normal((2, 115 + 9 * 2, MELS)).astype(np.float32)
    dense = backend.tf.sigmoid(logits(model, frames)).numpy()
    each = [model(frames[:, 9 * k : 9 * k + 115])["fc9"].numpy()[:, 0] for k in range(3)]
    assert dense == pytest.approx(np.stack(each, 1), abs=1e-6)


def test_dropout_depends_on_its_seed_alone() -> None:
    from actprobe import backend
    from actprobe.detection.network import build_trainable, logits

    model = build_trainable(SEED)
    frames = np.ones((1, 115, MELS), np.float32)
    first, again, other = (
        logits(model, frames, backend.tf.constant(seed)).numpy() for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert first == again
    assert first != other


def a_training(folder: Path, store: Any, **settings: Any) -> Any:
    from actprobe.detection.training import detector_training
    from actprobe.training.settings import Settings

    segments = Segments(store, 3, Augmentation(stretch=0.1, shift=0.1), SEED)
    numbers = {"epochs": 2, "steps_per_epoch": 3, "batch_size": 4, "seed": SEED, **settings}
    numbers = {"learning_rate": 0.01, "schedule": "exponential", **numbers}
    return detector_training(folder, segments, [], Settings(**numbers), store.normalization())


def test_a_run_that_goes_on_after_a_kill_ends_as_an_uninterrupted_one(
    tmp_path: Path, store: SpectraStore
) -> None:
    whole = a_training(tmp_path / "whole", store)
    history = whole.run()
    a_training(tmp_path / "killed", store, epochs=1).run()
    resumed = a_training(tmp_path / "killed", store)
    assert [line["epoch"] for line in resumed.run()] == [1, 2]
    assert resumed.history[1]["loss"] == pytest.approx(history[1]["loss"], rel=1e-5)
    for ours, theirs in zip(*(each.model.network.get_weights() for each in (resumed, whole)), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    with pytest.raises(UsageError, match="other settings"):
        a_training(tmp_path / "killed", store, learning_rate=0.1)


def train_and_die(name: Any, text: Any, folder: Path) -> None:
    """Train until a file with that name and text is written, and be killed in the middle of it."""
    write_text, rename = Path.write_text, Path.replace

    def half_written(self: Path, whole: Any, *arguments: Any) -> Any:
        if name in self.name and text in whole:
            write_text(self, whole[: len(whole) // 2], *arguments)
            os.kill(os.getpid(), signal.SIGKILL)
        return write_text(self, whole, *arguments)

    def never_renamed(self: Path, target: Any) -> Any:
        if target.suffix == name:
            os.kill(os.getpid(), signal.SIGKILL)
        return rename(self, target)

    patch = pytest.MonkeyPatch()
    patch.setattr(Path, "write_text", half_written)
    patch.setattr(Path, "replace", never_renamed)
    a_training(folder, SpectraStore(folder / "spectra", four_recordings())).run()


def test_a_kill_in_the_middle_of_any_file_does_not_break_the_resume(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    moments = ((".f16", ""), ("spectra-", "notes"), ("training.json", ""), ("history.json", '"epoch": 2'))
    for name, text in moments:
        killed = PROCESSES.Process(target=train_and_die, args=(name, text, folder))
        killed.start()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL, name
    assert len(list(folder.rglob(".*.tmp"))) == len(moments)
    resumed = a_training(folder, SpectraStore(folder / "spectra", four_recordings()))
    whole = a_training(tmp_path / "whole", SpectraStore(tmp_path / "spectra", four_recordings()))
    for line, other in zip(resumed.run(), whole.run(), strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=1e-5)
    with np.load(folder / "svd.npz") as ours, np.load(tmp_path / "whole/svd.npz") as theirs:
        assert all(ours[name] == pytest.approx(theirs[name], abs=1e-5) for name in theirs.files)


def test_a_kill_after_the_history_repeats_the_epoch(
    tmp_path: Path, store: SpectraStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actprobe import backend

    def disk_full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(backend.keras.callbacks.BackupAndRestore, "on_epoch_end", disk_full)
        with pytest.raises(OSError, match="No space left"):
            a_training(tmp_path / "killed", store).run()
    assert len(json.loads((tmp_path / "killed/history.json").read_text())["epochs"]) == 1
    resumed, whole = a_training(tmp_path / "killed", store), a_training(tmp_path / "whole", store)
    for line, other in zip(resumed.run(), whole.run(), strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=1e-5)


def test_the_epoch_with_the_largest_area_is_kept(tmp_path: Path, store: SpectraStore) -> None:
    from actprobe.detection.training import detector_training
    from actprobe.training.settings import Settings

    settings = Settings(4, 2, 4, 0.05, "exponential", seed=SEED)
    segments = Segments(store, 3, NO_AUGMENTATION, SEED)
    valid = [recording("v", [(0.5, 2)], seed=7)]
    training = detector_training(tmp_path, segments, valid, settings, store.normalization())
    areas = iter([0.6, 0.9, 0.7, 0.9])
    kept = []
    training.judge = replace(training.judge, measure=lambda: next(areas))
    training.best = replace(training.best, save=lambda path, arrays: kept.append(len(training.history)))
    training.run()
    assert kept == [1, 2]
    assert training.best_epoch == 2


def written_scalars(logs: Any, name: Any) -> list[Any]:
    from actprobe import backend

    (path,) = logs.iterdir()
    events = backend.tf.compat.v1.train.summary_iterator(str(path))
    values = [value for event in events for value in event.summary.value if value.tag == name]
    assert all(value.metadata.plugin_data.plugin_name == "scalars" for value in values[:1])
    return [float(backend.tf.make_ndarray(value.tensor)) for value in values]


def test_training_lowers_the_loss_and_writes_weights_that_load(tmp_path: Path, store: SpectraStore) -> None:
    from actprobe.models.networks import svd

    training = a_training(tmp_path / "out", store, epochs=4, steps_per_epoch=6)
    losses = [line["loss"] for line in training.run()]
    assert losses[-1] < 0.9 * losses[0]
    arrays = svd.port(svd.read(tmp_path / "out/svd.npz"))
    assert np.array_equal(arrays["fc7"][0], training.model.network.get_layer("fc7").get_weights()[0])
    assert written_scalars(tmp_path / "out/logs", "loss") == pytest.approx(losses)
    normalization = SvdFrontEnd(tmp_path / "out/meanstd.npz")
    assert normalization.mean == pytest.approx(store.normalization()[0], rel=1e-6)


# The binary


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, Path]:
    """Three clips of a voice and noise in the layout of MIR-1K, and a song in a folder."""
    folder = tmp_path / "corpus"
    (folder / "Wavfile").mkdir(parents=True)
    (folder / "vocal-nonvocalLabel").mkdir()
    for seed, name in enumerate(("amy_1_01", "stool_1_01", "annar_1_01")):
        stems = sing([(1, 2)], 3.0, seed=seed)
        samples = np.stack([stems["accompaniment"], stems["voice"]], 1)
        soundfile.write(folder / "Wavfile" / f"{name}.wav", samples, RATE)
        labels = ((np.arange(149) >= 49) & (np.arange(149) < 99)).astype(int)
        (folder / "vocal-nonvocalLabel" / f"{name}.vocal").write_text("\n".join(map(str, labels)))
    songs = tmp_path / "songs"
    songs.mkdir()
    soundfile.write(songs / "one.flac", sing([(1, 2)], 3.0)["voice"], RATE)
    (songs / "one.lab").write_text("0 1 nosing\n1 2 sing\n2 3 nosing\n")
    return folder, songs


def test_the_binary_trains_judges_and_writes_the_card(
    corpus: tuple[Path, Path], tmp_path: Path, binary: Any
) -> None:
    folder, songs = corpus
    flags = [
        f"--input=mir1k:{folder}",
        f"--songs_dir={songs}",
        f"--voiceless_dirs={songs}",
        f"--output_dir={tmp_path / 'out'}",
        "--epochs=1",
        "--steps_per_epoch=1",
        "--batch_size=2",
        "--excerpts=2",
    ]
    done = binary("actprobe-train-detector", *flags)
    assert done.returncode == 0, done.stderr
    assert "mir1k test: AUC" in done.stdout
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["figures"]["mir1k test"]["labels as they are"]["frames"] > 150
    card = (tmp_path / "out/README.md").read_text()
    assert f"--input=mir1k:{folder}" in card
    assert card == model_card(metrics)
    again = binary("actprobe-train-detector", *flags)
    assert "goes on after epoch 1" in again.stderr


def test_the_binary_names_damaged_recordings(corpus: tuple[Path, Path], tmp_path: Path, binary: Any) -> None:
    folder, _ = corpus
    (folder / "Wavfile/annar_1_01.wav").write_bytes(b"RIFF")
    flags = [f"--input=mir1k:{folder}", f"--output_dir={tmp_path / 'out'}"]
    done = binary("actprobe-train-detector", *flags, "--validate")
    assert done.returncode == 1
    assert "annar_1_01.wav" in done.stdout
    assert "3 recordings read, 1 with problems" in done.stdout
    refused = binary("actprobe-train-detector", f"--input=mir1k:{tmp_path}", flags[1])
    assert refused.returncode == 1
    assert "is not MIR-1K" in refused.stderr
    assert "Traceback" not in refused.stderr


# The weights that are shipped


def test_the_open_detector_finds_singing_by_singers_it_has_not_heard(assets: Path) -> None:
    """A loose bound for a regression: these two clips gave 0.927, all clips of the test singers 0.951."""
    from actprobe import checkpoints
    from actprobe.models.networks import svd

    folder = Path(checkpoints.__path__[0])
    model = svd.build()
    for name, arrays in svd.port(svd.read(folder / "svd-open/svd.npz")).items():
        model.get_layer(name).set_weights(arrays)
    with np.load(folder / "svd-open/meanstd.npz") as stored:
        normalization = stored["mean"], stored["std"]
    wanted = ("annar_1_06", "heycat_1_02")
    clips = [clip for clip in open_mir1k(assets / "audio/MIR-1K", "test") if clip.name in wanted]
    found = prediction.predict_all(model, normalization, clips)
    assert evaluation.evaluate(found, 0.5).auc > 0.88
