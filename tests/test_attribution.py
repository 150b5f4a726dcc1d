"""Attributions of recordings: excerpts, what is absent, passages, sounds, and a whole run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from attribution_support import RATE, small_frontend
from numpy.typing import NDArray

import actprobe
from actprobe.analyses.attribution import run as attribution_run
from actprobe.analyses.attribution.excerpts import Places, plan_excerpts
from actprobe.analyses.attribution.fills import FILLS
from actprobe.analyses.attribution.masks import soft_mask
from actprobe.analyses.attribution.passages import passages_of
from actprobe.analyses.attribution.result import AttributionResult
from actprobe.analyses.attribution.sounds import FULL_PERCENTILE, masked_sound
from actprobe.audio import Waveform
from actprobe.backend import keras
from actprobe.corpora import open_corpus
from actprobe.corpora.parts import known_parts
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import AudioError, CorpusError, UsageError
from actprobe.frontends import LogMelFrontEnd
from actprobe.frontends.dominance import dominant_part, share_of_positive
from actprobe.models.target import read_target

BAND = 4  # what the planted network looks at
FRAMES, MELS = 20, 12

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def frontend() -> LogMelFrontEnd:
    return small_frontend(FRAMES, MELS)


@pytest.fixture(scope="module")
def model(frontend: LogMelFrontEnd) -> actprobe.Model:
    """A linear network: its first output is the sum of band 4, its second does not depend on the input."""
    network = keras.Sequential(
        [
            keras.layers.Input((FRAMES, MELS, 1)),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(2, activation="sigmoid", name="classes"),
        ]
    )
    kernel = np.zeros((FRAMES, MELS, 2), np.float32)
    kernel[:, BAND, 0] = 0.01
    network.get_layer("classes").set_weights([kernel.reshape(-1, 2), np.zeros(2, np.float32)])
    return actprobe.wrap_model(network, frontend=frontend, outputs=["band", "nothing"])


def tone(hertz: float, seconds: float, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    samples = 0.3 * np.sin(2 * np.pi * hertz * time) + 0.01 * rng.standard_normal(len(time))
    return np.asarray(samples, np.float32)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of two recordings of 2 s, the sums of a low and a high tone, whose parts are known."""
    folder = tmp_path_factory.mktemp("songs")
    with (folder / "songs.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "stem_low", "stem_high"])
        for name in ("a", "b"):
            low, high = tone(300, 2.0, 1), tone(2500, 2.0, 2)
            for part, samples in (("", low + high), ("_low", low), ("_high", high)):
                soundfile.write(folder / f"{name}{part}.wav", samples, RATE, subtype="FLOAT")
            rows.writerow([f"{name}.wav", f"{name}_low.wav", f"{name}_high.wav"])
    return folder / "songs.csv"


class TestTargets:
    def test_a_label_is_taken_before_its_nonlinearity_and_a_neuron_as_it_stands(
        self, model: actprobe.Model
    ) -> None:
        assert str(read_target(model, "Band")) == "classes/linear/0"
        assert str(read_target(model, "classes/1")) == "classes/1"
        assert read_target(model, "classes/1").title == "nothing (classes/1)"

    def test_the_only_output_is_the_default(self) -> None:
        assert read_target(actprobe.load_model("svd"), None).title == "singing (fc9/linear/0)"

    @pytest.mark.parametrize("text", ["guitar", "classes/2", "conv/0", "classes", None])
    def test_what_is_no_target_is_refused(self, model: actprobe.Model, text: str | None) -> None:
        with pytest.raises(UsageError, match="classes"):
            read_target(model, text)


class TestExcerpts:
    def sound(self, seconds: float = 4.0) -> Floats:
        return tone(440, seconds)

    def test_a_whole_recording_is_covered_by_excerpts_that_overlap_by_half(
        self, frontend: LogMelFrontEnd
    ) -> None:
        plan = plan_excerpts(frontend, self.sound(), Places(), fill="minimum", name="song")
        steps = np.diff(plan.starts)
        assert plan.starts[0] == 0
        assert 4.0 * RATE - (plan.starts[-1] + frontend.example_samples) < 256
        assert (steps <= frontend.example_samples / 2 + 256).all()
        assert (steps % 256 == 0).all()

    def test_a_time_takes_the_closest_frame_and_a_duration_goes_on_from_there(
        self, frontend: LogMelFrontEnd
    ) -> None:
        one = plan_excerpts(frontend, self.sound(), Places(1.0), fill="minimum")
        assert one.starts.tolist() == [31 * 256]
        longer = plan_excerpts(frontend, self.sound(), Places(1.0, 1.5), fill="minimum")
        assert longer.starts[0] == 31 * 256
        assert abs(longer.starts[-1] + frontend.example_samples - 2.5 * RATE) <= 256

    def test_a_number_of_excerpts_is_spread_evenly(self, frontend: LogMelFrontEnd) -> None:
        one = plan_excerpts(frontend, self.sound(), Places(excerpts=1), fill="minimum")
        middle = (4.0 * RATE - frontend.example_samples) / 2
        assert abs(one.starts[0] - middle) <= 256
        assert len(plan_excerpts(frontend, self.sound(), Places(excerpts=3), fill="minimum")) == 3

    def test_examples_are_those_of_the_sound_that_is_cut(self, frontend: LogMelFrontEnd) -> None:
        excerpts = plan_excerpts(frontend, self.sound(), Places(excerpts=3), fill="minimum").cut()
        for example, sound in zip(excerpts.examples, excerpts.sounds, strict=True):
            np.testing.assert_array_equal(example, frontend.example_of(sound))

    def test_a_recording_shorter_than_an_excerpt_is_padded(self, frontend: LogMelFrontEnd) -> None:
        excerpts = plan_excerpts(frontend, self.sound(0.3), Places(), fill="minimum").cut()
        assert len(excerpts) == 1
        assert excerpts.sounds.shape == (1, frontend.example_samples)
        assert not excerpts.sounds[0, round(0.3 * RATE) :].any()

    def test_a_time_behind_the_end_is_refused(self, frontend: LogMelFrontEnd) -> None:
        with pytest.raises(
            AudioError, match=r"lasts 4.000 s: the last excerpt of 0\.\d+ s begins at 3\.\d+ s"
        ):
            plan_excerpts(frontend, self.sound(), Places(3.9), fill="minimum")

    def test_what_absent_means(self, frontend: LogMelFrontEnd) -> None:
        excerpts = plan_excerpts(frontend, self.sound(), Places(excerpts=2), fill="mean_spectrum").cut()
        background = excerpts.background.reshape(-1, MELS)
        np.testing.assert_allclose(excerpts.fill[1, 7], background.mean(axis=0), rtol=1e-5)
        assert (excerpts.with_fill("minimum").fill == background.min()).all()
        shuffled = excerpts.with_fill("shuffled").fill
        assert all(np.isin(shuffled[..., band], background[:, band]).all() for band in range(MELS))
        assert len(np.unique(shuffled[0, :, 0])) > 1
        with pytest.raises(UsageError, match="does not standardise, so 0 is no mean"):
            excerpts.with_fill("training_mean")
        assert set(FILLS) == {"mean_spectrum", "training_mean", "minimum", "shuffled"}

    def test_0_is_the_training_mean_of_a_front_end_that_standardises(self) -> None:
        svd = actprobe.load_model("svd", checkpoint="svd-open").frontend
        sound = Waveform(tone(440, 2.0), RATE).resample(svd.sample_rate).samples
        assert not plan_excerpts(svd, sound, Places(excerpts=1), fill="training_mean").cut().fill.any()

    @pytest.mark.parametrize("name", ["crepe_tiny", "basic_pitch", "svd"])
    def test_examples_are_those_of_the_front_end_with_zeros_around_the_recording_too(self, name: str) -> None:
        frontend = actprobe.load_model(name).frontend
        sound = Waveform(tone(440, 4.1), RATE).resample(frontend.sample_rate).samples
        plan = plan_excerpts(frontend, sound, Places(), fill="minimum")
        every, starts = frontend.examples(sound), frontend.example_starts(len(sound))
        assert plan.starts[0] == starts[0]
        chosen = every[np.searchsorted(starts, plan.starts)]
        np.testing.assert_allclose(plan.cut().examples, chosen, atol=1e-6)

    def test_a_shuffled_fill_does_not_depend_on_what_is_cut_with_it(self, frontend: LogMelFrontEnd) -> None:
        plan = plan_excerpts(frontend, self.sound(), Places(), fill="shuffled")
        alone = np.concatenate([block.fill for block in plan.blocks(1)])
        np.testing.assert_array_equal(alone, plan.cut().fill)


class TestPassages:
    def test_excerpts_that_overlap_are_one_passage_and_join_to_what_they_were_cut_from(self) -> None:
        frames = np.arange(60.0).reshape(30, 2)
        starts = np.array([0, 5, 20])
        excerpts = np.stack([frames[start : start + 10] for start in starts])
        times = 0.5 * (starts[:, np.newaxis] + np.arange(10))
        first, second = passages_of(times, joining=True)
        np.testing.assert_allclose(first.join(excerpts), frames[:15])
        np.testing.assert_allclose(second.join(excerpts), frames[20:])
        np.testing.assert_allclose(second.times, times[2])

    def test_each_excerpt_is_a_passage_where_values_differ_in_meaning(self) -> None:
        times = np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
        assert [(each.first, each.end) for each in passages_of(times, joining=False)] == [(0, 1), (1, 2)]

    def test_a_long_recording_is_several_passages(self) -> None:
        times = np.arange(100)[:, np.newaxis] + np.linspace(0, 2, 5)
        assert all(each.times[-1] - each.times[0] <= 31 for each in passages_of(times, joining=True))


class TestSounds:
    def test_a_mask_is_the_positive_part_from_0_to_1(self) -> None:
        mask = soft_mask(np.array([[-1.0, 0.0, 0.5, 1.0]], np.float32), FULL_PERCENTILE)
        np.testing.assert_allclose(mask, [[0, 0, 0.5 / 0.995, 1]], atol=1e-3)
        assert not soft_mask(np.full((2, 2), -1, np.float32)).any()

    def test_a_mask_of_ones_gives_the_recording_and_a_band_that_band(self, frontend: LogMelFrontEnd) -> None:
        sound = tone(300, 1.0) + tone(2500, 1.0)
        sound = sound[: frontend.example_samples]
        whole = frontend.masked(np.ones((FRAMES, MELS)), sound)
        inner = slice(512, -512)
        assert np.abs(whole - sound[: len(whole)])[inner].max() < 0.02  # what lies beyond the bank is silent
        low = np.zeros((FRAMES, MELS), np.float32)
        low[:, :6] = 1
        spectrum = np.abs(np.fft.rfft(masked_sound(frontend, low, sound)[inner]))
        hertz = np.fft.rfftfreq(2 * (len(spectrum) - 1), 1 / RATE)
        around = [spectrum[np.abs(hertz - tone_hz) < 50].max() for tone_hz in (300, 2500)]
        assert around[0] > 100 * around[1]

    def test_a_network_of_waveforms_keeps_its_samples(self) -> None:
        frontend = actprobe.load_model("crepe_tiny").frontend
        sound = tone(440, 1024 / RATE)[:1024]
        mask = np.zeros((1024, 1), np.float32)
        mask[300:700] = 1
        masked = masked_sound(frontend, mask, sound)
        np.testing.assert_allclose(masked[400:600], sound[400:600], atol=1e-6)
        assert not masked[:200].any()

    def test_a_mask_of_another_length_is_refused(self, frontend: LogMelFrontEnd) -> None:
        with pytest.raises(UsageError, match="a mask of 3 frames does not fit"):
            frontend.masked(np.ones((3, MELS)), tone(300, 1.0)[: frontend.example_samples])


class TestParts:
    def test_columns_of_a_manifest_name_parts_whose_sum_is_the_recording(self, songs: Path) -> None:
        recording = open_corpus(songs)[0]
        parts = known_parts(recording, RATE)
        assert set(parts) == {"low", "high"}
        np.testing.assert_allclose(parts["low"] + parts["high"], recording.waveform(RATE).samples, atol=1e-6)

    def test_the_phantom_corpus_knows_its_parts(self, tmp_path: Path) -> None:
        manifest = write_phantom(tmp_path, recordings=1, seconds=2.0, stems=True)
        recording = open_corpus(manifest)[0]
        parts = known_parts(recording, 22050)
        assert set(parts) == {"harmonic", "percussive", "voice"}
        total = np.sum(list(parts.values()), axis=0)
        np.testing.assert_allclose(total, recording.waveform(22050).samples, atol=2e-4)

    def test_a_part_of_another_length_is_refused(self, songs: Path, tmp_path: Path) -> None:
        soundfile.write(tmp_path / "short.wav", tone(300, 1.0), RATE)
        manifest = tmp_path / "songs.csv"
        manifest.write_text(
            f"path,stem_low,stem_high\n{songs.parent}/a.wav,short.wav,{songs.parent}/a_high.wav\n"
        )
        with pytest.raises(AudioError, match=r"short.wav: lasts 1.00 s, another part 2.00 s"):
            known_parts(open_corpus(manifest)[0], RATE)


@pytest.fixture(scope="module")
def found(model: actprobe.Model, songs: Path, tmp_path_factory: pytest.TempPathFactory) -> AttributionResult:
    return actprobe.attribute(
        model, songs, target="band", methods=["gradient_x_input", "gradient"], excerpts=2, figures=1,
        output_dir=tmp_path_factory.mktemp("attributed"),
    )  # fmt: skip


class TestDominance:
    def test_a_part_dominates_the_bins_in_which_it_is_louder(self, frontend: LogMelFrontEnd) -> None:
        length = frontend.example_samples
        parts = {"low": tone(300, 1.0, 1)[:length], "high": tone(2500, 1.0, 2)[:length]}
        masks = dominant_part(frontend, parts)
        edges = frontend.band_edges_hz()
        around = [int(np.argmin(np.abs(edges[1:-1] - hertz))) for hertz in (300, 2500)]
        assert masks["low"][5, around[0]]
        assert masks["high"][5, around[1]]
        assert not (masks["low"] & masks["high"]).any()

    def test_faint_bins_are_nobodys(self, frontend: LogMelFrontEnd) -> None:
        time = np.arange(frontend.example_samples) / RATE
        pure = np.sin(2 * np.pi * 300 * time).astype(np.float32)
        masks = dominant_part(frontend, {"one": pure, "two": np.zeros_like(pure)})
        assert masks["one"][5].any()
        assert not masks["one"][5, -1]
        assert not masks["two"].any()

    def test_the_share_counts_positive_values_only(self) -> None:
        values = np.array([[1.0, 3.0], [-5.0, 0.0]], np.float32)
        assert share_of_positive(values, np.array([[True, False], [True, True]])) == 0.25
        assert np.isnan(share_of_positive(-np.abs(values), np.ones((2, 2), np.bool_)))


class TestRun:
    def test_table_and_arrays_say_the_same(self, found: AttributionResult, model: actprobe.Model) -> None:
        arrays = found.arrays
        assert arrays["gradient"].shape == arrays["input"].shape == (4, FRAMES, MELS)
        assert arrays["recordings"].tolist() == ["a.wav", "b.wav"]
        assert arrays["recording"].tolist() == [0, 0, 1, 1]
        assert arrays["times"].shape == (4, FRAMES)
        np.testing.assert_allclose(arrays["bands_hz"], model.frontend.band_edges_hz()[1:-1])
        table = found.table
        assert len(table) == 8
        assert set(table["target"]) == {"classes/linear/0"}
        assert table.groupby("method")["fill"].first().to_dict() == {
            "gradient": "", "gradient_x_input": "mean_spectrum",
        }  # fmt: skip
        outputs = model.activations(arrays["input"], ["classes"])["classes"][:, 0]
        np.testing.assert_allclose(table["output"][::2], outputs, rtol=1e-5)

    def test_a_linear_network_is_attributed_where_it_looks(self, found: AttributionResult) -> None:
        arrays = found.arrays
        outside = np.delete(np.arange(MELS), BAND)
        np.testing.assert_allclose(arrays["gradient"][..., BAND], 0.01, rtol=1e-5)
        assert not arrays["gradient"][..., outside].any()
        assert not arrays["gradient_x_input"][..., outside].any()

    def test_known_parts_have_their_share(self, found: AttributionResult) -> None:
        shares = found.table.set_index("method").loc["gradient", ["share_low", "share_high"]]
        np.testing.assert_allclose(shares.to_numpy(np.float64).sum(axis=1), 1, atol=0.05)

    def test_figures_and_sounds_are_of_the_first_recordings(self, found: AttributionResult) -> None:
        assert len(list((found.folder / "figures").glob("*.png"))) == 2  # two passages of one recording
        names = {path.name.rpartition("s-")[2] for path in (found.folder / "sounds").glob("*.wav")}
        assert names == {"original.wav", "gradient.wav", "gradient_x_input.wav"}
        assert found.plot("b.wav").axes
        with pytest.raises(UsageError, match=r"no recording 'c\.wav' was attributed; there is a\.wav, b"):
            found.plot("c.wav")

    def test_it_is_opened_again_and_what_is_finished_is_not_done_again(
        self, found: AttributionResult, model: actprobe.Model, songs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = (
            (found.folder / "attributions.csv").read_bytes(),
            (found.folder / "attributions.npz").read_bytes(),
        )

        def again(*given: object) -> None:
            raise AssertionError("explained again")

        monkeypatch.setattr(attribution_run, "explain_plan", again)
        actprobe.attribute(
            model, songs, target="band", methods=["gradient_x_input", "gradient"], excerpts=2, figures=0,
            output_dir=found.folder,
        )  # fmt: skip
        after = (
            (found.folder / "attributions.csv").read_bytes(),
            (found.folder / "attributions.npz").read_bytes(),
        )
        assert before == after
        assert isinstance(actprobe.load_run(found.folder), type(found))

    def test_a_bad_recording_costs_only_itself(
        self, model: actprobe.Model, songs: Path, tmp_path: Path
    ) -> None:
        soundfile.write(tmp_path / "silent.wav", np.zeros(2 * RATE), RATE)
        (tmp_path / "broken.wav").write_bytes(b"RIFF")
        corpus = [songs.parent / "a.wav", tmp_path / "silent.wav", tmp_path / "broken.wav"]
        found = actprobe.attribute(
            model,
            corpus,
            target="classes/0",
            methods=["gradient"],
            at=0.5,
            figures=0,
            output_dir=tmp_path / "out",
        )
        assert found.recordings["status"].tolist() == ["ok", "failed", "failed"]
        assert "silent" in found.recordings["reason"][1]
        assert len(found.table) == 1

    def test_a_target_that_does_not_depend_on_the_input_is_said_so(
        self, model: actprobe.Model, songs: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(CorpusError, match=r"gradient 0 everywhere, as if nothing \(classes/linear/1\)"):
            actprobe.attribute(
                model, songs, target="nothing", methods=["gradient"], at=0, figures=0, output_dir=tmp_path
            )

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"methods": ["magic"]}, "there is no method 'magic'; there is gradient, "),
            ({"methods": []}, "name at least one method"),
            ({"fill": "noise"}, "there is no fill 'noise'"),
            ({"at": -1.0}, "at=-1.0: no time"),
            ({"at": 1.0, "excerpts": 2}, "not both"),
            ({"excerpts": 0}, "excerpts=0: at least 1"),
            ({"target": "guitar"}, "target 'guitar'"),
            ({"settings": {"stepps": 5}}, "there is no setting 'stepps'; there is steps, "),
            ({"settings": {"steps": 0}}, "steps=0: a positive number is needed"),
        ],
    )
    def test_what_is_wrong_is_said_in_a_sentence(
        self, model: actprobe.Model, songs: Path, tmp_path: Path, wrong: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(UsageError, match=message):
            actprobe.attribute(model, songs, **{"target": "band", "output_dir": tmp_path, **wrong})


OWN = """
from actprobe.backend import keras
from actprobe.frontends import LogMelFrontEnd

def network():
    layers = keras.layers
    model = keras.Sequential([
        layers.Input((20, 12, 1)), layers.Conv2D(2, 3, name="conv"), layers.GlobalAveragePooling2D(),
        layers.Dense(1, name="out"),
    ])
    return model, LogMelFrontEnd(sample_rate=8000, n_fft=512, hop_length=256, n_mels=12, frames=20, hop=20)
"""


def test_the_binary_takes_a_network_of_the_users_own(songs: Path, binary: Any, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    done = binary(
        "actprobe-attribute", f"--model={tmp_path}/own.py:network", f"--input={songs}", "--at=0.5",
        "--target=conv/1", "--methods=gradient", "--figures=1", f"--output_dir={tmp_path}/out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (
        (tmp_path / "out/attributions.csv").read_text().startswith("recording,start_seconds,target,method,")
    )
    assert "share_high" in (tmp_path / "out/attributions.csv").read_text().splitlines()[0]
    assert done.stdout.splitlines()[-1].startswith(f"{tmp_path}/out: attributions.csv")
