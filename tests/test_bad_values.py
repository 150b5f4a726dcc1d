"""One bad value costs only itself: an example that is not finite, a feature that fails or that cannot be."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

import actprobe
from actprobe import features as hand_crafted
from actprobe.analyses.maps.result import open_viewer
from actprobe.analyses.maps.table import map_table, permutation_p
from actprobe.analyses.neurons.job import NeuronJob
from actprobe.batch.handle import ModelHandle
from actprobe.batch.prepare import prepare_recording
from actprobe.batch.shards import ShardStore
from actprobe.corpora import open_corpus
from actprobe.errors import CorpusError, FeatureError, UsageError
from actprobe.explorer.findings import finding
from actprobe.explorer.reading import shown_runs
from actprobe.features import registry
from actprobe.features.registry import get_feature
from actprobe.frontends import SvdFrontEnd
from actprobe.models import ModelSource, wrap_model

RATE = 22050
TABLES = ("neurons.csv", "neurons_detail.csv", "layers.csv")
QUIET, LOUD = 0.01, 0.9


FEATURES = """
import math
from actprobe.errors import FeatureError
from actprobe.features import feature, feature_map

@feature("peak", unit="")
def peak(waveform):
    "Largest sample."
    return waveform.peak

@feature("half", unit="")
def half(waveform):
    "Largest sample of recordings of more than 3 seconds."
    if waveform.seconds <= 3:
        raise FeatureError("half", "it is too short to tell")
    return waveform.peak

@feature("careless", unit="")
def careless(waveform):
    "The same, with a bug."
    return waveform.peak / {True: 1.0}[waveform.seconds > 3]

@feature("loud_only", unit="")
def loud_only(waveform):
    "Largest sample where it is loud."
    return waveform.peak if waveform.peak > 0.5 else math.nan

@feature("long_only", unit="", shortest_seconds=3.5)
def long_only(waveform):
    "Number of samples."
    return len(waveform.samples)

@feature_map("envelope", axis="hertz", unit="", sample_rate=8000)
def envelope(waveform):
    "Spectrogram."
    import numpy as np
    from scipy import signal
    hertz, seconds, values = signal.spectrogram(waveform.samples, 8000)
    return np.log(values.T + 1e-9), seconds, hertz

@feature_map("some", axis="hertz", unit="", sample_rate=8000)
def some(waveform):
    "The same of recordings of more than 3 seconds."
    if waveform.seconds <= 3:
        raise FeatureError("some", "it is too short to tell")
    return envelope(waveform)
