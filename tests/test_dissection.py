"""Network dissection: planted units are found, masks that are often on are not, and masks lie in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import ROOT
from numpy.typing import NDArray
from scipy import sparse

import actprobe
from actprobe.analyses.causal.dissection.concepts import Scene, families_of, find_concepts
from actprobe.analyses.causal.dissection.grid import Grid
from actprobe.analyses.causal.dissection.job import MaskJob
from actprobe.analyses.causal.dissection.masks import RecordingMasks, unit_thresholds
from actprobe.analyses.causal.dissection.overlap import Overlap, overlap, permuted_groups
from actprobe.analyses.causal.dissection.result import DissectionResult
from actprobe.backend import keras, tf
from actprobe.batch.shards import Shard, ShardStore
from actprobe.columns import TABLES
from actprobe.corpora import Recording
from actprobe.errors import CorpusError, UsageError
from actprobe.frontends import LogMelFrontEnd
from actprobe.models.layer_table import Layer

RATE, FRAMES, MELS = 8000, 32, 16
TONE_HZ, BAND_HZ = 1500, (1200, 1900)
TONE, RISE, WILD, QUIET = range(4)

Mask = NDArray[np.bool_]


@pytest.fixture(scope="module")
def frontend() -> LogMelFrontEnd:
    return LogMelFrontEnd(
        sample_rate=RATE, n_fft=512, hop_length=256, n_mels=MELS, frames=FRAMES, hop=FRAMES, log="log10_1p"
    )


# The statistic, on arrays


def recording_masks(
    units: Any, concepts: Any, inside: Any = None, controls: Sequence[Any] = ()
) -> RecordingMasks:
    concepts = np.asarray(concepts, np.bool_)
    within = np.ones(concepts.shape[1], np.bool_) if inside is None else np.asarray(inside, np.bool_)
    matrices = [sparse.csr_array(np.asarray(each, np.float32)) for each in (units, *controls)]
    return RecordingMasks(matrices, concepts, within)


def overlap_of(masks: Sequence[RecordingMasks], permutations: int = 200, seed: int = 0) -> Overlap:
    return overlap(masks.__getitem__, np.arange(len(masks)), permutations, seed)


class TestOverlap:
    def test_intersections_and_unions_are_those_of_all_recordings(self) -> None:
        masks = [
            recording_masks([[1, 1, 0, 0]], [[1, 0, 1, 0]]),  # 1 of 3; with the other's concept 1 of 3
            recording_masks([[0, 0, 0, 1]], [[0, 1, 0, 1]]),  # 1 of 2; 0 of 3
        ]
        found = overlap_of(masks, 20)
        assert found.iou[0, 0] == pytest.approx(2 / 5)
        assert found.share[0] == pytest.approx(4 / 8)
        assert found.iou_max[0, 0] == pytest.approx(3 / 4)
        assert sorted(set(found.permuted[:, 0, 0])) == pytest.approx([1 / 6, 2 / 5])

    def test_controls_are_compared_with_the_same_concepts(self) -> None:
        found = overlap_of([recording_masks([[1, 0]], [[1, 1]], controls=[[[0, 0]], [[1, 1]]])], 0)
        assert found.random[:, 0, 0].tolist() == [0, 1]
        assert np.isnan(found.q).all()

    def test_a_longer_recording_is_cut_and_a_shorter_one_begun_anew(self) -> None:
        short, long = recording_masks([[1, 0]], [[1, 0]]), recording_masks([[0, 1, 1, 0]], [[0, 1, 0, 1]])
        swapped = (0 + 1) / ((1 + 1 - 0) + (2 + 2 - 1))  # 10 with 01, and 0110 with 1010
        assert np.isclose(overlap_of([short, long], 20).permuted[:, 0, 0], swapped).any()

    def test_what_lies_outside_one_of_the_two_recordings_does_not_count(self) -> None:
        ended = recording_masks([[1, 0, 0, 0]], [[0, 1, 0, 0]], inside=[1, 1, 0, 0])
        whole = recording_masks([[1, 1, 1, 1]], [[1, 1, 1, 1]])
        swapped = (1 + 1) / (2 + 2)  # two positions of either pair are common to both
        assert np.isclose(overlap_of([ended, whole], 20).permuted[:, 0, 0], swapped).any()

    def test_a_unit_that_follows_is_found_and_one_that_is_often_on_is_not(self) -> None:
        rng = np.random.default_rng(0)
        masks = []
        for _ in range(12):
            concept = rng.random(200) < 0.4
            follows = concept & (rng.random(200) < 0.3)
            masks.append(recording_masks([follows, rng.random(200) < 0.8, rng.random(200) < 0.1], [concept]))
        found = overlap_of(masks)
        assert found.iou[1, 0] > 0.3 > found.iou[0, 0] > 0.04
        assert found.iou_null[1, 0] > 0.3
        assert found.q[:, 0].round(2).tolist()[0] <= 0.05 < found.q[1:, 0].min()

    def test_a_concept_that_is_the_same_in_all_recordings_is_never_found(self) -> None:
        rng = np.random.default_rng(0)
        concept = np.arange(50) < 20
        found = overlap_of([recording_masks([concept, rng.random(50) < 0.5], [concept]) for _ in range(10)])
        assert found.iou[0, 0] == 1
        assert (found.q[0, 0], found.p[0, 0]) == (1, 1)

    def test_blocks_of_recordings_change_the_null_and_not_the_iou(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rng = np.random.default_rng(0)
        masks = [recording_masks(rng.random((3, 400)) < 0.2, rng.random((2, 400)) < 0.3) for _ in range(30)]
        whole = overlap_of(masks)
        monkeypatch.setattr("actprobe.analyses.causal.dissection.overlap.MOST", 12)
        in_blocks = overlap_of(masks)
        assert np.allclose(whole.iou, in_blocks.iou)
        assert np.allclose(whole.iou_null, in_blocks.iou_null, atol=0.005)

    def test_groups_are_permuted_whole(self) -> None:
        groups = np.array([0, 0, 1, 2, 2, 2])
        for seed in range(5):
            order = permuted_groups(groups, np.random.default_rng(seed))
            assert len(set(groups[order[:2]])) == len(set(groups[order[3:]])) == 1
            assert sorted({groups[order[0]], groups[order[2]], groups[order[3]]}) == [0, 1, 2]
        rng = np.random.default_rng(1)
        masks = [recording_masks(rng.random((1, 50)) < 0.3, rng.random((1, 50)) < 0.3) for _ in range(4)]
        found = overlap(masks.__getitem__, np.array([0, 0, 1, 1]), 50, 0)
        assert len(np.unique(found.permuted)) == 2  # in their groups, or both groups exchanged

    def test_units_are_measured_by_their_own_null(self) -> None:
        rng = np.random.default_rng(0)
        masks = []
        for number in range(12):
            concept = rng.random(400) < (0.2 if number % 2 else 0.7)
            rare = concept & (rng.random(400) < 0.03)  # a low IoU, which hardly changes under permutation
            masks.append(recording_masks([rare, *(rng.random((5, 400)) < rng.random((5, 1)))], [concept]))
        assert overlap_of(masks).q[0, 0] <= 0.05

    def test_random_networks_and_random_labels_are_found_at_the_nominal_rate(self) -> None:
        found = []
        for seed in range(20):
            rng = np.random.default_rng([7, seed])
            weights = rng.standard_normal((6, 8))
            masks = []
            for _ in range(12):
                sound = rng.standard_normal((80, 6)).cumsum(axis=0)  # moves slowly, as sound does
                maps = np.maximum(sound @ weights, 0)
                starts = rng.integers(0, 60, 2)
                label = np.any([(np.arange(80) >= s) & (np.arange(80) < s + 20) for s in starts], axis=0)
                masks.append((maps, label))
            thresholds = np.quantile(np.concatenate([maps for maps, _ in masks]), 0.9, axis=0)
            q = overlap_of([recording_masks((m > thresholds).T, [label]) for m, label in masks], seed=seed).q
            found.append(bool((q <= 0.05).any()))
        assert sum(found) <= 3  # 1 is expected; more than 3 in 20 has a chance of 1.6 %


class TestThresholds:
    def test_they_are_quantiles_of_the_corpus(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        store = ShardStore(tmp_path, "a")
        recordings, values = [], []
        for number, length in enumerate((50, 150, 300)):
            recording = Recording(f"{number}.wav", tmp_path / f"{number}.wav")
            recording.path.write_bytes(bytes([number]) * 9)
            values.append(rng.standard_normal((length, 3)).astype(np.float32))
            store.save(recording, Shard({}, {"conv1/linear/sample/0": values[-1]}))
            recordings.append(recording)
        found = unit_thresholds(store, recordings, ["conv1/linear"], 1, 0.02)["conv1/linear"][0]
        together = np.concatenate(values)
        assert ((together > found).sum(axis=0) == 10).all()
        with pytest.raises(UsageError, match="of the 500 positions of conv1/linear is less than one"):
            unit_thresholds(store, recordings, ["conv1/linear"], 1, 0.001)


# Places


def map_layer(shape: tuple[int, int, int], hop: float, first: float, hop_hz: tuple[float, float]) -> Layer:
    return Layer("conv", "conv", shape, hop, first, 0.1, hop_hz, (0, 0), "conv", first_hz=float("nan"))


class TestGrid:
    def test_a_position_has_what_covers_half_of_its_cell(self, frontend: LogMelFrontEnd) -> None:
        centres = frontend.band_edges_hz()[1:-1]
        steps = centres[2:] - centres[:-2]
        step = 256 / RATE
        layer = map_layer((8, 8, 1), 4 * step, 1.5 * step, (float(steps.min()), float(steps.max())))
        grid = Grid.of(layer, frontend)
        mask = np.zeros((1, FRAMES, MELS), np.bool_)
        mask[0, 4:8, 2:4] = True  # the whole cell of position 1, 1
        mask[0, 8:9, 2:4] = True  # a quarter of the next
        mask[0, 12:14, 2:4] = True  # half of the one after
        covered = grid.covered(mask)[0]
        assert np.argwhere(covered).tolist() == [[1, 1], [3, 1]]
        over_time = grid.covered(mask.any(axis=2))[0]
        assert np.flatnonzero(over_time.all(axis=1)).tolist() == [1, 3]
        assert grid.on_example(covered)[4:8, 2:4].all()
        assert grid.on_example(covered).sum() == 16

    @pytest.mark.parametrize("pooled", [1, 2, 3])
    def test_a_click_and_a_tone_lie_where_the_map_is_highest(
        self, frontend: LogMelFrontEnd, pooled: int
    ) -> None:
        network = keras.Sequential(
            [
                keras.layers.Input((FRAMES, MELS, 1)),
                keras.layers.Conv2D(1, 3, name="conv"),
                keras.layers.MaxPooling2D(pooled, name="pool"),
            ]
        )
        kernel = np.zeros((3, 3, 1, 1), np.float32)
        kernel[1, 1] = 1
        network.get_layer("conv").set_weights([kernel, np.zeros(1, np.float32)])
        model = actprobe.wrap_model(network, frontend)
        layer = model.layers["pool"]
        grid = Grid.of(layer, frontend)
        click_seconds, samples = 0.53, np.zeros(frontend.example_samples, np.float32)
        samples[round(click_seconds * RATE)] = 1
        samples += 0.1 * np.sin(2 * np.pi * TONE_HZ * np.arange(len(samples)) / RATE).astype(np.float32)
        heights = model.activations(frontend(samples, RATE)[:1], ["pool"])["pool"][0, :, :, 0]
        loudest = heights[:, -1].argmax()  # of the highest band, where the click is and the tone is not
        assert abs(grid.times[loudest] - click_seconds) <= layer.hop_seconds / 2 + 256 / RATE
        row = heights.mean(axis=0).argmax()
        bands = np.flatnonzero(grid.along_mel[row])
        edges = frontend.band_edges_hz()
        assert edges[bands[0]] <= TONE_HZ <= edges[bands[-1] + 2]

    def test_what_follows_the_end_of_a_recording_is_outside(self, frontend: LogMelFrontEnd) -> None:
        grid = Grid.of(map_layer((FRAMES, 1, 1), 256 / RATE, 0, (4000, 4000)), frontend)
        inside = grid.inside(np.array([0, -256]), 10 * 256, RATE)
        assert inside[0].sum() == 10
        assert inside[1].tolist()[:2] == [False, True]


# Concepts


def scene_of(frontend: LogMelFrontEnd, path: Path, samples: NDArray[np.float32]) -> Scene:
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    starts = np.arange(len(samples) // frontend.example_samples) * frontend.example_samples
    return Scene(Recording(path.name, path), frontend, samples, starts.astype(np.int64), {})


class TestConcepts:
    def test_each_lies_where_it_sounds(self, frontend: LogMelFrontEnd, tmp_path: Path) -> None:
        seconds = np.arange(4 * RATE) / RATE
        sounding = (seconds >= 2) & (seconds < 3.5)
        tone = np.where(sounding, 0.3 * np.sin(2 * np.pi * 440 * seconds), 0)
        noise = np.random.default_rng(0).standard_normal(len(seconds)) * 1e-5
        folder = tmp_path / "away" / "from other labels"  # which are looked for two folders up
        folder.mkdir(parents=True)
        scene = scene_of(frontend, folder / "a.wav", (tone + noise).astype(np.float32))
        found, failed = find_concepts(scene, families_of(None, frontend, []))
        assert not failed
        middle = (scene.times > 2.2) & (scene.times < 3.3)
        before = (scene.times > 0.2) & (scene.times < 1.8)
        assert found["pitch_class_A"][middle].mean() > 0.95
        assert found["silence"][before].all()
        assert not found["silence"][middle].any()
        near = found["onsets"] & (np.abs(scene.times - 2) < 0.15)
        assert near.any()
        octave = found["band_250_500"]
        assert octave[middle].any(axis=1).all()
        assert (
            np.unique(np.nonzero(octave)[2]).tolist()
            == np.flatnonzero((scene.bands_hz >= 250) & (scene.bands_hz < 500)).tolist()
        )
        tonal = np.abs(scene.bands_hz - 440).argmin()
        assert found["harmonic"][middle][:, tonal].mean() > 0.9
        assert "voice" not in found
        assert not [name for name in found if name.startswith("part_")]

    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("timbre", "there is no concept 'timbre'; there is part_NAME, voice, onsets"),
            ("label=chorus", "no label track has 'label=chorus'; there is label=verse"),
            ("band_9000_9500", "no band of the front end has its centre from 9000 to 9500 Hz"),
        ],
    )
    def test_a_name_that_is_none_is_refused(self, frontend: LogMelFrontEnd, name: str, said: str) -> None:
        with pytest.raises(UsageError, match=said):
            families_of([name], frontend, ["label=verse"])

    def test_without_spectra_there_is_no_dominance(self) -> None:
        samples = actprobe.frontends.WaveformFrontEnd(RATE, samples=4000)
        assert not {"part_NAME", "harmonic, percussive", "band_LOW_HIGH"} & set(
            families_of(None, samples, [])
        )
        with pytest.raises(UsageError, match="harmonic needs spectra"):
            families_of(["harmonic"], samples, [])


# Whole runs


def on_band(x: Any) -> Any:
    edges = np.linspace(0, 1, MELS, endpoint=False)
    return x * tf.constant(((edges >= 0.45) & (edges < 0.65)).astype(np.float32)[:, np.newaxis])


def rise(x: Any) -> Any:
    mean = tf.reduce_mean(x, axis=2, keepdims=True)
    before = tf.pad(mean, [[0, 0], [1, 0], [0, 0], [0, 0]])[:, :-1]
    return tf.nn.relu(mean - before) * tf.ones_like(x)


def wild(x: Any) -> Any:
    return tf.sin(997.0 * x)


def nan_where_loud(x: Any) -> Any:
    return x / tf.cast(tf.reduce_max(x) < 6, tf.float32) * 1e-6


@pytest.fixture(scope="module")
def model(frontend: LogMelFrontEnd) -> actprobe.Model:
    image = keras.Input((FRAMES, MELS, 1), name="sound")
    kinds = (on_band, rise, wild, nan_where_loud)
    channels = [keras.layers.Activation(kind, name=kind.__name__)(image) for kind in kinds]
    both = keras.layers.Concatenate(name="planted")(channels)
    pooled = keras.layers.MaxPooling2D((1, 2), name="pooled")(both)
    classes = keras.layers.Dense(2, name="classes")(keras.layers.GlobalAveragePooling2D(name="mean")(pooled))
    return actprobe.wrap_model(keras.Model(image, classes), frontend)


def write_song(folder: Path, number: int) -> None:
    """Tone bursts, the voice, over a bed of noise with clicks."""
    rng = np.random.default_rng(number)
    seconds = np.arange(4 * RATE) / RATE
    voice, rest = np.zeros(len(seconds)), 1e-3 * rng.standard_normal(len(seconds))
    rows: list[tuple[Any, ...]] = []
    for start in rng.choice(np.arange(1, 18), 4, replace=False) * 0.2 + rng.uniform(0, 0.1, 4):
        during = (seconds >= start) & (seconds < start + 0.15)
        voice[during] = 0.3 * np.sin(2 * np.pi * TONE_HZ * seconds[during])
        rows.append((start, start + 0.15, "tone", *BAND_HZ))
    for start in rng.choice(np.arange(1, 18), 4, replace=False) * 0.2 + rng.uniform(0.1, 0.2, 4):
        rest[round(start * RATE) : round(start * RATE) + 8] = 0.9
        rows.append((start - 0.032, start + 0.032, "click", "", ""))
    for name, samples in {"voice": voice, "rest": rest, "song": voice + rest}.items():
        soundfile.write(folder / f"{name}{number}.wav", samples, RATE, subtype="FLOAT")
    header = ["start", "end", "label", "low_hz", "high_hz"]
    pd.DataFrame(rows, columns=header).to_csv(folder / f"song{number}.csv", index=False)


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    numbers = range(10)
    for number in numbers:
        write_song(folder, number)
    manifest = pd.DataFrame(
        {"path": f"song{n}.wav", "stem_voice": f"voice{n}.wav", "stem_rest": f"rest{n}.wav",
         "label_track": f"song{n}.csv"} for n in numbers
    )  # fmt: skip
    manifest.to_csv(folder / "corpus.csv", index=False)
    return folder


def dissect(model: Any, corpus: Any, folder: Path, **given: Any) -> DissectionResult:
    options: dict[str, Any] = {
        "layers": ["pooled"],
        "excerpts": 4,
        "quantile": 0.02,
        "permutations": 200,
        "executor": "local:1",
    }
    return actprobe.dissect(model, corpus, **{**options, **given}, output_dir=folder)


@pytest.fixture(scope="module")
def found(model: actprobe.Model, songs: Path, tmp_path_factory: pytest.TempPathFactory) -> DissectionResult:
    return dissect(model, songs / "corpus.csv", tmp_path_factory.mktemp("dissected"))


def row_of(found: DissectionResult, unit: int, concept: str) -> Any:
    table = found.table
    return table[(table["unit"] == unit) & (table["concept"] == concept)].iloc[0]


class TestRuns:
    @pytest.mark.parametrize(
        ("unit", "concept"),
        [
            (TONE, "label=tone"), (TONE, "part_voice"), (TONE, "band_1000_2000"), (RISE, "label=click"),
            (RISE, "onsets"),
        ],
    )  # fmt: skip
    def test_planted_units_are_detectors(self, found: DissectionResult, unit: int, concept: str) -> None:
        row = row_of(found, unit, concept)
        assert row["iou"] > 1.5 * row["iou_null"]
        assert row["q"] <= 0.05
        assert row["detector"]
        assert row["iou"] <= row["iou_max"]

    def test_noise_detects_nothing_and_neither_does_the_wrong_unit(self, found: DissectionResult) -> None:
        assert not found.table[found.table["unit"] == WILD]["detector"].any()
        assert not row_of(found, RISE, "label=tone")["detector"]

    def test_a_mask_that_is_often_on_has_a_high_iou_and_is_no_detector(
        self, model: actprobe.Model, songs: Path, tmp_path: Path
    ) -> None:
        concepts = ["part_voice", "part_rest", "band_1000_2000", "label=click"]
        found = dissect(
            model, songs / "corpus.csv", tmp_path, quantile=0.7, concepts=concepts, random_seeds=0
        )  # fmt: skip
        noise = found.table[found.table["unit"] == WILD]
        assert (noise["iou"] > 0.04).sum() >= 3
        assert not noise["detector"].any()
        counts = found.concepts.set_index("concept").loc["part_rest"]
        assert counts["above_iou"] > counts["detectors"]

    def test_tables_figures_and_the_run_opens_again(self, found: DissectionResult) -> None:
        assert list(found.table) == list(TABLES["dissection.csv"])
        assert list(found.concepts) == list(TABLES["dissection_concepts.csv"])
        assert (found.folder / "figures/detectors.pdf").is_file()
        again = actprobe.load_run(found.folder)
        assert isinstance(again, DissectionResult)
        assert again.plot().axes
        assert len(again.plot("pooled/0").axes) == 2
        shown = next(each for each in again.examples if each.unit == TONE)
        assert (shown.unit_mask & shown.concept_mask).any()
        assert "pooled: " in again.summary
        with pytest.raises(UsageError, match="pooled has units 0 to 3"):
            again.plot("pooled/9")

    def test_a_killed_run_goes_on(
        self, model: actprobe.Model, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        corpus = [songs / f"song{number}.wav" for number in range(6)]
        given: dict[str, Any] = {"concepts": ["band_1000_2000"], "permutations": 20, "random_seeds": 0}
        whole = dissect(model, corpus, tmp_path / "whole", **given)
        work, worked = MaskJob.work, []

        def until_killed(self: MaskJob, *given: Any) -> Any:
            worked.append(1)
            if len(worked) > 2:
                raise KeyboardInterrupt
            return work(self, *given)

        monkeypatch.setattr(MaskJob, "work", until_killed)
        with pytest.raises(KeyboardInterrupt):
            dissect(model, corpus, tmp_path / "killed", **given)
        monkeypatch.setattr(MaskJob, "work", counted := Counting(work))
        again = dissect(model, corpus, tmp_path / "killed", **given)
        assert counted.calls == 4
        assert (again.folder / again.TABLE).read_bytes() == (whole.folder / whole.TABLE).read_bytes()

    def test_bad_recordings_and_label_files_cost_only_themselves(
        self, model: actprobe.Model, songs: Path, tmp_path: Path
    ) -> None:
        labels = tmp_path / "labels"
        labels.mkdir()
        bad = {
            "song0": "start,end,label\n0,1,a\n2,x,a\n", "song1": "start,end,label\n2,1,a\n",
            "song2": "start,end,label,low_hz,high_hz\n0,1,a,500,200\n", "song3": "onset,name\n0,a\n",
        }  # fmt: skip
        for name, text in bad.items():
            (labels / f"{name}.csv").write_text(text)
        for number in (4, 5, 6, 7):
            (labels / f"song{number}.csv").write_text("start,end,label\n0,1,a\n")
        loud = tmp_path / "song7.wav"
        soundfile.write(loud, 8 * soundfile.read(songs / "song7.wav")[0], RATE, subtype="FLOAT")
        corpus = [songs / f"song{number}.wav" for number in (0, 1, 2, 3, 4, 5, 6)]
        found = dissect(
            model, [*corpus, loud, songs / "gone.wav"], tmp_path / "out", concepts=["label=a"],
            label_tracks=labels, permutations=20, random_seeds=0,
        )  # fmt: skip
        failed = found.recordings[found.recordings["status"] == "failed"].set_index("path")["reason"]
        reasons = {Path(str(path)).stem: reason for path, reason in failed.items()}
        assert reasons["song0"].endswith("song0.csv: line 3: 'x' is no time in seconds")
        assert reasons["song1"].endswith("song1.csv: line 2 ends before it starts")
        assert reasons["song2"].endswith("song2.csv: line 2: low_hz '500' to high_hz '200' is no band in Hz")
        assert "song3.csv: line 1: ['onset', 'name'] is not" in reasons["song3"]
        assert reasons["song7"] == "pooled is NaN or infinite for it"
        assert set(found.table["n"]) == {3}
        assert np.isnan(found.table["random_weights"]).all()

    def test_what_lies_beyond_the_end_of_a_short_recording_does_not_count(
        self, model: actprobe.Model, songs: Path, tmp_path: Path
    ) -> None:
        half = soundfile.read(songs / "song0.wav")[0][: RATE // 2]
        soundfile.write(tmp_path / "half.wav", half, RATE, subtype="FLOAT")
        (tmp_path / "half.csv").write_text("start,end,label\n0,9,all\n")
        given: dict[str, Any] = {
            "concepts": ["label=all"], "label_tracks": tmp_path, "quantile": 0.7, "permutations": 0,
            "random_seeds": 0,
        }  # fmt: skip
        found = dissect(model, tmp_path / "half.wav", tmp_path / "out", **given)
        assert found.concepts["share"].tolist() == [1]
        assert row_of(found, WILD, "label=all")["iou"] == int(0.7 * 16 * MELS / 2) / (16 * MELS / 2)
        assert found.recordings["examples"].tolist() == [1]
        (tmp_path / "half.csv").write_text("start,end,label\n0,0.25,all\n")
        changed = dissect(model, tmp_path / "half.wav", tmp_path / "out", **given)
        assert changed.concepts["share"].tolist() == [0.5]

    def test_a_concept_that_is_named_and_nowhere_to_be_had_is_an_error(
        self, model: actprobe.Model, songs: Path, tmp_path: Path
    ) -> None:
        with pytest.raises(CorpusError, match="no usable recording has the concept voice"):
            dissect(model, [songs / "song0.wav"], tmp_path, concepts=["voice"])
        (tmp_path / "song0.csv").write_text("start,end,label\n90,91,coda\n")
        with pytest.raises(CorpusError, match="no concept covers a position of pooled: label=coda"):
            dissect(
                model, [songs / "song0.wav"], tmp_path, concepts=["label=coda"], label_tracks=tmp_path,
                random_seeds=0,
            )  # fmt: skip

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ({"layers": ["classes"]}, "classes cannot be dissected: it has one value an example"),
            ({"layers": ["conv9"]}, "has no layer 'conv9'"),
            ({"quantile": 1.5}, "quantile=1.5: a share of the positions"),
            ({"excerpts": 0}, "excerpts=0: a number, at least 1"),
            ({"iou_threshold": -1}, "iou_threshold=-1: from 0 to below 1"),
            ({"concepts": "voice"}, "concepts='voice': give a list"),
            ({"label_tracks": "gone"}, "gone: neither a folder nor a column"),
            ({"executor": "cluster"}, "executor 'cluster' is none of"),
        ],
    )
    def test_what_is_wrong_is_said_before_the_network_is_opened(
        self, model: actprobe.Model, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        given: dict[str, Any], said: str,
    ) -> None:  # fmt: skip
        monkeypatch.setattr(type(model), "open", lambda self: pytest.fail("opened"))
        with pytest.raises(UsageError, match=said):
            dissect(model, songs / "song0.wav", tmp_path, **given)

    def test_stored_activations_do_with_their_examples(
        self, model: actprobe.Model, songs: Path, tmp_path: Path
    ) -> None:
        corpus = songs / "corpus.csv"
        actprobe.activations(model, corpus, layers=["pooled"], output_dir=tmp_path / "stored")
        stored = actprobe.open_activations(tmp_path / "stored")
        given: dict[str, Any] = {"concepts": ["band_1000_2000"], "permutations": 100}
        found = dissect(stored, corpus, tmp_path / "out", **given)
        assert found.table["iou"].idxmax() == TONE
        assert found.table["random_weights"].isna().all()

    def test_binary(self, binary: Callable[..., Any], songs: Path, tmp_path: Path) -> None:
        done = binary(
            "actprobe-dissect", f"--model={ROOT / 'tests/own_networks.py'}:keras2", "--layers=relu1",
            f"--input={songs / 'song0.wav'}", "--concepts=onsets", "--permutations=5", "--excerpts=2",
            "--executor=local:1", f"--output_dir={tmp_path}",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "relu1: " in done.stdout
        assert (tmp_path / "run.json").is_file()


class Counting:
    """Counts how often a method is called."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method, self.calls = method, 0

    def __get__(self, instance: Any, owner: Any) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            self.calls += 1
            return self.method(instance, *given)

        return call
