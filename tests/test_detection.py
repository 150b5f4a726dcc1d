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
from actprobe.detection import evaluation, prediction, scores, spectra
from actprobe.detection.card import model_card
from actprobe.detection.segments import SegmentBatches, Segments
from actprobe.detection.spectra import CENTRE, frame_times
from actprobe.errors import UsageError
from actprobe.frontends.logmel import MELS, SvdFrontEnd
from actprobe.statistics.roc import auc
from actprobe.training.mixer import AS_RECORDED, Mixer, Recipe
from actprobe.training.sounds import SoundStore

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


def store_in(folder: Path, recordings: Any) -> SoundStore:
    return SoundStore(folder / "sounds", recordings, RATE)


def segments_of(store: SoundStore, excerpts: int, recipe: Recipe = Recipe()) -> Segments:  # noqa: B008
    return Segments(Mixer(store, recipe, SEED), excerpts)


@pytest.fixture
def store(tmp_path: Path, recordings: Any) -> SoundStore:
    return store_in(tmp_path, recordings)


# Examples


def test_the_frames_are_those_of_the_front_end(recordings: Any) -> None:
    samples = recordings[0].mixture(RATE)
    assert spectra.log_mel_of(recordings[0]) == pytest.approx(SvdFrontEnd().frames(samples), abs=1e-4)
    assert spectra.log_mel(samples[:1023]).shape == (0, MELS)
    assert len(spectra.log_mel(samples[: spectra.samples_of(200)])) == 200


def test_the_normalization_is_that_of_the_recordings_as_they_sound(
    store: SoundStore, recordings: Any
) -> None:
    bands = np.concatenate([spectra.log_mel_of(each) for each in recordings])
    mean, std = spectra.normalization_of(store)
    assert mean == pytest.approx(bands.mean(0), abs=0.01)
    assert std == pytest.approx(bands.std(0), abs=0.01)


def test_as_recorded_a_segment_is_a_part_of_a_recording(store: SoundStore, recordings: Any) -> None:
    """The labels are those of the centres of its excerpts, 9 frames apart."""
    segments = segments_of(store, 5, AS_RECORDED)
    for number in range(10):
        bands, labels = segments[number]
        assert bands.shape == (115 + 9 * 4, MELS)
        mix = segments.mixer.mix(number, spectra.samples_of(len(bands)))
        assert bands == pytest.approx(SvdFrontEnd().frames(mix.samples), abs=1e-4)
        centres = frame_times(len(bands))[CENTRE::9][:5]
        assert labels.tolist() == mix.sung_at(centres).tolist()


def test_a_segment_depends_on_its_number_alone(store: SoundStore) -> None:
    first, second = (segments_of(store, 3) for _ in range(2))
    drawn = [first[number][0] for number in (5, 0, 5, 7)]
    assert np.array_equal(drawn[0], drawn[2])
    assert np.array_equal(drawn[3], second[7][0])
    assert not np.array_equal(drawn[0], drawn[1])


def test_pairs_come_as_batches_in_the_same_order_every_time(store: SoundStore) -> None:
    segments = segments_of(store, 2)
    source = SegmentBatches(segments, 4)
    source.first_step = 1
    batches = [(each["frames"], each["labels"]) for each in source.endless().take(2).as_numpy_iterator()]
    assert [frames.shape for frames, _ in batches] == [(4, 124, MELS)] * 2
    assert np.array_equal(batches[1][0][2], segments[10][0])


def test_recordings_of_the_same_name_keep_their_own_labels(tmp_path: Path) -> None:
    alike = [recording("r", [(0, 1)]), recording("r", [(2, 3)], seed=1)]
    broken = LabelledRecording("r", tmp_path / "gone.wav", np.zeros((0, 2)))
    store = store_in(tmp_path, [broken, *alike])
    assert [sound.recording.sung.tolist() for sound in store.sounds] == [each.sung.tolist() for each in alike]


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

    segments = segments_of(store, 3, Recipe(stretch=0.1, shift=0.1))
    numbers = {"epochs": 2, "steps_per_epoch": 3, "batch_size": 4, "seed": SEED, **settings}
    numbers = {"learning_rate": 0.01, "schedule": "exponential", **numbers}
    return detector_training(folder, segments, [], Settings(**numbers), spectra.normalization_of(store))


def test_a_run_that_goes_on_after_a_kill_ends_as_an_uninterrupted_one(
    tmp_path: Path, store: SoundStore
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
    a_training(folder, store_in(folder, four_recordings())).run()


def test_a_kill_in_the_middle_of_any_file_does_not_break_the_resume(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    moments = ((".i16", ""), ("sounds-", "notes"), ("training.json", ""), ("history.json", '"epoch": 2'))
    for name, text in moments:
        killed = PROCESSES.Process(target=train_and_die, args=(name, text, folder))
        killed.start()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL, name
    assert len(list(folder.rglob(".*.tmp"))) == len(moments)
    resumed = a_training(folder, store_in(folder, four_recordings()))
    whole = a_training(tmp_path / "whole", store_in(tmp_path, four_recordings()))
    for line, other in zip(resumed.run(), whole.run(), strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=1e-5)
    with np.load(folder / "svd.npz") as ours, np.load(tmp_path / "whole/svd.npz") as theirs:
        assert all(ours[name] == pytest.approx(theirs[name], abs=1e-5) for name in theirs.files)


def test_a_kill_after_the_history_repeats_the_epoch(
    tmp_path: Path, store: SoundStore, monkeypatch: pytest.MonkeyPatch
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


def test_the_epoch_with_the_largest_area_is_kept(tmp_path: Path, store: SoundStore) -> None:
    from actprobe.detection.training import detector_training
    from actprobe.training.settings import Settings

    settings = Settings(4, 2, 4, 0.01, "exponential", seed=SEED)
    segments = segments_of(store, 3, AS_RECORDED)
    valid = [recording("v", [(0.5, 2)], seed=7)]
    training = detector_training(tmp_path, segments, valid, settings, spectra.normalization_of(store))
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


def test_training_lowers_the_loss_and_writes_weights_that_load(tmp_path: Path, store: SoundStore) -> None:
    from actprobe.models.networks import svd

    training = a_training(tmp_path / "out", store, epochs=4, steps_per_epoch=6)
    losses = [line["loss"] for line in training.run()]
    assert losses[-1] < 0.9 * losses[0]
    arrays = svd.port(svd.read(tmp_path / "out/svd.npz"))
    assert np.array_equal(arrays["fc7"][0], training.model.network.get_layer("fc7").get_weights()[0])
    assert written_scalars(tmp_path / "out/logs", "loss") == pytest.approx(losses)
    normalization = SvdFrontEnd(tmp_path / "out/meanstd.npz")
    assert normalization.mean == pytest.approx(spectra.normalization_of(store)[0], rel=1e-6)


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
