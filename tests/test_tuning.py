"""Tuning curves: statistics with known answers, whole runs with planted truth, CREPE's nominal pitches."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import soundfile
import tf_keras as keras
from conftest import ROOT
from numpy.typing import NDArray
from scipy import stats

import actprobe
from actprobe.analyses.causal.tuning.factors import FACTORS
from actprobe.analyses.causal.tuning.result import TuningResult
from actprobe.analyses.causal.tuning.statistics import (
    curves,
    layer_share,
    monotonicity,
    permuted,
    preferred,
    selectivity,
    share_of,
    variances,
)
from actprobe.columns import TABLES
from actprobe.errors import CorpusError, UsageError
from actprobe.frontends import LogMelFrontEnd
from actprobe.models import Model
from actprobe.models.networks.crepe import pitches_hz

RATE, FRAMES, MELS = 8000, 60, 24
BAND, LEVEL, CONTRAST, RISE, CONSTANT = range(5)
CURVE_DOSES = (100.0, 200.0, 400.0, 800.0, 1600.0)
Floats = NDArray[np.float64]


def noise(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape)


class TestStatistics:
    def test_the_preferred_dose_is_the_vertex_of_a_parabola_on_the_axis_of_the_factor(self) -> None:
        places = np.log2(CURVE_DOSES)
        peaks = np.array([300.0, 450.0, 900.0])
        mean = 5 - (places[:, np.newaxis] - np.log2(peaks)) ** 2
        np.testing.assert_allclose(preferred(mean, FACTORS["pitch"], CURVE_DOSES), peaks)
        uneven = (-10.0, 0.0, 1.0, 5.0)
        mean = -((np.array(uneven)[:, np.newaxis] - 0.7) ** 2)
        np.testing.assert_allclose(preferred(mean, FACTORS["gain"], uneven), 0.7)

    def test_it_is_the_dose_itself_at_either_end(self) -> None:
        mean = np.array([[3.0, 0.0], [2.0, 1.0], [0.0, 2.0]])
        assert preferred(mean, FACTORS["gain"], (-6.0, 0.0, 6.0)).tolist() == [-6, 6]

    def test_selectivity_is_the_published_sparseness(self) -> None:
        mean = np.array([[7.0, 0.0, 1.0], [7.0, 1.0, 1.0], [8.0, 1.0, 1.0]])
        np.testing.assert_allclose(selectivity(mean), [1, 0.5, np.nan])

    def test_monotonicity_is_spearmans(self) -> None:
        mean = noise(6, 4).round(1)
        expected = [stats.spearmanr(np.arange(6), column).statistic for column in mean.T]
        np.testing.assert_allclose(monotonicity(mean), expected)

    def test_variance_is_divided_as_in_an_analysis_of_variance(self) -> None:
        x = noise(4, 5, 3) + np.arange(5)[:, np.newaxis] + 10 * noise(4, 1, 3, seed=1)
        found = variances(x)
        for k in range(3):
            inside = x[:, :, k] - x[:, :, k].mean(axis=1, keepdims=True)
            assert found.within[k] == pytest.approx((inside**2).sum())
            assert found.dose[k] == pytest.approx(4 * (inside.mean(axis=0) ** 2).sum())
            assert found.total[k] == pytest.approx(x[:, :, k].var() * 20)

    def test_what_variants_differ_by_lowers_the_share_and_not_r2(self) -> None:
        x = 0.1 * noise(6, 5, 1) + np.arange(5)[:, np.newaxis]
        apart = x + 100 * np.arange(6)[:, np.newaxis, np.newaxis]
        one, other = (curves(each, FACTORS["gain"], range(5)) for each in (x, apart))
        assert one.r2[0] == pytest.approx(other.r2[0])
        assert one.r2[0] > 0.95
        assert one.share[0] > 0.95
        assert other.share[0] < 0.01

    def test_permutations_are_those_of_doses_within_each_variant(self) -> None:
        x = noise(3, 4, 2)
        best, shares = permuted(x, permutations=50, seed=7)
        order = np.random.default_rng(7).permuted(np.broadcast_to(np.arange(4), (50, 3, 4)), axis=2)
        found = variances(x)
        r2 = np.array(
            [variances(np.stack([x[i, dealt[i]] for i in range(3)])).dose / found.within for dealt in order]
        )
        np.testing.assert_allclose(best.maxima, np.sort(r2.max(axis=1)))
        np.testing.assert_allclose(shares, (r2 * found.within).sum(axis=1) / found.total.sum())

    def test_placebo_doses_are_found_at_the_nominal_rate(self) -> None:
        """20 random networks get sounds that do not depend on the dose: about one finds anything."""
        families = layers = 0
        for seed in range(20):
            rng = np.random.default_rng(seed)
            sounds = rng.standard_normal((8, 1, 30)) + rng.standard_normal((8, 5, 30))
            hidden = np.maximum(sounds @ rng.standard_normal((30, 20)), 0)
            x = np.maximum(hidden @ rng.standard_normal((20, 40)), 0)
            found = curves(x, FACTORS["gain"], range(5))
            best, null = permuted(x, permutations=200, seed=seed)
            families += bool(np.nanmin(best.q(found.r2)) <= 0.05)
            layers += layer_share(x, null).p <= 0.05
        assert families <= 3  # of 20 with a chance of 0.05 each, four or more come in 1.6 % of cases
        assert layers <= 3

    def test_a_neuron_that_is_tuned_is_found_among_many(self) -> None:
        x = noise(8, 5, 300)
        x[:, :, 17] += 3 * np.arange(5)
        found = curves(x, FACTORS["gain"], range(5))
        best, _ = permuted(x, permutations=1000)
        assert np.flatnonzero(best.q(found.r2) <= 0.05).tolist() == [17]
        assert best.p(found.r2)[17] == pytest.approx(1 / 1001)
        assert found.monotonicity[17] == 1
        assert found.preferred[17] == 4

    def test_neurons_that_are_constant_or_not_finite_cost_only_themselves(self) -> None:
        x = noise(5, 4, 4)
        rest = curves(x[:, :, 2:], FACTORS["gain"], range(4))
        x[:, :, 0] = 3.0
        x[2, 1, 1] = np.inf
        found = curves(x, FACTORS["gain"], range(4))
        for name, values in vars(found).items():
            assert np.isnan(values[..., :2]).all(), name
            np.testing.assert_array_equal(values[..., 2:], getattr(rest, name), name)
        assert np.isfinite(permuted(x, permutations=5)[0].maxima).all()

    def test_one_variant_has_a_curve_and_no_r2(self) -> None:
        found = curves(noise(1, 4, 2), FACTORS["gain"], range(4))
        assert np.isfinite(found.mean).all()
        assert np.isnan(found.r2).all()
        assert np.isnan(found.low).all()
        assert not len(permuted(noise(1, 4, 2))[0].maxima)

    def test_an_invariant_layer_has_a_share_of_zero(self) -> None:
        x = np.broadcast_to(noise(6, 1, 3), (6, 4, 3))
        share = layer_share(x, permuted(x)[1])
        assert share.share == share.low == share.high == 0
        assert np.isnan(curves(x, FACTORS["gain"], range(4)).r2).all()

    @pytest.mark.parametrize("effect", [0.0, 0.3, 3.0])
    def test_the_interval_of_a_share_is_around_it(self, effect: float) -> None:
        for seed in range(10):
            x = noise(8, 5, 10, seed=seed) + effect * noise(5, 10, seed=99)
            found = layer_share(x, permuted(x, permutations=20)[1])
            assert found.low < found.share < found.high, seed

    def test_the_scale_of_activations_does_not_matter(self) -> None:
        x = noise(5, 4, 3) + np.arange(4)[:, np.newaxis]
        assert share_of(x * 1e200) == pytest.approx(share_of(x))
        small = curves(x * 1e-30, FACTORS["gain"], range(4))
        np.testing.assert_allclose(small.r2, curves(x, FACTORS["gain"], range(4)).r2)


def planted() -> Model:
    """A network with units wired to a band, to the level, to a contrast of bands, to onsets, to nothing."""
    frontend = LogMelFrontEnd(
        sample_rate=RATE, n_fft=512, hop_length=128, n_mels=MELS, frames=FRAMES, hop=FRAMES
    )
    keras.utils.set_random_seed(0)
    inputs = keras.Input((FRAMES, MELS))
    units = keras.layers.Conv2D(5, (2, MELS), activation="relu", name="units")
    network = keras.Model(inputs, units(keras.layers.Reshape((FRAMES, MELS, 1))(inputs)))
    kernel = np.zeros((2, MELS, 1, 5), np.float32)
    kernel[0, band(frontend), 0, BAND] = 1
    kernel[0, :, 0, LEVEL] = 1 / MELS
    kernel[0, band(frontend), 0, CONTRAST] = 1
    kernel[0, :, 0, CONTRAST] -= 1 / MELS
    kernel[:, :, 0, RISE] = np.array([[-1], [1]]) / MELS
    units.set_weights([kernel, np.array([30, 30, 30, -1, 1], np.float32)])
    return actprobe.wrap_model(network, frontend, name="planted")


def band(frontend: LogMelFrontEnd) -> int:
    """The band around 600 Hz."""
    return int(np.argmin(np.abs(frontend.band_edges_hz()[1:-1] - 600)))


@pytest.fixture(scope="module")
def model() -> Model:
    return planted()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six recordings of tone (the voice) and noise; one without stems, and some that cannot be used."""
    folder = tmp_path_factory.mktemp("mixtures")
    rng = np.random.default_rng(0)
    time = np.arange(3 * RATE) / RATE
    rows: list[dict[str, str]] = []
    for number in range(7):
        name = f"{number}.wav"
        voice = 0.1 * np.sin(2 * np.pi * 600 * time + rng.uniform(0, 6))
        rest = 0.05 * rng.standard_normal(len(time))
        parts = {"voice": voice, "rest": rest} if number else {}
        for part, samples in parts.items():
            soundfile.write(folder / f"{part}-{name}", samples, RATE, subtype="FLOAT")
        soundfile.write(folder / name, voice + rest, RATE, subtype="FLOAT")
        rows.append({"path": name} | {f"stem_{part}": f"{part}-{name}" for part in parts})
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "short.wav", 0.1 * rng.standard_normal(RATE // 2), RATE)
    (folder / "broken.wav").write_bytes(b"RIFF....WAVE")
    rows += [{"path": f"{name}.wav"} for name in ("silent", "short", "broken")]
    with (folder / "corpus.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "stem_voice", "stem_rest"], restval="")
        writer.writeheader()
        writer.writerows(rows)
    return folder / "corpus.csv"


ASKED: dict[str, Any] = {
    "layers": ["units"],
    "factors": ["level", "pitch", "onset_rate", "gain", "voice_to_accompaniment"],
    "doses": {"pitch": [round(200 * 2 ** (i / 4), 1) for i in range(13)], "onset_rate": [1, 2, 3, 4, 6]},
    "variants": 6,
    "excerpts": 2,
    "executor": "local:1",
}  # fmt: skip


@pytest.fixture(scope="module")
def found(model: Model, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> TuningResult:
    return actprobe.tune(model, corpus=corpus, output_dir=tmp_path_factory.mktemp("tuned"), **ASKED)


def of(found: TuningResult, neuron: int, factor: str) -> pd.Series:
    table = found.table
    return table[(table["neuron"] == neuron) & (table["factor"] == factor)].iloc[0]


def curve_of(found: TuningResult, neuron: int, factor: str) -> pd.DataFrame:
    curve = found.curves
    return curve[(curve["neuron"] == neuron) & (curve["factor"] == factor)]


class TestRun:
    def test_the_unit_of_a_band_prefers_the_pitch_in_that_band(
        self, found: TuningResult, model: Model
    ) -> None:
        edges = model.frontend.band_edges_hz()
        at = band(model.frontend)  # type: ignore[arg-type]
        row = of(found, BAND, "pitch")
        assert edges[at] < row["preferred"] < edges[at + 2]
        assert row["q"] <= 0.05

    def test_the_unit_of_level_rises_with_level_and_gain(self, found: TuningResult) -> None:
        for factor in ("level", "gain"):
            row = of(found, LEVEL, factor)
            assert row["monotonicity"] == 1
            assert row["r2"] > 0.99
            assert row["q"] <= 0.05

    def test_a_contrast_of_bands_is_invariant_to_gain(self, found: TuningResult) -> None:
        assert not of(found, CONTRAST, "gain")["share"] > 1e-6  # or NaN, where not even rounding differs
        assert of(found, CONTRAST, "pitch")["share"] > 0.5

    def test_the_unit_of_onsets_rises_with_their_rate_and_not_with_level(self, found: TuningResult) -> None:
        row = of(found, RISE, "onset_rate")
        assert row["monotonicity"] == 1
        assert row["r2"] > 0.8
        assert row["q"] <= 0.05
        by_rate, by_level = (np.ptp(curve_of(found, RISE, each)["mean"]) for each in ("onset_rate", "level"))
        assert not by_level > 0.05 * by_rate

    def test_a_constant_unit_has_no_tuning_and_is_counted(self, found: TuningResult) -> None:
        assert (
            found.table[found.table["neuron"] == CONSTANT][["r2", "p", "q", "preferred"]]
            .isna()
            .all(axis=None)
        )
        assert (found.layers["constant"] >= 1).all()
        assert "units: " in found.summary
        assert "of 5 neurons are constant" in found.summary

    def test_the_voice_raises_its_band(self, found: TuningResult) -> None:
        row = of(found, BAND, "voice_to_accompaniment")
        assert row["n"] == 6
        assert row["monotonicity"] == 1
        assert row["q"] <= 0.05

    def test_a_dose_of_zero_is_the_recording_itself(
        self, found: TuningResult, model: Model, corpus: Path
    ) -> None:
        """Two excerpts of recordings of 3 s that lie evenly, each amid its half."""
        expected = []
        frontend = model.frontend
        for number in range(1, 7):
            samples = actprobe.load_audio(corpus.parent / f"{number}.wav", RATE).samples
            frames = (len(samples) - frontend.example_samples) // frontend.frame_hop + 1
            starts = frontend.frame_hop * np.round(np.array([0.25, 0.75]) * frames - 0.5).astype(int)
            cut = np.stack([samples[start : start + frontend.example_samples] for start in starts])
            examples = np.stack([frontend.example_of(sound) for sound in cut])
            units = model.activations(examples, ["units"])["units"]
            expected.append(units.mean(axis=(0, 1, 2), dtype=np.float64))
        curve = found.curves[found.curves["factor"] == "voice_to_accompaniment"]
        np.testing.assert_allclose(
            curve[curve["dose"] == 0]["mean"][:3], np.mean(expected, axis=0)[:3], rtol=1e-5
        )

    def test_what_cannot_be_used_costs_only_itself(self, found: TuningResult) -> None:
        rows = found.recordings.set_index("path")
        assert (rows.loc["silent.wav", "status"], rows.loc["broken.wav", "status"]) == ("failed", "failed")
        assert "is silent" in rows["reason"]["silent.wav"]
        assert "no example of" in rows["reason"]["short.wav"]
        assert "voice_to_accompaniment: no known parts" in rows["warning"]["0.wav"]
        assert rows.loc["0.wav", "status"] == "ok"
        assert of(found, LEVEL, "gain")["n"] == 7
        assert (rows.loc[["stimuli/level-0", "stimuli/pitch-5"], "status"] == "ok").all()

    def test_random_weights_stand_beside(self, found: TuningResult) -> None:
        assert found.table["random"].notna().any()
        assert found.layers["random"].between(0, 1).all()
        curve = curve_of(found, LEVEL, "gain")
        assert not np.allclose(curve["mean"], curve["random"])
        assert found.record["random_weights"] == [1]

    def test_tables_have_the_columns_that_the_reference_lists(self, found: TuningResult) -> None:
        for name, table in (
            ("tuning.csv", found.table), ("tuning_curves.parquet", found.curves),
            ("tuning_layers.csv", found.layers),
        ):  # fmt: skip
            assert list(table) == list(TABLES[name])
        assert isinstance(actprobe.load_run(found.folder), TuningResult)

    def test_the_record_says_what_was_changed_and_which_features_it_moves(self, found: TuningResult) -> None:
        assert found.record["features"]["level"] == "loudness"
        assert found.record["factors"]["pitch"]["unit"] == "Hz"
        assert found.record["doses"]["onset_rate"] == [1, 2, 3, 4, 6]

    def test_figures(self, found: TuningResult) -> None:
        assert len(found.plot().axes) == 3  # trained, random, colour bar
        assert len(found.plot(f"units/{LEVEL}", "level").axes) == 1
        for name in ("layers", "level", "voice_to_accompaniment"):
            assert (found.folder / f"figures/{name}.png").is_file()
        with pytest.raises(UsageError, match="the run has no factor 'snr'; it has level"):
            found.plot("units/1", "snr")
        with pytest.raises(UsageError, match="there is no neuron 'units/9'"):
            found.plot("units/9", "level")

    def test_a_run_goes_on_where_it_was(
        self, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: dict[str, Any] = {
            "layers": ["units"], "factors": ["level"], "variants": 3, "random_seeds": 0, "permutations": 0,
            "executor": "local:1", "output_dir": tmp_path,
        }  # fmt: skip
        actprobe.tune(model, **asked)
        before = {name: (tmp_path / name).read_bytes() for name in ("tuning.csv", "tuning_layers.csv")}
        gone = next((tmp_path / "shards").glob("*/level-1-*.npz"))
        gone.unlink()
        compute = Mock(wraps=model.iter_activations)
        monkeypatch.setattr(model, "iter_activations", compute)
        actprobe.tune(model, **asked)
        assert compute.call_count == 1
        assert "level: no p and q" in actprobe.load_run(tmp_path).summary  # type: ignore[attr-defined]
        assert gone.is_file()
        assert {name: (tmp_path / name).read_bytes() for name in before} == before


def inverse_above(x: Any) -> Any:
    """1 / (x + 10), infinite where x is lower."""
    return 1 / keras.backend.relu(x + 10)


def test_a_network_that_overflows_costs_only_the_sounds_for_which_it_does(tmp_path: Path) -> None:
    inputs = keras.Input((FRAMES, MELS))
    inverse = keras.layers.Activation(inverse_above)
    units = keras.layers.GlobalAveragePooling1D(name="units")
    network = keras.Model(inputs, units(inverse(inputs)))
    frontend = LogMelFrontEnd(
        sample_rate=RATE, n_fft=512, hop_length=128, n_mels=MELS, frames=FRAMES, hop=FRAMES
    )
    model = actprobe.wrap_model(network, frontend, name="overflowing")
    for number, level in enumerate((0.5, 0.3, 0.4, 1e-4)):
        samples = level * np.random.default_rng(number).standard_normal(2 * RATE)
        soundfile.write(tmp_path / f"{number}.wav", samples.clip(-1, 1), RATE, subtype="FLOAT")
    found = actprobe.tune(
        model, layers=["units"], factors=["gain"], doses=[-3, 0, 3], corpus=tmp_path, excerpts=1,
        random_seeds=0, permutations=10, executor="local:1", output_dir=tmp_path / "out",
    )  # fmt: skip
    assert found.recordings["status"].tolist() == ["ok", "ok", "ok", "failed"]
    assert "units is NaN or infinite for it" in found.recordings["reason"].iloc[-1]
    assert (found.table["n"] == 3).all()
    assert found.table["r2"].notna().all()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"factors": ["gain"]}, "gain changes recordings of yours: give a corpus"),
    ({"factors": ["colour"]}, "there is no factor 'colour'; there is level, pitch"),
    ({"factors": []}, "name at least one factor"),
    ({"layers": ["units", "more"]}, "planted has no layer 'more'"),
    ({"doses": [100.0]}, "doses of pitch: at least two, ascending, not 100"),
    ({"doses": [200.0, 100.0]}, "at least two, ascending, not 200, 100"),
    ({"doses": [100.0, 3900.0]}, "doses of pitch: 20 to 3600 Hz, not 100, 3900"),
    ({"doses": [100.0, float("nan")]}, "ascending"),
    ({"doses": ["low", "high"]}, "doses of pitch: a list of numbers, not"),
    ({"batch_size": 0}, "batch_size=0: at least 1"),
    ({"doses": {"level": [-30.0, -20.0]}}, "there is no factor 'level'; there is pitch"),
    ({"factors": ["polyphony"], "doses": [1, 1.5]}, "whole numbers"),
    ({"factors": ["pitch", "level"], "doses": [1, 2]}, "doses of which factor"),
    ({"variants": 0}, "variants=0: at least 1"),
    ({"random_seeds": -1}, "random_seeds=-1: at least 0"),
    ({"executor": "local"}, "executor 'local' is none of"),
]


@pytest.mark.parametrize(("given", "said"), WRONG)
def test_wrong_usage_is_one_sentence(given: dict[str, Any], said: str, model: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        actprobe.tune(
            model, **{"layers": ["units"], "factors": ["pitch"]} | given, output_dir=tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_voice_level_without_any_stems_is_refused_when_nothing_else_is_asked_for(
    model: Model, corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match=r"none of 1 recordings could be used.*no known parts"):
        actprobe.tune(
            model, layers=["units"], factors=["voice_to_accompaniment"], corpus=[corpus.parent / "0.wav"],
            output_dir=tmp_path,
        )  # fmt: skip
    assert (tmp_path / "recordings.csv").is_file()


def test_stored_activations_cannot_be_tuned(tmp_path: Path) -> None:
    actprobe.save_activations(tmp_path / "a.npz", times=[0.0], units=np.ones((1, 3), np.float32))
    with pytest.raises(UsageError, match="stored activations cannot be tuned"):
        actprobe.tune(
            actprobe.open_activations(tmp_path), layers=["units"], factors=["pitch"], output_dir=tmp_path
        )


def test_every_output_of_crepe_prefers_its_nominal_pitch(
    packaged: Callable[[str], Path], tmp_path: Path
) -> None:
    """Known truth: output k stands for the pitch of 20 cents times k above 31.7 Hz."""
    model = actprobe.load_model("crepe_tiny", packaged("crepe_tiny"))
    grid = (110 * 2 ** (np.arange(0, 1225, 25) / 1200)).tolist()
    found = actprobe.tune(
        model, layers=[model.output_layer], factors=["pitch"], doses=grid, variants=3, excerpts=2,
        random_seeds=0, permutations=20, executor="local:1", output_dir=tmp_path,
    )  # fmt: skip
    nominal = pitches_hz()
    inside = (nominal > grid[1]) & (nominal < grid[-2])
    cents = 1200 * np.abs(np.log2(found.table["preferred"].to_numpy()[inside] / nominal[inside]))
    assert inside.sum() > 50
    assert np.median(cents) < 5  # measured: 1.6
    assert cents.max() < 20


def test_the_binary_tunes_and_says_what_was_found(binary: Any, tmp_path: Path) -> None:
    done = binary(
        "actprobe-tune", f"--model={ROOT / 'tests/own_networks.py'}:keras2", "--layers=relu1,classes",
        "--factors=level", "--doses=level:-50,-40,-20", "--variants=3", "--permutations=50",
        "--executor=local:1", f"--output_dir={tmp_path / 'out'}",
    )  # fmt: skip
    assert (done.returncode, done.stdout.count("\n")) == (0, 2), done.stderr
    assert done.stdout.startswith("level: ")
    found = actprobe.load_run(tmp_path / "out")
    assert sorted(set(found.frame("tuning_curves.parquet")["dose"])) == [-50, -40, -20]
    wrong = binary(
        "actprobe-tune", "--model=svd", "--layers=fc8", "--factors=level", "--doses=level",
        f"--output_dir={tmp_path / 'wrong'}",
    )  # fmt: skip
    assert wrong.returncode == 2
    assert wrong.stderr.strip().splitlines()[-1].endswith("FACTOR:DOSE,DOSE,... such as pitch:55,110,220")
