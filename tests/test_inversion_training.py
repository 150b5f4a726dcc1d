"""Training inverters: what is read, in which order, and that a killed run ends as an uninterrupted one."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from actprobe.analyses.inversion.networks.inverter import load_inverter
from actprobe.analyses.inversion.training.card import inverter_card
from actprobe.analyses.inversion.training.feature_cache import cached_features
from actprobe.analyses.inversion.training.store import FrameStore
from actprobe.analyses.inversion.training.task import Task
from actprobe.analyses.inversion.training.training import run_task
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_folders import open_voiceless_folder
from actprobe.errors import ActprobeError, CorpusError, UsageError
from actprobe.training.batches import Batches
from actprobe.training.settings import Settings

PROCESSES = multiprocessing.get_context("forkserver")  # processes of their own that have TensorFlow already
PROCESSES.set_forkserver_preload(["tensorflow", "tf_keras"])
RATE = 22_050
TINY = Settings(3, steps_per_epoch=3, batch_size=4, learning_rate=1e-3, schedule="published", seed=5)


def music(seconds: Any, seed: Any) -> Any:
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * RATE)) / RATE
    pitch = 220 * 2 ** rng.uniform(0, 2)
    tone = sum(np.sin(2 * np.pi * k * pitch * times) / k for k in range(1, 6))
    loudness = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(1, 4) * times)
    return (0.2 * tone * loudness + 0.02 * rng.standard_normal(len(times))).astype(np.float32)


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four songs: two to train on, one to validate on, one for testing."""
    folder = tmp_path_factory.mktemp("corpus") / "songs"
    folder.mkdir()
    rows = ["path,split"]
    for seed, split in enumerate(("train", "train", "valid", "test")):
        soundfile.write(folder / f"{seed}.wav", music(3 + 0.3 * seed, seed), RATE)
        rows.append(f"{seed}.wav,{split}")
    (folder / "splits.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture(scope="session")
def recordings(songs: Path) -> Any:
    return parts_of(songs)


def parts_of(songs: Any) -> dict[str, Any]:
    found = open_voiceless_folder(songs)
    return {part: [each for each in found if each.split == part] for part in ("train", "valid")}


@pytest.fixture(scope="session")
def detector() -> Any:
    from actprobe.models import load_model

    return load_model("svd", seed=1)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def train(
    folder: Path,
    detector: Any,
    recordings: Any,
    cache: Any,
    settings: Any = TINY,
    layer: str = "mp6",
    **task: Any,
) -> Any:
    return run_task(
        folder,
        Task(detector, layer, detector, "conv5", **{"loss": "input", "validation_excerpts": 8, **task}),
        recordings["train"],
        recordings["valid"],
        settings,
        command="the command",
        cache_dir=cache,
    )


def validation_errors(folder: Path, detector: Any, recordings: Any, cache: Path) -> Any:
    """Mean squared error of each excerpt that an epoch is judged by, computed anew from the file."""
    store = FrameStore(cache, recordings["valid"], detector.frontend)
    excerpts = store.excerpts(10)
    which = np.linspace(0, len(excerpts) - 1, 8).round().astype(int)
    examples = store.rows(excerpts).gather(which)
    features = detector.activations(examples, ["mp6"])["mp6"]
    inverted = load_inverter("svd", "mp6", folder / "svd-inverter-mp6.npz")(features)
    return np.mean((inverted - examples) ** 2, axis=(1, 2))


def weights_in(folder: Path, layer: str = "mp6") -> dict[str, Any]:
    with np.load(folder / f"svd-inverter-{layer}.npz") as stored:
        return {name: stored[name] for name in stored.files if name != "origin"}


# What is read


def test_excerpts_are_ten_frames_apart_and_leave_one_frame_behind_them(
    tmp_path: Path, recordings: Any, detector: Any
) -> None:
    store = FrameStore(tmp_path, recordings["train"], detector.frontend)
    excerpts = store.excerpts(10)
    for number, length in enumerate(store.lengths):
        starts = excerpts.start[excerpts.recording == number]
        assert starts.tolist() == list(range(0, length - 115, 10))
        assert starts[-1] + 115 < length
    samples = recordings["train"][1].mixture(RATE)
    frames = detector.frontend.frames(samples)
    which = np.flatnonzero(excerpts.recording == 1)[:3]
    found = store.rows(excerpts).gather(which)
    assert all(np.array_equal(found[k], frames[10 * k : 10 * k + 115]) for k in range(3))


def test_an_excerpt_that_fits_exactly_is_dropped_as_published(tmp_path: Path, detector: Any) -> None:
    for frames, expected in ((115, [0]), (125, [0]), (126, [0, 10])):
        samples = music((1024 + 315 * (frames - 1)) / RATE, 0)

        def load(recording: Any, rate: int, samples: Any = samples) -> Any:
            return {"mixture": samples}

        recording = LabelledRecording(
            f"{frames}",
            Path(f"{frames}"),
            np.zeros((0, 2)),
            load=load,
        )
        store = FrameStore(tmp_path, [recording], detector.frontend)
        assert store.lengths.tolist() == [frames]
        assert store.excerpts(10).start.tolist() == expected


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_cached_features_are_those_of_the_excerpts(
    tmp_path: Path, recordings: Any, detector: Any, dtype: str
) -> None:
    from actprobe import backend

    store = FrameStore(tmp_path, recordings["train"], detector.frontend)
    excerpts = store.excerpts(10)
    layers = ["conv2", "mp3", "conv4", "conv5", "mp6", "fc7", "fc9", "conv5/linear"]
    found = cached_features(store, excerpts, detector, layers, dtype)
    which = np.array([0, 1, 2, 3, len(excerpts) - 1, len(excerpts) // 2])
    expected = detector.activations(store.rows(excerpts).gather(which), layers)
    for layer in layers:
        values = found[layer].gather(which)
        if dtype == "bfloat16":
            values = values.view(backend.tf.bfloat16.as_numpy_dtype).astype(np.float32)
        largest = np.abs(expected[layer]).max()
        assert values.shape == expected[layer].shape
        assert np.abs(values - expected[layer]).max() < (5e-6 if dtype == "float32" else 4e-3) * largest, (
            layer
        )


def test_of_vectors_no_more_excerpts_are_computed_than_are_kept(
    tmp_path: Path, recordings: Any, detector: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from actprobe.models.dense import DenseEvaluation

    store = FrameStore(tmp_path, recordings["train"], detector.frontend)
    excerpts = store.excerpts(10)
    given, rows_of = [], DenseEvaluation._rows

    def counted(self: Any, frames: Any, hop: int = 1) -> Any:
        for first, count, rows in rows_of(self, frames, hop):
            given.append(len(rows["fc7"]))
            yield first, count, rows

    monkeypatch.setattr(DenseEvaluation, "_rows", counted)
    found = cached_features(store, excerpts, detector, ["fc7"])["fc7"].gather(np.arange(len(excerpts)))
    assert sum(given) <= len(excerpts) + len(store.lengths)  # the last of a recording may be left out
    expected = detector.activations(store.rows(excerpts).gather(np.arange(len(excerpts))), ["fc7"])["fc7"]
    assert np.abs(found - expected).max() < 5e-6 * np.abs(expected).max()


def test_the_comparators_function_gives_the_activations(detector: Any) -> None:
    from actprobe.analyses.inversion.training.comparator import feature_function

    examples = np.random.default_rng(0).standard_normal((3, 115, 80)).astype(np.float32)
    layers = ["conv1", "conv1/linear", "conv2", "mp3", "conv5", "mp6", "flatten", "fc7/linear", "fc8", "fc9"]
    expected = detector.activations(examples, layers)
    for layer in layers:
        found = feature_function(detector, layer)(examples).numpy()
        assert np.abs(found - expected[layer]).max() < 5e-6 * max(1, np.abs(expected[layer]).max()), layer


def test_the_comparators_function_is_written_from_the_words_of_any_network() -> None:
    from actprobe import backend
    from actprobe.analyses.inversion.training import comparator
    from actprobe.frontends import SvdFrontEnd
    from actprobe.models import WeightsRecord
    from actprobe.models.keras_build import build_keras
    from actprobe.models.keras_model import KerasModel
    from actprobe.models.network import Network
    from actprobe.models.spec_table import layer_table
    from actprobe.models.specs import BatchNorm, Conv, Dense, Dropout, Flatten, MaxPool

    frontend = SvdFrontEnd()
    words = (
        Conv("a", 4, (4, 3), "same", "relu"), MaxPool("b", (5, 4)), MaxPool("c", (2, 2)),
        Conv("d", 3, (3, 3), "valid", "elu"), Conv("e", 3, (2, 1)), MaxPool("f", (2, 2)), Dropout("g", 0.5),
        Flatten("h"), Dense("i", 5), Dense("j", 2, "sigmoid"),
    )  # fmt: skip
    examples = np.random.default_rng(0).standard_normal((3, 115, 80)).astype(np.float32)
    for specs, quick in ((words, True), ((BatchNorm("z", 1e-3), *words), False)):
        table = layer_table("planted", frontend, specs)
        keras_model = build_keras("planted", frontend.example_shape, specs)
        for weight in keras_model.weights:
            noise = np.random.default_rng(len(weight.shape)).uniform(0, 0.1, weight.shape)
            weight.assign_add(noise)
        model = KerasModel(Network("planted", table, specs=specs), keras_model, frontend, WeightsRecord("x"))
        assert all(comparator._known(spec) for spec in specs) == quick
        expected = model.activations(examples, list(table))
        for layer in table:
            given = backend.tf.constant(examples)
            with backend.tf.GradientTape(persistent=True) as tape:
                tape.watch(given)
                found = comparator.feature_function(model, layer)(given)
                other = keras_model(given, training=False)[table[layer].tensor]
            assert np.abs(found - expected[layer]).max() < 5e-6 * max(1, np.abs(expected[layer]).max()), layer
            ours, theirs = tape.gradient(found, given).numpy(), tape.gradient(other, given).numpy()
            assert np.abs(ours - theirs).max() < 1e-5 * max(1, np.abs(theirs).max()), layer


def test_cached_features_of_a_users_network_share_its_rows(tmp_path: Path, recordings: Any) -> None:
    from actprobe import backend, wrap_model
    from actprobe.frontends import SvdFrontEnd

    backend.keras.utils.set_random_seed(0)
    k = backend.keras.layers
    stack = [
        k.InputLayer((115, 80, 1)), k.Conv2D(2, (4, 4), strides=(2, 4), activation="relu", name="conv"),
        k.MaxPooling2D((2, 2), name="pool"), k.Flatten(), k.Dense(3, name="dense"),
    ]  # fmt: skip
    model = wrap_model(backend.keras.Sequential(stack, name="mine"), SvdFrontEnd())
    store = FrameStore(tmp_path, recordings["train"], model.frontend)
    excerpts = store.excerpts(10)
    found = cached_features(store, excerpts, model, ["conv", "pool", "dense"])
    assert [found[layer].count for layer in found] == [56, 1, 1]  # rows of an excerpt, or all of it in one
    which = np.array([0, 1, 2, 3, len(excerpts) - 1, len(excerpts) // 2])
    expected = model.activations(store.rows(excerpts).gather(which), list(found))
    for layer, values in expected.items():
        assert np.abs(found[layer].gather(which) - values).max() < 5e-6 * np.abs(values).max(), layer


def test_cached_features_of_layers_with_and_without_dense_evaluation(tmp_path: Path, recordings: Any) -> None:
    """A comparator that pads does not keep the layer before it from sharing its rows."""
    from actprobe import backend, wrap_model
    from actprobe.frontends import SvdFrontEnd

    k = backend.keras.layers
    stack = [
        k.InputLayer((115, 80, 1)), k.Conv2D(2, (4, 4), strides=(2, 8), name="conv"),
        k.Conv2D(2, 3, padding="same", name="padded"), k.GlobalAveragePooling2D(name="means"),
    ]  # fmt: skip
    model = wrap_model(backend.keras.Sequential(stack, name="mine"), SvdFrontEnd())
    assert model.dense(["conv", "padded"]).strides == {"conv": 2, "padded": 0}
    store = FrameStore(tmp_path, recordings["train"], model.frontend)
    excerpts = store.excerpts(10)
    found = cached_features(store, excerpts, model, ["conv", "padded", "means"])
    assert [found[layer].count for layer in found] == [56, 1, 1]
    which = np.array([0, 1, len(excerpts) - 1])
    expected = model.activations(store.rows(excerpts).gather(which), list(found))
    for layer, values in expected.items():
        assert np.abs(found[layer].gather(which) - values).max() < 5e-6 * np.abs(values).max(), layer


def test_unusable_recordings_are_left_out_and_named(tmp_path: Path, recordings: Any, detector: Any) -> None:
    def recording(name: Any, samples: Any) -> LabelledRecording:
        return LabelledRecording(
            name, Path(name), np.zeros((0, 2)), load=lambda self, rate: {"mixture": samples}
        )

    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    short = recording("short", music(1.0, 0))
    others = [short, LabelledRecording("broken", broken, np.zeros((0, 2)))]
    store = FrameStore(tmp_path / "a", [*others, recordings["train"][0]], detector.frontend)
    assert store.names == ["0.wav"]
    assert "1.00 s are less than an excerpt" in store.problems[0]
    assert "broken.wav" in store.problems[1]
    with pytest.raises(CorpusError, match="none of the 2 recordings can be used"):
        FrameStore(tmp_path / "b", others, detector.frontend)
    with pytest.raises(CorpusError, match="none of the 1 recordings"):
        FrameStore(tmp_path / "c", [recording("nan", np.full(80_000, np.nan, np.float32))], detector.frontend)


def test_too_few_excerpts_for_a_batch_are_an_error(
    tmp_path: Path, recordings: Any, detector: Any, cache: Path
) -> None:
    with pytest.raises(CorpusError, match="fewer than the 4096 of one batch"):
        train(tmp_path, detector, recordings, cache, replace(TINY, batch_size=4096))


def test_features_that_are_no_numbers_are_an_error_and_leave_no_file(tmp_path: Path, recordings: Any) -> None:
    from actprobe.models import load_model

    model = load_model("svd", seed=1)
    kernel = model.keras_model.get_layer("fc7").kernel
    kernel.assign(kernel * np.nan)
    with pytest.raises(CorpusError, match="the features of fc8 hold NaN or infinity"):
        train(tmp_path / "out", model, recordings, tmp_path / "cache", layer="fc8")
    assert not list((tmp_path / "cache").glob("features-*"))


# The order


class _Numbers:
    """An example is its own number."""

    def __init__(self, count: Any) -> None:
        from actprobe.training.batches import Rows

        rows = Rows(np.arange(count, dtype=np.float32)[:, None], np.arange(count), 1, (1,))
        self.parts = {"excerpt": rows}


def test_every_pass_is_a_permutation_without_what_is_left_over() -> None:
    batches = Batches(_Numbers(23).parts, 5, seed=3)
    assert batches.steps_per_pass == 4
    passes = [np.concatenate([batches.numbers(4 * k + i) for i in range(4)]) for k in range(3)]
    assert all(sorted(each) == list(range(20)) for each in passes)
    assert not np.array_equal(passes[0], passes[1])
    assert np.array_equal(Batches(_Numbers(23).parts, 5, seed=3).numbers(7), passes[1][15:])
    assert not np.array_equal(Batches(_Numbers(23).parts, 5, seed=4).numbers(7), passes[1][15:])
    assert Batches(_Numbers(20).parts, 5).steps_per_pass == 4  # nothing left over: nothing lost


def test_the_pipeline_begins_at_any_step() -> None:
    batches = Batches(_Numbers(23).parts, 5, seed=3)
    dataset = batches.endless()
    batches.first_step = 6
    found = [batch["excerpt"].numpy()[:, 0] for batch in dataset.take(3)]
    assert all(np.array_equal(each, batches.numbers(6 + k)) for k, each in enumerate(found))
    once = [batch["excerpt"].numpy()[:, 0].tolist() for batch in batches.once()]
    assert once == [list(range(k, min(k + 5, 23))) for k in range(0, 23, 5)]
    assert len(np.concatenate([batch["excerpt"] for batch in batches.once(7)])) == 7


# Runs


@pytest.fixture(scope="session")
def whole(
    tmp_path_factory: pytest.TempPathFactory, detector: Any, recordings: Any, cache: Path
) -> tuple[Path, Any]:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder, detector, recordings, cache)


def test_a_run_writes_weights_card_and_history(whole: tuple[Path, Any]) -> None:
    folder, metrics = whole
    history = metrics["history"]
    assert [line["epoch"] for line in history] == [1, 2, 3]
    assert history[-1]["input"] < history[0]["input"]
    judged = [line["valid_input"] for line in history]
    assert metrics["valid_input"] == min(judged)
    assert metrics["best_epoch"] == 1 + int(np.argmin(judged))
    assert history[0]["loss"] == pytest.approx(history[0]["input"] + history[0]["l2"], rel=1e-5)
    inverter = load_inverter("svd", "mp6", folder / "svd-inverter-mp6.npz")
    assert inverter(np.zeros((2, 11, 7, 64), np.float32)).shape == (2, 115, 80)
    card = (folder / "README.md").read_text()
    assert card == inverter_card(json.loads((folder / "metrics.json").read_text()))
    assert "the command" in card
    assert "Loss: input" in card
    assert list((folder / "logs").glob("events*"))


def test_the_best_epoch_is_what_is_kept(
    whole: tuple[Path, Any], detector: Any, recordings: Any, cache: Path
) -> None:
    """Its validation error, computed anew from the file, is the one that the history has."""
    folder, metrics = whole
    errors = validation_errors(folder, detector, recordings, cache)
    assert errors.mean() == pytest.approx(metrics["valid_input"], rel=1e-4)


def test_with_euclidean_distances_epochs_are_judged_by_them(
    tmp_path: Path, detector: Any, recordings: Any, cache: Path
) -> None:
    metrics = train(tmp_path, detector, recordings, cache, distance="euclidean")
    errors = validation_errors(tmp_path, detector, recordings, cache)
    assert np.sqrt(errors).mean() == pytest.approx(metrics["valid_input"], rel=1e-4)
    assert metrics["history"][-1]["input"] < metrics["history"][0]["input"]
    assert metrics["objective"]["distance"] == "euclidean"
    card = (tmp_path / "README.md").read_text()
    assert "Loss: input, euclidean distances" in card
    assert "root mean square error" in card


def test_the_average_of_the_weights_is_what_is_judged_and_kept(
    tmp_path: Path, detector: Any, recordings: Any, cache: Path, whole: tuple[Path, Any]
) -> None:
    """Steps do not depend on it; 9 steps from the same weights, averaged by 0.5, lie before the last."""
    averaged = train(tmp_path, detector, recordings, cache, replace(TINY, average=0.5))
    for line, plain in zip(averaged["history"], whole[1]["history"], strict=True):
        assert line["loss"] == pytest.approx(plain["loss"], rel=1e-5)
        assert line["valid_input"] != pytest.approx(plain["valid_input"], rel=1e-5)
    ours, last = weights_in(tmp_path), weights_in(whole[0])
    assert np.abs(ours["param0"] - last["param0"]).max() > 1e-5
    errors = validation_errors(tmp_path, detector, recordings, cache)
    assert errors.mean() == pytest.approx(averaged["valid_input"], rel=1e-4)


def train_and_die(step: Any, history: Any, songs: Any, folder: Path, cache: Any) -> None:
    """Train until a batch is asked for, once there is a history; then the process is killed."""
    from actprobe.models import load_model

    numbers = Batches.numbers

    def deadly(self: Batches, asked: Any) -> Any:
        if asked == step:
            while not history.exists():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGKILL)
        return numbers(self, asked)

    pytest.MonkeyPatch().setattr(Batches, "numbers", deadly)
    train(folder, load_model("svd", seed=1), parts_of(songs), cache)


def test_a_run_killed_at_any_moment_ends_as_an_uninterrupted_one(
    tmp_path: Path, whole: tuple[Path, Any], detector: Any, recordings: Any, cache: Path, songs: Path
) -> None:
    folder = tmp_path / "killed"
    step = 8  # read ahead during the second epoch
    killed = PROCESSES.Process(
        target=train_and_die, args=(step, folder / "history.json", songs, folder, cache)
    )
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    done = json.loads((folder / "history.json").read_text())["epochs"]
    assert 1 <= len(done) < 3
    metrics = train(folder, detector, recordings, cache)
    _same_run(folder, metrics, *whole)


def test_a_run_on_a_full_disk_keeps_what_it_has_and_ends_as_an_uninterrupted_one(
    tmp_path: Path,
    whole: tuple[Path, Any],
    detector: Any,
    recordings: Any,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from actprobe import backend
    from actprobe.analyses.inversion.training import training
    from actprobe.training import history

    def failing_at(call: Any, real: Any) -> Any:
        calls = []

        def function(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == call:
                raise OSError(28, "No space left on device")
            return real(*arguments, **options)

        return function

    # The weights of the first epoch, the history of the second (training.json is there), the last backup.
    for owner, name, call in (
        (training, "save_inverter", 1),
        (history, "write_json", 2),
        (backend.keras.callbacks.BackupAndRestore, "on_epoch_end", 2),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, failing_at(call, getattr(owner, name)))
            with pytest.raises(OSError, match="No space left"):
                train(tmp_path, detector, recordings, cache)
        assert not list(tmp_path.glob(".*tmp"))
        if name != "save_inverter":
            assert load_inverter("svd", "mp6", tmp_path / "svd-inverter-mp6.npz")
    _same_run(tmp_path, train(tmp_path, detector, recordings, cache), *whole)


def _same_run(folder: Path, metrics: Any, other_folder: Any, other_metrics: Any) -> None:
    for line, other in zip(metrics["history"], other_metrics["history"], strict=True):
        assert line["epoch"] == other["epoch"]
        assert line["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert line["valid_input"] == pytest.approx(other["valid_input"], rel=1e-5)
        assert line["learning_rate"] == other["learning_rate"]
    ours, theirs = weights_in(folder), weights_in(other_folder)
    for name, array in ours.items():
        assert np.abs(array - theirs[name]).max() < 1e-5, name


def test_the_deadline_stops_between_epochs_and_the_same_command_goes_on(
    tmp_path: Path, detector: Any, recordings: Any, cache: Path, whole: tuple[Path, Any]
) -> None:
    task = Task(detector, "mp6", detector, "conv5", loss="input", validation_excerpts=8)
    folders: dict[str, Any] = {"command": "", "cache_dir": cache, "deadline": 0.0}
    metrics = run_task(tmp_path, task, recordings["train"], recordings["valid"], TINY, **folders)
    assert metrics["epochs"] == 1
    _same_run(tmp_path, train(tmp_path, detector, recordings, cache), *whole)


def test_a_folder_is_for_one_training(
    whole: tuple[Path, Any], detector: Any, recordings: Any, cache: Path
) -> None:
    with pytest.raises(UsageError, match="with other settings"):
        train(whole[0], detector, recordings, cache, replace(TINY, learning_rate=1.0))
    with pytest.raises(UsageError, match="with other comparator, inverter, objective"):
        train(whole[0], detector, recordings, cache, loss="joint", ending="linear")


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_best(
    tmp_path: Path, detector: Any, recordings: Any, cache: Path
) -> None:
    settings = replace(TINY, learning_rate=1e38, epochs=5)
    with pytest.raises(ActprobeError, match=r"the loss is (nan|inf) at step"):
        train(tmp_path, detector, recordings, cache, settings)


def test_cached_and_recomputed_features_train_alike_and_balanced_terms_are_one_for_the_mean(
    tmp_path: Path, detector: Any, recordings: Any, cache: Path
) -> None:
    ways = []
    for name, cache_bytes in (("cached", 8e9), ("not", 0.0)):
        metrics = run_task(
            tmp_path / name,
            Task(detector, "mp6", detector, "conv5", loss="balanced", validation_excerpts=8),
            recordings["train"],
            recordings["valid"],
            replace(TINY, epochs=1, steps_per_epoch=1),
            command="",
            cache_dir=cache,
            cache_bytes=cache_bytes,
        )
        ways.append(metrics["history"][0])
    assert ways[0]["feature"] > 0
    for term in ("loss", "input", "feature"):
        assert ways[0][term] == pytest.approx(ways[1][term], rel=1e-5)
    # Adam's first step is the sign of each gradient, and some are nearly nothing.
    assert ways[0]["valid_input"] == pytest.approx(ways[1]["valid_input"], rel=1e-3)
    store = FrameStore(cache, recordings["train"], detector.frontend)
    examples = store.rows(store.excerpts(10)).gather(np.arange(len(store.excerpts(10))))
    assert metrics["objective"]["input_variance"] == pytest.approx(float(examples.var(0).mean()), rel=1e-5)
    conv5 = detector.activations(examples, ["conv5"])["conv5"]
    assert metrics["objective"]["feature_variance"] == pytest.approx(float(conv5.var(0).mean()), rel=1e-4)


def test_mixed_precision_trains(
    tmp_path: Path, detector: Any, recordings: Any, cache: Path, whole: tuple[Path, Any]
) -> None:
    metrics = train(tmp_path, detector, recordings, cache, replace(TINY, precision="mixed_bfloat16"))
    assert metrics["history"][-1]["loss"] == pytest.approx(whole[1]["history"][-1]["loss"], rel=0.03)
    assert metrics["history"][-1]["loss"] != whole[1]["history"][-1]["loss"]
    with np.load(tmp_path / "svd-inverter-mp6.npz") as stored:
        assert all(stored[name].dtype == np.float32 for name in stored.files if name != "origin")


# Two workers


def work(config: Any, songs: Any, folder: Path, cache: Any, options: Any) -> None:
    os.environ["TF_CONFIG"] = json.dumps(config)
    from actprobe.models import load_model
    from actprobe.training.device import distribution

    chosen = distribution("multi_worker")
    model = load_model("svd", seed=1)
    with chosen.scope():
        train(folder, model, parts_of(songs), cache, replace(TINY, **options))


def two_workers(folder: Path, songs: Any, cache: Any, **options: Any) -> list[Any]:
    """Start two processes that share every batch; give them back."""
    free = []
    sockets = [socket.socket() for _ in range(2)]
    for each in sockets:
        each.bind(("localhost", 0))
        free.append(f"localhost:{each.getsockname()[1]}")
    for each in sockets:
        each.close()
    configs = [
        {"cluster": {"worker": free}, "task": {"type": "worker", "index": index}} for index in range(2)
    ]
    workers = [PROCESSES.Process(target=work, args=(each, songs, folder, cache, options)) for each in configs]
    for worker in workers:
        worker.start()
    return workers


def test_two_workers_train_as_one_and_go_on_after_one_was_killed(
    tmp_path: Path, cache: Path, songs: Path, whole: tuple[Path, Any]
) -> None:
    """Their gradient is the mean of theirs; batch normalisation is by each worker's half of a batch."""
    folder = tmp_path / "workers"
    first = two_workers(folder, songs, cache, epochs=200, schedule="constant")
    history = folder / "history.json"
    while not history.exists() and all(worker.is_alive() for worker in first):
        time.sleep(0.05)
    first[1].kill()
    first[0].kill()  # it would notice by itself, in its own time
    for worker in first:
        worker.join()
    assert history.exists()
    assert first[1].exitcode == -signal.SIGKILL
    done = len(json.loads(history.read_text())["epochs"])
    assert done >= 1
    wanted = done + 2
    again = two_workers(folder, songs, cache, epochs=wanted, schedule="constant")
    for worker in again:
        worker.join()
    assert [worker.exitcode for worker in again] == [0, 0]
    ended = json.loads(history.read_text())["epochs"]
    assert [line["epoch"] for line in ended] == list(range(1, wanted + 1))
    for line, other in zip(ended[:2], whole[1]["history"], strict=False):
        assert line["loss"] == pytest.approx(other["loss"], rel=0.05)


# Other networks, and the binary


def test_the_binary_trains_an_inverter_of_any_network(tmp_path: Path, songs: Path, binary: Any) -> None:
    flags = [
        "--model=mm_cnn",
        "--layer=prediction",
        "--comparator=mm_cnn:prediction",
        f"--input={songs}",
        f"--output_dir={tmp_path / 'out'}",
        "--epochs=1",
        "--steps_per_epoch=1",
        "--batch_size=2",
        "--l2=1e-5",
        "--device=cpu",
        "--threads=2",
    ]
    done = binary("actprobe-train-inverter", *flags)
    assert done.returncode == 0, done.stderr
    assert "validation: mean squared error" in done.stdout
    assert "mm_cnn-inverter-prediction.npz" in done.stdout
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["recordings"]["train"] == 2
    assert metrics["objective"]["l2"] == 1e-5
    inverter = load_inverter("mm_cnn", "prediction", tmp_path / "out/mm_cnn-inverter-prediction.npz")
    assert inverter.example_shape == metrics_shape(inverter)
    assert (tmp_path / "out/run.json").exists()


def test_the_binary_trains_on_mixes(tmp_path: Path, songs: Path, binary: Any) -> None:
    """Of the two songs to train on, unlabelled, and of the same as recordings without singing."""
    done = binary(
        "actprobe-train-inverter",
        "--model=svd",
        "--layer=fc8",
        "--loss=input",
        f"--input={songs}",
        f"--voiceless_dirs={songs}",
        "--phantom=3",
        "--mixes=5",
        "--mix_seconds=2",
        f"--output_dir={tmp_path / 'out'}",
        "--epochs=1",
        "--steps_per_epoch=2",
        "--batch_size=4",
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["recordings"]["train"] == 5
    assert metrics["data"]["mixes"]["recordings"] == {
        "accompanied": 1, "voices": 0, "songs": 2, "voiceless": 4
    }  # fmt: skip
    starts_in_2_s = len(range(0, (2 * RATE - 1024) // 315 + 1 - 115, 10))
    assert metrics["data"]["train"] == 5 * starts_in_2_s
    assert "mixes of" in (tmp_path / "out/README.md").read_text()


def metrics_shape(inverter: Any) -> Any:
    found = inverter(np.zeros((1, *inverter.feature_shape), np.float32))
    return found.shape[1:]


def test_the_binary_says_what_is_wrong_in_one_line(tmp_path: Path, songs: Path, binary: Any) -> None:
    base = ["--model=svd", "--layer=fc8", f"--output_dir={tmp_path / 'out'}"]
    empty = tmp_path / "empty"
    empty.mkdir()
    for flags, code, message in (
        ([*base, f"--input={empty}"], 1, "holds no audio file"),
        ([*base, f"--input={songs}", "--comparator=conv5"], 2, "is not MODEL:LAYER"),
    ):
        done = binary("actprobe-train-inverter", *flags)
        assert done.returncode == code, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