"""


@pytest.fixture(scope="module", autouse=True)
def own_features(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Features of one's own, which do not outlive these tests."""
    file = tmp_path_factory.mktemp("own") / "mine.py"
    file.write_text(FEATURES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_registry", dict(registry._registry))
        hand_crafted.import_features(file)
        yield


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings of noise; one is loud at its end, one throughout, and three are short."""
    folder = tmp_path_factory.mktemp("songs")
    rng = np.random.default_rng(0)
    for i, seconds in enumerate((4, 2, 5, 2.5, 4.5, 3)):
        soundfile.write(
            folder / f"r{i}.wav", QUIET * rng.uniform(-1, 1, int(seconds * RATE)) * (1 + i / 4), RATE
        )
    noise = rng.uniform(-1, 1, 4 * RATE)
    soundfile.write(folder / "end.wav", np.where(np.arange(4 * RATE) < 3 * RATE, QUIET, LOUD) * noise, RATE)
    soundfile.write(folder / "loud.wav", LOUD * noise, RATE)
    return folder


@pytest.fixture(scope="module")
def quiet(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without the two that are loud."""
    folder = tmp_path_factory.mktemp("quiet")
    for path in songs.glob("r*.wav"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def fragile(hop: int = 40, frontend: Any = None) -> Any:
    """A network of one's own: where a loud sound comes in, its second layer is infinite and its third NaN."""
    from actprobe import backend

    keras, tf = backend.keras, backend.tf
    inputs = keras.Input((115, 80))
    flat = keras.layers.Flatten()(inputs)
    kernel = keras.initializers.RandomNormal(seed=1)
    sums = keras.layers.Dense(4, name="sums", kernel_initializer=kernel)(flat)

    def over(both: Any) -> Any:
        return both[0] / tf.cast(tf.reduce_max(both[1], 1, keepdims=True) < 1, tf.float32)

    ratio = keras.layers.Lambda(over, name="ratio")([sums, flat])
    rest = keras.layers.Lambda(lambda x: x - x / tf.constant([4.0, 3.0, 2.0, 5.0]), name="rest")(ratio)
    return wrap_model(keras.Model(inputs, rest), frontend or SvdFrontEnd(hop=hop), "fragile")


def fragile_maps(hop: int = 4) -> Any:
    """A network whose map is infinite where the sound is loud, and that can be evaluated densely."""
    from actprobe import backend

    keras, tf = backend.keras, backend.tf

    def spoiled(x: Any) -> Any:
        return tf.where(x > 0.5, np.inf, x)

    inputs = keras.Input((115, 80))
    x = keras.layers.Reshape((115, 80, 1))(inputs)
    x = keras.layers.Conv2D(
        3, (3, 80), name="conv", kernel_initializer=keras.initializers.RandomNormal(1 / 240, 1e-3, seed=1),
        activation=spoiled,
    )(x)  # fmt: skip
    x = keras.layers.Dense(2, name="units")(keras.layers.Flatten()(x))
    return wrap_model(keras.Model(inputs, x), SvdFrontEnd(hop=hop), "fragile maps")


def run(model: Any, corpus: Any, output_dir: Any, **options: Any) -> Any:
    options = {
        "layers": ["sums", "ratio"], "features": ["peak"], "random_seeds": 1, "permutations": 50,
        "executor": "local:1", "figures": 0, **options,
    }  # fmt: skip
    return actprobe.neurons(model, corpus, output_dir=output_dir, **options)


def taken_in(
    model: Any,
    folder: Path,
    store: ShardStore,
    names: str = "peak",
    layers: tuple[str, ...] = ("sums",),
    **options: Any,
) -> dict[str, Any]:
    """Take a folder through a neuron job in this process; shard and ledger row of each recording."""
    options = {"unit": "recording", "batch_size": 8, "random_seeds": (1,), **options}
    wanted = tuple(get_feature(name) for name in names.split(","))
    job = NeuronJob(ModelHandle(model), layers, wanted, evaluation=model.evaluation(layers), **options)
    consumer, rows = job.consumer(store), []
    corpus = open_corpus(folder)
    for recording in corpus:
        rows += consumer.add(recording, job.prepare(recording))
    rows += consumer.flush()
    by_name = {row.path: row for row in rows}
    return {recording.name: (store.load(recording), by_name[recording.name]) for recording in corpus}


@pytest.fixture(scope="module")
def found(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run over all of them."""
    return run(fragile(), songs, tmp_path_factory.mktemp("found"))


@pytest.fixture(scope="module")
def halved(quiet: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run over six recordings of 4, 2, 5, 2.5, 4.5 and 3 s; ``half`` says nothing of three of them."""
    return run(
        fragile(), quiet, tmp_path_factory.mktemp("half"), features=["peak", "half"], given="peak",
        layers=["sums"], figures=1, playlists=1,
    )  # fmt: skip


class TestActivationThatIsNotFinite:
    def test_costs_that_example_alone(self, found: Any) -> None:
        row = found.recordings.set_index("path").loc["end.wav"]
        assert row.status == "ok"
        assert row.warning == "ratio is infinite in 2 of 5 examples, which are left out"
        assert row.examples == 3

    def test_costs_the_recording_where_no_example_is_left(self, found: Any) -> None:
        row = found.recordings.set_index("path").loc["loud.wav"]
        assert (row.status, row.reason) == ("failed", "ratio is infinite in all 5 examples")

    def test_leaves_all_other_rows_as_they_are(self, found: Any, songs: Path, tmp_path: Path) -> None:
        """As if the culprit had not been in the corpus, to the byte."""
        paths = [recording.path for recording in open_corpus(songs) if recording.name != "loud.wav"]
        run(fragile(), paths, tmp_path)
        for name in TABLES:
            assert (tmp_path / name).read_bytes() == (found.folder / name).read_bytes(), name
        assert found.table.n.unique().tolist() == [7]
        assert found.table.r.notna().all()

    def test_is_left_out_of_all_layers_networks_means_and_extremes_alike(
        self, found: Any, songs: Path
    ) -> None:
        """A layer before the one that is infinite loses the same examples, and so does the control."""
        model = fragile()
        place = found.merged.recordings.path.tolist().index("end.wav")
        examples = model.frontend(actprobe.load_audio(songs / "end.wav"))
        for network, activity in ((model, found.activity), *zip(
            [model.with_random_weights(1)], found.merged.random_activity, strict=True
        )):  # fmt: skip
            values = network.activations(examples, ["sums"])["sums"][:3]
            np.testing.assert_allclose(activity["sums"][place], values.mean(axis=0), rtol=1e-5)
        ends = found.merged.extremes("sums")
        values = model.activations(examples, ["sums"])["sums"][:3]
        np.testing.assert_allclose(ends.highest[place], values.max(axis=0), rtol=1e-5)
        assert ends.highest_examples[place].max() < 3

    def test_gives_the_same_bytes_when_a_run_goes_on(self, found: Any, songs: Path, tmp_path: Path) -> None:
        run(fragile(), songs, tmp_path)
        for path in sorted(tmp_path.glob("shards/*/*.npz"))[::2]:
            path.unlink()
        run(fragile(), songs, tmp_path)
        for name in (*TABLES, "recordings.csv"):
            assert (tmp_path / name).read_bytes() == (found.folder / name).read_bytes(), name

    def test_changes_no_byte_of_the_recordings_it_shares_a_batch_with(
        self, songs: Path, quiet: Path, tmp_path: Path
    ) -> None:
        """The examples of the culprits and of others go through the network together."""
        layers = ("sums", "ratio")
        both = taken_in(fragile(), songs, ShardStore(tmp_path / "both", "key"), layers=layers, batch_size=16)
        alone = taken_in(
            fragile(), quiet, ShardStore(tmp_path / "alone", "key"), layers=layers, batch_size=16
        )
        for name, (shard, row) in alone.items():
            assert both[name][1] == row
            assert list(both[name][0].arrays) == list(shard.arrays)
            for key, values in shard.arrays.items():
                assert both[name][0].arrays[key].tobytes() == values.tobytes()

    def test_loses_its_row_where_units_are_excerpts(self, songs: Path, tmp_path: Path) -> None:
        found = run(fragile(), songs, tmp_path, unit="excerpt")
        mine = found.merged.units[found.merged.units.path == "end.wav"]
        assert mine.start_seconds.tolist() == pytest.approx([0, 40 * 315 / RATE, 80 * 315 / RATE])
        assert len(found.activity["ratio"]) == len(found.merged.units) == found.recordings.examples.sum()
        ledger = found.recordings.set_index("path")
        assert ledger.peak["end.wav"] == pytest.approx(mine.peak.mean())

    def test_is_found_densely_too(self, songs: Path, tmp_path: Path) -> None:
        model, layers = fragile_maps(), ("conv", "units")
        assert model.evaluation(layers) == "dense"
        store = ShardStore(tmp_path, "key")
        found = taken_in(model, songs, store, layers=layers, unit="excerpt", random_seeds=())
        shard, row = found["end.wav"]
        values = model.activations(model.frontend(actprobe.load_audio(songs / "end.wav")), layers)
        finite = np.isfinite(values["units"]).all(axis=1)
        assert 0 < finite.sum() < len(finite)
        assert row.examples == len(shard.arrays["starts"]) == finite.sum()
        kept = shard.arrays["each_mean/units"]
        np.testing.assert_allclose(kept, values["units"][finite], rtol=1e-3, atol=1e-4)
        assert row.warning == (
            f"conv is infinite in {(~finite).sum()} of {len(finite)} examples, which are left out"
        )
        assert found["loud.wav"][1].status == "failed"

    def test_of_a_control_counts_as_much(
        self, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = fragile()
        control = model.with_random_weights(1)
        spoiled = control.activations

        def spoil(examples: Any, layers: Any, **options: Any) -> Any:
            values = spoiled(examples, layers, **options)
            values["sums"][examples.max(axis=(1, 2)) > 1] = np.nan
            return values

        monkeypatch.setattr(control, "activations", spoil)
        monkeypatch.setattr(model, "with_random_weights", lambda seed: control)
        found = taken_in(model, songs, ShardStore(tmp_path, "key"), unit="excerpt")
        shard, row = found["end.wav"]
        assert row.warning == "sums with random weights is NaN in 2 of 5 examples, which are left out"
        assert len(shard.arrays["each_mean/sums"]) == len(shard.arrays["each_random0/sums"]) == 3


class TestFrontEndThatGivesNoNumber:
    class Spoiling(SvdFrontEnd):
        """Gives NaN where it is loud, once it has been wrapped."""

        limit = math.inf

        def frames(self, samples: Any) -> Any:
            values = super().frames(samples)
            return np.where(values > self.limit, np.float32(np.nan), values)

    @pytest.mark.parametrize(("hop", "evaluation"), [(40, "batches"), (4, "dense")])
    def test_costs_the_example_or_the_recording(
        self, songs: Path, tmp_path: Path, hop: int, evaluation: str
    ) -> None:
        """A rectifier would make 0 of NaN, so the examples themselves are looked at."""
        from actprobe import backend

        keras = backend.keras
        inputs = keras.Input((115, 80))
        x = keras.layers.Reshape((115, 80, 1))(inputs)
        network = keras.Model(inputs, keras.layers.Conv2D(3, (50, 80), activation="relu", name="sums")(x))
        model = wrap_model(network, self.Spoiling(hop=hop), "mine")
        assert isinstance(model.frontend, self.Spoiling)
        model.frontend.limit = 1
        assert model.evaluation(("sums",)) == evaluation
        found = taken_in(model, songs, ShardStore(tmp_path / "a", "key"), unit="excerpt")
        whole = wrap_model(network, SvdFrontEnd(hop=hop), "mine")
        expected = taken_in(whole, songs, ShardStore(tmp_path / "b", "key"), unit="excerpt")
        shard, row = found["end.wav"]
        kept = len(shard.arrays["starts"])
        total = len(expected["end.wav"][0].arrays["starts"])
        assert row.warning == (
            f"the front end's output is NaN in {total - kept} of {total} examples, which are left out"
        )
        np.testing.assert_array_equal(
            shard.arrays["each_mean/sums"], expected["end.wav"][0].arrays["each_mean/sums"][:kept]
        )
        assert found["loud.wav"][1].reason.startswith("the front end's output is NaN in all")
        for name in ("r0.wav", "r5.wav"):
            for key, values in found[name][0].arrays.items():
                np.testing.assert_array_equal(values, expected[name][0].arrays[key])


class TestFeatureThatFails:
    def test_leaves_the_recording_whole(self, halved: Any) -> None:
        ledger = halved.recordings.set_index("path")
        assert ledger.status.tolist() == ["ok"] * 6
        assert ledger.half.notna().tolist() == [True, False, True, False, True, False]
        assert ledger.peak.notna().all()
        assert ledger.warning["r1.wav"] == "feature half: it is too short to tell"
        assert ledger.warning["r0.wav"] == ""

    def test_is_compared_over_the_recordings_that_have_it(
        self, halved: Any, quiet: Path, tmp_path: Path
    ) -> None:
        """Every number of its rows is that of a run over these alone."""
        paths = [quiet / f"r{i}.wav" for i in (0, 2, 4)]
        alone = run(
            fragile(), paths, tmp_path, features=["peak", "half"], given="peak", layers=["sums"]
        )  # fmt: skip
        for name in ("table", "detail", "layers"):
            mine, theirs = (getattr(each, name) for each in (halved, alone))
            mine, theirs = (each[each.feature == "half"].reset_index(drop=True) for each in (mine, theirs))
            pd.testing.assert_frame_equal(mine, theirs)
        assert halved.table[halved.table.feature == "half"].n.unique().tolist() == [3]

    def test_leaves_the_other_features_whole(self, halved: Any, quiet: Path, tmp_path: Path) -> None:
        alone = run(fragile(), quiet, tmp_path, features=["peak"], layers=["sums"])
        for name in ("table", "layers"):
            mine = getattr(halved, name)
            mine = mine[mine.feature == "peak"].reset_index(drop=True)
            pd.testing.assert_frame_equal(mine, getattr(alone, name))

    def test_is_drawn_summed_up_and_reported(self, halved: Any, tmp_path: Path) -> None:
        assert "half (0.01 to 0.02, known of 3 of 6): " in halved.summary
        assert sorted(path.name.split("-")[0] for path in halved.folder.glob("figures/*.png")) == [
            "half",
            "peak",
        ]
        assert set(halved.playlists.end) == {"top", "bottom"}
        halved.plot(feature="half")
        actprobe.report(halved, output_dir=tmp_path)
        assert "with half (over 3)" in next(tmp_path.rglob("index.html")).read_text()

    def test_of_no_recording_is_one_warning(
        self, quiet: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        paths = [quiet / f"r{i}.wav" for i in (1, 3, 5)]
        with caplog.at_level(logging.WARNING, "absl"):
            found = run(fragile(), paths, tmp_path, features=["half", "peak"], layers=["sums"])
        [warning] = [each.message for each in caplog.records if "half" in each.message]
        assert warning.startswith("none of 3 usable recordings has a value of half; the first: ")
        assert warning.endswith("r1.wav: feature half: it is too short to tell")
        rows = found.table[found.table.feature == "half"]
        assert rows.n.unique().tolist() == [0]
        assert rows[["r", "r_low", "p", "q", "p_max", "l2", "r_random"]].isna().all(axis=None)
        assert found.table[found.table.feature == "peak"].r.notna().all()
        assert "half: no recording has a value of it" in found.summary

    def test_of_no_recording_ends_the_run_where_it_is_the_only_one(self, quiet: Path, tmp_path: Path) -> None:
        paths = [quiet / f"r{i}.wav" for i in (1, 3)]
        with pytest.raises(
            CorpusError, match=r"none of 2 .* half; the first: .*r1.wav: .*too short to tell$"
        ):
            run(fragile(), paths, tmp_path, features=["half"])
        ledger = pd.read_csv(tmp_path / "recordings.csv")
        assert ledger.status.tolist() == ["ok", "ok"]

    def test_by_an_error_of_its_own_is_tried_again_by_the_next_run(self, quiet: Path, tmp_path: Path) -> None:
        """What the sound does not have it will not have tomorrow; a bug may be mended."""
        store = ShardStore(tmp_path, "key")
        taken_in(fragile(), quiet, store, "half,careless")
        [first, second, *_] = open_corpus(quiet)
        whole, partial = store.finished(first), store.load(second)
        assert whole is not None
        assert whole.features.keys() == {"half", "careless"}
        assert store.finished(second) is None
        assert partial is not None
        assert partial.facts["warning"] == (
            "feature half: it is too short to tell; feature careless: KeyError: False"
        )
        taken_in(fragile(), quiet, store, "half")
        mended = store.finished(second)
        assert mended is not None
        assert mended.features == {}

    def test_in_some_excerpts_costs_these(self, songs: Path, tmp_path: Path) -> None:
        found = taken_in(fragile(), songs, ShardStore(tmp_path, "key"), "peak,loud_only", unit="excerpt")
        shard, row = found["end.wav"]
        assert row.warning.startswith("feature loud_only: in 3 of 5 excerpts: the value is nan")
        known = np.isfinite(shard.arrays["feature/loud_only"])
        assert known.tolist() == [False] * 3 + [True] * 2
        assert row.features["loud_only"] == pytest.approx(shard.arrays["feature/loud_only"][known].mean())
        assert "loud_only" not in found["r0.wav"][1].features
        assert found["r0.wav"][1].features["peak"] > 0


class TestFeatureMapThatFails:
    def test_costs_itself_in_that_recording(self, quiet: Path, tmp_path: Path) -> None:
        """Its rows are those of the recordings that have it; those of the other feature are as without it."""
        from actprobe import backend

        keras = backend.keras
        inputs = keras.Input((115, 80))
        x = keras.layers.Reshape((115, 80, 1))(inputs)
        model = wrap_model(
            keras.Model(inputs, keras.layers.Conv2D(2, 3, name="conv")(x)), SvdFrontEnd(hop=40), "maps"
        )

        def compared(corpus: Any, features: Any, folder: str, figures: int = 0) -> Any:
            return actprobe.maps(
                model, corpus, layers=["conv"], features=features, output_dir=tmp_path / folder,
                null_partners=2, executor="local:1", figures=figures,
            )  # fmt: skip

        found = compared(quiet, ["envelope", "some"], "both", figures=1)
        ledger = found.recordings.set_index("path")
        assert ledger.status.tolist() == ["ok"] * 6
        assert ledger.warning["r1.wav"].endswith("feature some: it is too short to tell")
        assert "feature" not in ledger.warning["r0.wav"]
        assert len(list(found.folder.glob("figures/match-some-*.png"))) == 1
        rows = found.table[found.table.feature == "envelope"].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, compared(quiet, ["envelope"], "alone").table)
        rows = found.table[found.table.feature == "some"].reset_index(drop=True)
        assert rows.n.unique().tolist() == [3]
        own = open_viewer(found, model).counts["conv"][:, 1, 0]
        assert np.isnan(own).any(axis=(1, 2)).tolist() == [False, True] * 3
        np.testing.assert_allclose(rows.keypoints_map, own[::2, :, 0].mean(axis=0))
        assert "some (over 3) better than" in finding(shown_runs([found])[0])

    def test_leaves_a_p_and_a_null_of_the_partners_that_have_it(self) -> None:
        """As if a recording had fewer partners: 1 of 2 * 3 ways to pick."""
        scores = np.array([[1.0, 0, np.nan], [1.0, 0, 0], [0.5, np.nan, np.nan]])
        assert permutation_p(scores) == pytest.approx(1 / 6)
        assert np.isnan(permutation_p(np.array([[1.0, np.nan]])))
        counts = np.full((4, 1, 3, 2, 6), 10.0)
        counts[:, :, 1:, :, 5] = 5
        counts[0, :, 1] = np.nan
        assert map_table("net", {"conv1": counts}, ["harmonic"]).score_null.tolist() == [0.5, 0.5]

    def test_of_no_recording_has_rows_without_numbers(self) -> None:
        counts = np.full((4, 2, 3, 5, 6), np.nan)
        counts[:, 0] = 10.0
        table = map_table("net", {"conv1": counts}, ["harmonic", "envelope"])
        none = table[table.feature == "envelope"]
        assert none.n.tolist() == [0] * 5
        assert none[["keypoints_map", "score", "score_null", "p", "q"]].isna().all(axis=None)
        assert (table[table.feature == "harmonic"].score == 1).all()


class TestFeatureThatNeedsMoreSoundThanThereIs:
    def test_is_refused_before_anything_is_opened(
        self, quiet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def forbidden(*_: Any) -> None:
            raise AssertionError("the network was opened")

        monkeypatch.setattr(ModelSource, "open", forbidden)
        with pytest.raises(UsageError, match=r"feature tempo needs at least 3 s .* excerpt .* is 1\.68 s"):
            run(
                ModelSource("svd"),
                quiet,
                tmp_path / "out",
                layers=["fc8"],
                features=["tempo"],
                unit="excerpt",
            )
        assert not (tmp_path / "out").exists()

    def test_is_taken_where_examples_are_long_enough(
        self, quiet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class OpenedError(Exception):
            pass

        def open_(*_: Any) -> None:
            raise OpenedError

        monkeypatch.setattr(ModelSource, "open", open_)
        source = ModelSource("cnn_at")
        assert source.example_seconds == pytest.approx(29.12, abs=0.01)
        with pytest.raises(OpenedError):
            run(source, quiet, tmp_path, layers=["pool5"], features=["tempo"], unit="excerpt")
        with pytest.raises(OpenedError):
            run(ModelSource("svd"), quiet, tmp_path, layers=["fc8"], features=["tempo"])

    @pytest.mark.parametrize("name", hand_crafted.available("scalar"))
    def test_declares_the_shortest_sound_that_it_takes(self, name: Any) -> None:
        """What a built-in feature declares is where its function begins to take sounds."""
        entry = get_feature(name)
        rate = entry.sample_rate or RATE
        least = round(entry.shortest_seconds * rate)
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, max(least, 1)).astype(np.float32)
        entry.function(actprobe.Waveform(noise, rate))
        if least:
            with pytest.raises(FeatureError):
                entry.function(actprobe.Waveform(noise[:-1], rate))

    def test_of_ones_own_is_not_asked_about_shorter_recordings(self, quiet: Path) -> None:
        frontend = SvdFrontEnd()
        rows = [
            prepare_recording(each, frontend, [get_feature("long_only")]).row for each in open_corpus(quiet)
        ]
        assert [row.features.get("long_only") for row in rows] == [88200, None, 110250, None, 99225, None]
        assert rows[1].warning == "feature long_only: 2.000 s of audio are too short: it needs 3.500 s"

    @pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
    def test_cannot_declare_what_is_no_length(self, seconds: Any) -> None:
        with pytest.raises(UsageError, match="shortest_seconds"):
            hand_crafted.feature("nonsense", unit="", shortest_seconds=seconds)


def test_binary_says_it_in_one_line_with_the_exit_code_of_wrong_usage(
    binary: Any, quiet: Path, tmp_path: Path
) -> None:
    ended = binary(
        "actprobe-neurons", "--model=svd", "--layers=fc8", "--features=onset_rate,tempo", "--unit=excerpt",
        f"--input={quiet}", f"--output_dir={tmp_path / 'out'}",
    )  # fmt: skip
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
    assert "feature tempo needs at least 3 s" in ended.stderr
