"""Inverters judged: draws of a corpus, one pass over them, tables, files; the binaries from end to end."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from actprobe import backend, evaluate_inverters, wrap_model
from actprobe.analyses.inversion.evaluation.excerpts import SampledExcerpts, sample_corpus
from actprobe.analyses.inversion.evaluation.figures import nre_figure
from actprobe.analyses.inversion.evaluation.measures import DETAIL_COLUMNS, NRE_COLUMNS, evaluation_tables
from actprobe.analyses.inversion.evaluation.nre import nre
from actprobe.analyses.inversion.evaluation.scores import COLUMNS, Inversion, Scores, score_inversions
from actprobe.analyses.inversion.figures import inversion_figure
from actprobe.analyses.inversion.inverting.inverted import invert_span
from actprobe.analyses.inversion.inverting.methods import open_methods
from actprobe.analyses.inversion.inverting.sounds import save_sounds
from actprobe.analyses.inversion.inverting.spans import cut_span
from actprobe.analyses.inversion.networks.arrays import get_arrays
from actprobe.analyses.inversion.networks.inverter import load_inverter
from actprobe.analyses.inversion.networks.inverter_file import Origin, save_inverter
from actprobe.analyses.inversion.networks.sources import (
    find_sources,
    invertible_layers,
    open_sources,
    recorded,
)
from actprobe.analyses.inversion.pictures import Pictures
from actprobe.audio import Waveform, load_audio
from actprobe.batch.ledger import LedgerRow
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_corpus import open_labelled
from actprobe.errors import AudioError, CorpusError, UsageError
from actprobe.frontends import MelgramFrontEnd, SvdFrontEnd, VggishFrontEnd
from actprobe.models import load_model
from actprobe.plotting import save_figure

RATE = 22050


def song(seconds: float, seed: int) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * hertz * time) for hertz in rng.uniform(100, 2000, 3))
    values: NDArray[Any] = (
        0.1 * tones * np.exp(-3 * (time % 0.3)) + 0.01 * rng.standard_normal(len(time))
    ).astype(np.float32)
    return values


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five labelled songs, one of them too short, one broken, one silent."""
    where = tmp_path_factory.mktemp("songs")
    for i, seconds in enumerate((2.5, 2.2, 1.9, 1.2)):
        soundfile.write(where / f"song{i}.wav", song(seconds, i), RATE)
        (where / f"song{i}.lab").write_text("0 1.0 sing\n1.0 9 nosing\n")
    (where / "song4.wav").write_bytes(b"RIFF")
    (where / "song4.lab").write_text("0 1 sing\n")
    return where


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model("svd", seed=1)


@pytest.fixture(scope="module")
def sampled(folder: Path) -> SampledExcerpts:
    corpus = open_labelled(folder, "optional")
    return sample_corpus(SvdFrontEnd(), corpus.recordings, draws=3, per_recording=4, seed=2)


def write_inverters(model: Any, where: Path, layers: Any, seed: int = 0) -> Path:
    where.mkdir(parents=True, exist_ok=True)
    for layer in layers:
        inverter = load_inverter(model, layer, seed=seed)
        arrays = get_arrays(inverter.keras_model, inverter.plan)
        save_inverter(where / f"{model.name}-inverter-{layer}.npz", arrays, Origin(model.name, layer))
    return where


# Excerpts


def test_excerpts_are_those_of_the_recordings_and_bad_recordings_are_listed(
    sampled: SampledExcerpts, folder: Path
) -> None:
    assert [row.path for row in sampled.ledger] == [f"song{i}.wav" for i in range(5)]
    assert "less than an excerpt of 1.675 s" in sampled.ledger[3].reason
    assert sampled.ledger[4].reason
    assert all(not row.reason for row in sampled.ledger[:3])
    assert [len(each) for each in sampled.draws] == [12, 12, 12]
    assert len(sampled.excerpts) == sum(row.examples or 0 for row in sampled.ledger[:3])
    for i in (0, len(sampled.excerpts) // 2, -1):
        samples, _ = soundfile.read(folder / f"song{sampled.owners[i]}.wav", dtype="float32")
        first = round(sampled.starts_seconds[i] * RATE)
        assert first % 315 == 0
        frames = SvdFrontEnd().frames(samples[first : first + SvdFrontEnd.example_samples])
        assert np.allclose(sampled.excerpts[i], frames, atol=1e-5)


def test_class_is_the_label_at_the_centre_of_the_excerpt(sampled: SampledExcerpts) -> None:
    centres = sampled.starts_seconds + (57 * 315 + 512) / RATE
    assert np.array_equal(sampled.sung == 1, centres < 1.0)
    assert {0, 1} == set(sampled.sung.tolist())


def test_what_is_drawn_of_a_recording_does_not_depend_on_the_others(
    folder: Path, sampled: SampledExcerpts
) -> None:
    recordings = open_labelled(folder, "optional").recordings
    broken = [LabelledRecording("gone", folder / "gone.wav", np.zeros((0, 2))), *recordings[1:]]
    other = sample_corpus(SvdFrontEnd(), broken, draws=3, per_recording=4, seed=2)
    mine, theirs = sampled.starts_seconds[sampled.owners == 2], other.starts_seconds[other.owners == 2]
    assert np.array_equal(mine, theirs)
    assert other.ledger[0].reason


def test_excerpts_on_disk_are_those_in_memory(folder: Path, sampled: SampledExcerpts, tmp_path: Path) -> None:
    recordings = open_labelled(folder, "optional").recordings
    seen: list[LedgerRow] = []
    kept = sample_corpus(
        SvdFrontEnd(), recordings, draws=3, per_recording=4, seed=2, folder=tmp_path, keep_ledger=seen.extend
    )
    assert isinstance(kept.excerpts, np.memmap)
    assert np.array_equal(kept.excerpts, sampled.excerpts)
    assert len(seen) == 5


def test_short_recordings_can_be_lengthened(folder: Path) -> None:
    recordings = open_labelled(folder, "optional").recordings
    padded = sample_corpus(SvdFrontEnd(), recordings, draws=1, short="pad")
    assert padded.ledger[3].examples == 1


def test_corpus_without_labels_or_without_recordings(folder: Path, tmp_path: Path) -> None:
    tmp_path = tmp_path / "far/from"  # the labels of other tests, which are looked for beside it
    tmp_path.mkdir(parents=True)
    soundfile.write(tmp_path / "a.wav", song(2, 0), RATE)
    corpus = open_labelled(tmp_path, "optional")
    assert not corpus.known
    found = sample_corpus(SvdFrontEnd(), corpus.recordings, draws=1)
    assert set(found.sung.tolist()) == {-1}
    voiceless = open_labelled(f"voiceless:{tmp_path}", "optional")
    assert voiceless.known
    assert set(sample_corpus(SvdFrontEnd(), voiceless.recordings, draws=1).sung.tolist()) == {0}
    with pytest.raises(CorpusError, match=r"too few for an NRE; the first: song3.wav: lasts 1.200 s"):
        sample_corpus(SvdFrontEnd(), open_labelled(folder, "optional").recordings[3:])
    with pytest.raises(CorpusError):
        open_labelled(f"folder:{tmp_path / 'nowhere'}", "optional")
    with pytest.raises(CorpusError, match="holds no recordings for valid"):
        open_labelled(f"voiceless/valid:{tmp_path}", "optional")
    with pytest.raises(UsageError, match="no corpus is called 'irmes'"):
        open_labelled(f"irmes:{tmp_path}", "optional")


# The pass


@pytest.fixture(scope="module")
def scored(model: Any, sampled: SampledExcerpts) -> tuple[list[Any], Any]:
    """Two inverters of mp6, one of fc8, and the excerpts themselves as an inversion."""
    inversions = [
        Inversion("one", "mp6", load_inverter(model, "mp6", seed=0)),
        Inversion("other", "mp6", load_inverter(model, "mp6", seed=9)),
        Inversion("one", "fc8", load_inverter(model, "fc8", seed=0)),
        Inversion("perfect", "", lambda excerpts: excerpts),
    ]
    return inversions, score_inversions(
        model, sampled.excerpts, inversions, comparator="conv5", batch_size=8, seed=0
    )


def test_numbers_of_the_pass_are_those_of_networks_called_one_by_one(
    model: Any, sampled: SampledExcerpts, scored: tuple[list[Any], Any]
) -> None:
    inversions, scores = scored
    x = np.asarray(sampled.excerpts)
    features = model.activations(x, ["mp6", "conv5", "fc9"])
    inverted = inversions[1].invert(features["mp6"])
    again = model.activations(inverted, ["mp6", "conv5", "fc9"])

    def distances(one: Any, other: Any) -> Any:
        return np.linalg.norm((one - other).reshape(len(one), -1).astype(np.float64), axis=1)

    found = scores[1]
    assert found.error == pytest.approx(distances(x, inverted), rel=1e-4)
    assert found.layer_error == pytest.approx(distances(features["mp6"], again["mp6"]), rel=1e-3)
    assert found.comparator_error == pytest.approx(distances(features["conv5"], again["conv5"]), rel=1e-3)
    assert found.output_original == pytest.approx(features["fc9"][:, 0], abs=1e-5)
    assert found.output_inverted == pytest.approx(again["fc9"][:, 0], abs=1e-5)
    assert np.isnan(found.correlation).all()
    perfect = scores[3]
    assert perfect.error.max() == 0
    assert np.array_equal(perfect.output_original, perfect.output_inverted)
    between = pdist(features["conv5"].reshape(len(x), -1).astype(np.float64)).mean()
    assert perfect.comparator_pairs.mean() == pytest.approx(between, rel=0.15)  # estimated within batches


def test_pass_goes_on_from_its_shards_and_mends_a_broken_one(
    model: Any, sampled: SampledExcerpts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actprobe.analyses.inversion.evaluation.scores.EXCERPTS_IN_SHARD", 10)
    asked = []

    def invert(features: Any) -> Any:
        asked.append(len(features))
        if len(asked) == 3 and len(sampled.excerpts) > 20:
            raise KeyboardInterrupt
        return np.zeros((len(features), 115, 80), np.float32)

    def run(identity: str = "a") -> Any:
        inversion = Inversion("zero", "fc8", invert, identity)
        return score_inversions(model, sampled.excerpts, [inversion], batch_size=10, folder=tmp_path)[0]

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(list(tmp_path.glob("*.npz"))) == 2
    asked[:] = [0] * 10
    resumed = run()
    assert sum(asked) == len(sampled.excerpts) - 20
    shard = sorted(tmp_path.glob("*.npz"))[0]
    shard.write_bytes(shard.read_bytes()[:100])
    asked[:] = [0] * 10
    mended = run()
    assert sum(asked) == 10
    assert np.array_equal(mended.error, resumed.error)
    assert not np.isnan(mended.error).any()
    asked[:] = [0] * 10
    run("another inverter")
    assert sum(asked) == len(sampled.excerpts)


def test_inversions_of_another_shape_or_not_finite_are_refused(model: Any, sampled: SampledExcerpts) -> None:
    for bad, said in ((np.nan, "not finite"), (0.0, "differ in shape")):
        shape = (115, 80) if np.isnan(bad) else (114, 80)

        def invert(features: Any, shape: tuple[int, int] = shape, bad: float = bad) -> Any:
            return np.full((len(features), *shape), bad, np.float32)

        inversion = Inversion("bad", "fc8", invert)
        with pytest.raises(UsageError, match=said):
            score_inversions(model, sampled.excerpts[:3], [inversion])
    with pytest.raises(UsageError, match="no inversion"):
        score_inversions(model, sampled.excerpts, [])


def test_networks_with_many_outputs_are_judged_by_their_correlation() -> None:
    layers = backend.keras.layers
    backend.keras.utils.set_random_seed(0)
    given = layers.Input((10, 6, 1))
    told = layers.Dense(7, "softmax", name="tags")(layers.Flatten()(layers.Conv2D(2, 3, name="maps")(given)))
    wrapped = wrap_model(backend.keras.Model(given, told), name="tags")
    assert wrapped.output_layer == "tags"
    x = np.random.default_rng(0).standard_normal((5, 10, 6)).astype(np.float32)
    inversions = [
        Inversion("same", "", lambda excerpts: excerpts),
        Inversion("noise", "", lambda excerpts: excerpts[::-1].copy()),
    ]
    same, noise = score_inversions(wrapped, x, inversions)
    assert same.correlation == pytest.approx(np.ones(5), abs=1e-5)
    before, after = (wrapped.activations(each, ["tags"])["tags"] for each in (x, x[::-1].copy()))
    order = np.random.default_rng([0, 5]).permutation(5)
    before, after = before[order], wrapped.activations(x[order][::-1].copy(), ["tags"])["tags"]
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(before, after, strict=True)]
    assert noise.correlation[order] == pytest.approx(np.array(expected), abs=1e-5)
    assert np.isnan(same.output_original).all()


# Tables


@pytest.fixture(scope="module")
def tables(sampled: SampledExcerpts, scored: tuple[list[Any], Any]) -> Any:
    return evaluation_tables("svd", "songs", sampled, scored[1], threshold=0.5, resamples=300)


def value(detail: pd.DataFrame, **which: Any) -> Any:
    which = {"against": "", "class": "all"} | which
    rows = detail[np.logical_and.reduce([detail[name] == wanted for name, wanted in which.items()])]
    assert len(rows) == 1
    return rows.iloc[0]


def test_nre_csv_is_the_published_figure(
    tables: Any, sampled: SampledExcerpts, scored: tuple[list[Any], Any]
) -> None:
    table, detail = tables
    assert tuple(table.columns) == NRE_COLUMNS
    assert tuple(detail.columns) == DETAIL_COLUMNS
    assert table[["method", "layer"]].to_numpy().tolist() == [
        ["one", "mp6"],
        ["other", "mp6"],
        ["one", "fc8"],
    ]
    inversion = scored[0][1]
    by_draw = []
    for rows in sampled.draws:
        x = np.asarray(sampled.excerpts[rows])
        model_features = load_model("svd", seed=1).activations(x, ["mp6"])["mp6"]
        by_draw.append(nre(x, inversion.invert(model_features)))
    row = table[(table.method == "other") & (table.layer == "mp6")].iloc[0]
    assert row.nre == pytest.approx(np.mean(by_draw), rel=1e-5)
    assert row.nre_std == pytest.approx(np.std(by_draw, ddof=1), rel=1e-3)
    assert (row.draws, row.excerpts) == (3, 12)
    assert value(detail, method="other", layer="mp6", measure="nre")["value"] == pytest.approx(row.nre)


def test_classes_share_one_normaliser_and_so_average_to_the_whole(
    tables: Any, sampled: SampledExcerpts
) -> None:
    detail = tables[1]
    whole = value(detail, method="one", layer="fc8", measure="nre")
    parts = {
        name: value(detail, method="one", layer="fc8", measure="nre", **{"class": name})
        for name in ("vocal", "nonvocal")
    }
    assert min(part["value"] for part in parts.values()) <= whole["value"]
    assert whole["value"] <= max(part["value"] for part in parts.values())
    assert sum(part["excerpts"] for part in parts.values()) == whole["excerpts"] == len(sampled.excerpts)


def test_a_perfect_inversion_is_perfect_in_every_measure(tables: Any) -> None:
    detail = tables[1]
    perfect = detail[detail.method == "perfect"].set_index(["class", "measure"])["value"]
    assert perfect["all", "nre"] == 0
    assert perfect["all", "comparator_nre"] == 0
    assert perfect["all", "agreement"] == 1
    assert perfect["all", "probability_difference"] == 0
    assert ("all", "feature_nre") not in perfect.index  # it has no layer


def test_intervals_hold_the_value_and_differences_are_paired(tables: Any) -> None:
    detail = tables[1]
    finite = detail.dropna(subset=["low", "high"])
    finite = finite[finite["class"] == "all"]
    assert len(finite) > 20
    assert (finite.low <= finite.high).all()
    mp6 = {
        method: value(detail, method=method, layer="mp6", measure="nre")["value"]
        for method in ("one", "other")
    }
    difference = value(detail, method="other", layer="mp6", measure="nre", against="one")
    assert difference["value"] == pytest.approx(mp6["other"] - mp6["one"], abs=1e-9)
    separate = [value(detail, method=m, layer="mp6", measure="nre") for m in ("one", "other")]
    width = difference["high"] - difference["low"]
    assert width < sum(each["high"] - each["low"] for each in separate)


def made_up(
    original: Any, inverted: Any, owners: Any, sung: Any = None
) -> tuple[SampledExcerpts, list[Scores]]:
    """An evaluation of which only the outputs matter."""
    count = len(original)
    excerpts = np.random.default_rng(0).standard_normal((count, 2, 2)).astype(np.float32)
    ledger = tuple(LedgerRow(f"r{i}", "ok", examples=1) for i in range(max(owners) + 1))
    sung = np.full(count, -1, np.int8) if sung is None else np.array(sung, np.int8)
    columns = dict.fromkeys(COLUMNS, np.full(count, np.nan)) | {
        "error": np.ones(count), "output_original": np.array(original, float),
        "output_inverted": np.array(inverted, float),
    }  # fmt: skip
    sampled = SampledExcerpts(excerpts, np.array(owners), np.zeros(count), sung, (np.arange(count),), ledger)
    return sampled, [Scores("m", "fc8", **columns)]


def test_agreement_is_judged_at_the_threshold_and_fairly_for_rare_classes() -> None:
    """9 sung, 1 not: an inversion that is always called sung agrees by 90 %, and says nothing."""
    sampled, scores = made_up([0.9] * 9 + [0.1], [0.8] * 10, [0, 1, 2, 3, 4] * 2)
    detail = evaluation_tables("svd", "c", sampled, scores, threshold=0.6)[1].set_index("measure")["value"]
    assert detail["agreement"] == pytest.approx(0.9)
    assert detail["balanced_agreement"] == pytest.approx(0.5)
    assert detail["kappa"] == pytest.approx(0, abs=1e-9)
    assert detail["probability_difference"] == pytest.approx(0.16)
    assert (detail["called_sung"], detail["called_sung_inverted"]) == (pytest.approx(0.9), pytest.approx(1))
    strict = evaluation_tables("svd", "c", sampled, scores, threshold=0.85)[1].set_index("measure")["value"]
    assert strict["agreement"] == pytest.approx(0.1)


def test_a_method_tried_on_some_excerpts_is_compared_on_those(sampled: SampledExcerpts, model: Any) -> None:
    rows = np.zeros(len(sampled.excerpts), bool)
    rows[sampled.draws[0][::2]] = True
    everywhere = Inversion("input", "fc8", load_inverter(model, "fc8", seed=0))
    few = Inversion("gradient", "fc8", load_inverter(model, "fc8", seed=1), rows=rows)
    scores = score_inversions(model, sampled.excerpts, [everywhere, few])
    assert np.array_equal(np.isfinite(scores[1].error), rows)
    table, detail = evaluation_tables("svd", "c", sampled, scores, resamples=50)
    gradient = table[table.method == "gradient"].iloc[0]
    first = sampled.draws[0]
    picked = first[rows[first]]
    between = float(sampled.pairs[0].normaliser())
    assert (gradient.draws, gradient.excerpts) == (1, len(picked))  # other draws meet it by chance only
    assert gradient.nre == pytest.approx(scores[1].error[picked].mean() / between, rel=1e-9)
    difference = value(detail, method="gradient", layer="fc8", measure="nre", against="input")
    assert difference["excerpts"] == rows.sum()
    expected = (scores[1].error[picked] - scores[0].error[picked]).mean() / between
    assert difference["value"] == pytest.approx(expected, rel=1e-6)


def several(sampled: SampledExcerpts, errors: dict[str, list[Any]]) -> list[Scores]:
    """Scores of methods by the errors of each of their trainings, of which nothing else is known."""
    nothing = dict.fromkeys(COLUMNS, np.full(len(sampled.excerpts), np.nan))
    return [
        Scores(method, "fc8", **(nothing | {"error": np.asarray(each, float)}))
        for method, trainings in errors.items()
        for each in trainings
    ]


def test_a_method_that_was_trained_several_times_has_the_mean_of_its_trainings() -> None:
    sampled, _ = made_up([0.9] * 12, [0.8] * 12, [0, 1, 2, 3] * 3)
    rng = np.random.default_rng(3)
    once = 1 + 0.01 * rng.random(12)
    alone = evaluation_tables("svd", "c", sampled, several(sampled, {"input": [once]}))
    table, detail = evaluation_tables("svd", "c", sampled, several(sampled, {"input": [once, 3 * once]}))
    between = float(sampled.pairs[0].normaliser())
    assert len(table) == 1
    assert table.nre.item() == pytest.approx(2 * once.mean() / between)
    spread = value(detail, measure="nre_trainings_std")["value"]
    assert spread == pytest.approx(np.std([once.mean(), 3 * once.mean()], ddof=1) / between)
    assert "nre_trainings_std" not in set(alone[1].measure)
    one, both = (value(each, measure="nre") for each in (alone[1], detail))
    assert both.low <= 1.05 * one.high  # an interval of two trainings holds either of them
    assert both.high >= 2.9 * one.low
    titles = [" ".join(nre_figure(*tables).get_suptitle().split()) for tables in (alone, (table, detail))]
    assert titles[0].endswith("intervals over recordings")
    assert titles[1].endswith("intervals over recordings and seeds")


def test_trainings_of_two_methods_are_paired_in_their_order() -> None:
    """Seeds differ by more than methods do, and the second method is better with each of them."""
    sampled, _ = made_up([0.9] * 12, [0.8] * 12, [0, 1, 2, 3] * 3)
    base = np.linspace(1, 1.2, 12)
    errors = {"input": [base, base + 1, base + 2], "joint": [base - 0.1, base + 0.9, base + 1.9]}
    detail = evaluation_tables("svd", "c", sampled, several(sampled, errors))[1]
    difference = value(detail, method="joint", against="input", measure="nre")
    assert difference["value"] == pytest.approx(-0.1 / float(sampled.pairs[0].normaliser()))
    assert difference["high"] < 0
    errors["joint"].pop()
    unpaired = evaluation_tables("svd", "c", sampled, several(sampled, errors))[1]
    assert value(unpaired, method="joint", against="input", measure="nre")["high"] > 0


def test_excerpts_that_are_all_the_same_have_no_nre() -> None:
    sampled, scores = made_up([0.9] * 4, [0.8] * 4, [0, 1, 2, 3])
    same = replace(sampled, excerpts=np.ones((4, 2, 2), np.float32))
    with pytest.raises(UsageError, match="no two of the excerpts of a draw differ"):
        evaluation_tables("svd", "c", same, scores)


def test_threshold_is_that_of_the_detectors_card(model: Any) -> None:
    assert model.threshold == 0.5
    assert load_model("svd", "svd-open").threshold == pytest.approx(0.48)


# Where inverters are


@pytest.mark.parametrize(
    ("weights", "prefix"), [("svd-open", "svd-open-inverter-"), ("svd_jamendo", "svd_inverter_")]
)
def test_inverters_of_the_catalog_belong_to_the_weights_and_were_not_replaced(
    model: Any, weights: str, prefix: str
) -> None:
    with_weights = copy.copy(model)
    with_weights.weights = replace(model.weights, catalog_name=weights)
    assert [(source.layer, source.checkpoint) for source in find_sources(with_weights, None)] == [
        (layer, f"{prefix}{layer}")
        for layer in ("conv1", "conv2", "mp3", "conv4", "conv5", "mp6", "fc7", "fc8")
    ]


def test_inverters_are_found_by_folder_file_and_method(model: Any, tmp_path: Path) -> None:
    write_inverters(model, tmp_path / "runs/one", ["fc8"])
    write_inverters(model, tmp_path / "runs/two/cache", ["conv5"])
    write_inverters(model, tmp_path / "runs/two", ["mp6"])
    (tmp_path / "runs/two/metrics.json").write_text('{"objective": {"name": "balanced"}}')
    found = find_sources(model, str(tmp_path / "runs"))
    assert [(source.method, source.layer) for source in found] == [("inverter", "fc8"), ("balanced", "mp6")]
    packed = write_inverters(model, tmp_path / "packed", ["fc8"])  # one metrics.json for all, as is packaged
    (packed / "metrics.json").write_text('{"fc8": {"objective": {"name": "joint"}}}')
    assert recorded(*open_sources(model, find_sources(model, str(packed)), None)[0])["loss"] == "joint"
    named = find_sources(model, f"joint:{tmp_path / 'runs'}")
    assert [(source.method, source.layer) for source in named] == [("joint", "mp6"), ("joint", "fc8")]
    plain = tmp_path / "weights.npz"
    plain.write_bytes((tmp_path / "runs/one/svd-inverter-fc8.npz").read_bytes())
    assert find_sources(model, f"input:fc8={plain}")[0].method == "input"
    with pytest.raises(UsageError, match="does not tell which layer"):
        find_sources(model, str(plain))
    with pytest.raises(UsageError, match="fc8 is there more than once"):
        find_sources(model, f"{tmp_path / 'runs'},inverter:fc8={plain}")
    seeds = find_sources(model, f"one:{tmp_path / 'runs'},one:fc8={plain}", trainings=True)
    assert [(source.layer, source.training) for source in seeds] == [("mp6", 1), ("fc8", 1), ("fc8", 2)]
    assert seeds[2].checkpoint == str(plain)
    with pytest.raises(UsageError, match="fc8 is there more than once"):  # of none is said what it is
        find_sources(model, f"{tmp_path / 'runs'},fc8={plain}", trainings=True)
    write_inverters(model, tmp_path / "runs/three", ["fc8"])
    with pytest.raises(UsageError, match="fc8 is there more than once"):
        find_sources(model, str(tmp_path / "runs"), trainings=True)
    with pytest.raises(UsageError, match="neither a folder nor a file"):
        find_sources(model, "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no npz named after a layer"):
        find_sources(model, str(tmp_path / "empty"))
    with pytest.raises(UsageError, match="catalog has no inverters for these weights"):
        find_sources(model, None)
    with pytest.raises(UsageError, match="no inverter for conv5; there is one for mp6, fc8"):
        open_sources(model, named, ["fc8", "conv5"])
    assert [inverter.layer for _, inverter in open_sources(model, named, ["fc8"])] == ["fc8"]


def test_all_layers_are_those_that_a_look_pays_for(model: Any) -> None:
    assert invertible_layers(model) == ["conv1", "conv2", "mp3", "conv4", "conv5", "mp6", "fc7", "fc8"]


# Spans


def test_a_span_begins_at_the_nearest_frame_and_joins_without_a_seam(folder: Path) -> None:
    waveform = load_audio(folder / "song0.wav")
    span = cut_span(SvdFrontEnd(), waveform, 0.5)
    assert round(span.start_seconds * RATE / 315) == round(0.5 * RATE / 315)
    assert np.array_equal(span.join(span.examples), span.examples[0])
    frames = SvdFrontEnd().frames(waveform.samples)
    first = round(span.start_seconds * RATE / 315)
    assert np.allclose(span.examples[0], frames[first : first + 115], atol=1e-5)
    longer = cut_span(SvdFrontEnd(), waveform, 0.1, seconds=2.1)
    assert len(longer.examples) == 2
    joined = longer.join(longer.examples)
    first = round(longer.start_seconds * RATE / 315)
    assert np.allclose(joined, frames[first : first + len(joined)], atol=1e-5)
    assert len(joined) == 147
    other = cut_span(VggishFrontEnd(), waveform, 0.0, seconds=2.0)
    assert np.isfinite(other.join(other.examples)).all()
    halves = longer.join(np.stack([np.zeros((115, 80)), np.ones((115, 80))]))
    assert (np.diff(halves[:, 0]) >= 0).all()
    assert (halves[0, 0], halves[-1, 0]) == (0, 1)


@pytest.mark.parametrize(
    ("name", "at", "seconds", "error", "said"),
    [
        (
            "song0.wav",
            0.9,
            None,
            AudioError,
            "lasts 2.500 s: 0.9 s is too late, the last span of 1.675 s begins",
        ),
        ("song3.wav", 0.0, None, AudioError, "lasts 1.200 s, less than an excerpt of 1.675 s"),
        ("song0.wav", 0.0, 9.0, AudioError, "too late, less than"),
        ("song0.wav", -1.0, None, UsageError, "no time in a recording"),
        ("song0.wav", float("nan"), None, UsageError, "no time in a recording"),
    ],
)
def test_spans_that_are_not_there(
    folder: Path, name: str, at: float, seconds: float | None, error: Any, said: str
) -> None:
    with pytest.raises(error, match=said):
        cut_span(SvdFrontEnd(), load_audio(folder / name), at, seconds)


def test_long_spans_need_front_ends_with_common_frames() -> None:
    waveform = Waveform(np.tile(song(2, 0), 20), RATE)
    with pytest.raises(UsageError, match="longer spans need"):
        cut_span(MelgramFrontEnd(), waveform, 0.0, seconds=35.0)
    with pytest.raises(AudioError, match="is silent"):
        cut_span(SvdFrontEnd(), Waveform(np.zeros(99999, np.float32), RATE), 0.0, name="quiet")


# Binaries


@pytest.fixture(scope="module")
def inverters(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_inverters(
        load_model("svd", "svd-open"), tmp_path_factory.mktemp("inverters"), ["conv5", "fc8"]
    )


def test_evaluation_from_recordings_to_files(
    binary: Any, folder: Path, inverters: Path, tmp_path: Path
) -> None:
    ended = binary(
        "actprobe-evaluate-inverters", "--model=svd", "--checkpoint=svd-open",
        f"--inverters=joint:{inverters},input:{inverters}", f"--input={folder}",
        "--draws=2", "--excerpts_per_recording=3", "--methods=joint,input,gradient", "--gradient_steps=3",
        "--layers=fc8", f"--output_dir={tmp_path}",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    table = pd.read_csv(tmp_path / "nre.csv")
    assert tuple(table.columns) == NRE_COLUMNS
    assert table[["layer", "method", "draws"]].to_numpy().tolist() == [
        ["fc8", "joint", 2], ["fc8", "input", 2], ["fc8", "gradient", 1]
    ]  # fmt: skip
    detail = pd.read_csv(tmp_path / "nre_detail.csv", keep_default_na=False)
    same = value(detail, method="joint", layer="fc8", measure="nre", against="input")
    assert float(same["value"]) == 0  # the same files under two names
    nre, mean = (
        float(value(detail, method=method, layer=layer, measure="nre")["value"])
        for method, layer in (("joint", "fc8"), ("mean excerpt", ""))
    )
    below = value(detail, method="joint", layer="fc8", measure="nre", against="mean excerpt")
    assert float(below["value"]) == pytest.approx(nre - mean, abs=1e-9)
    assert float(below["low"]) <= float(below["value"]) <= float(below["high"])
    assert set(detail[detail["against"] == "mean excerpt"]["measure"]) == {"nre"}
    assert {"zero", "elu floor"} <= set(detail[detail.layer == ""].method)
    ledger = pd.read_csv(tmp_path / "recordings.csv", keep_default_na=False)
    assert ledger.status.tolist() == ["ok", "ok", "ok", "failed", "failed"]
    assert "left out: song3.wav: lasts 1.200 s" in ended.stdout
    assert (tmp_path / "figures/nre.png").read_bytes().startswith(b"\x89PNG")
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["settings"]["threshold"] == pytest.approx(0.48)
    assert record["settings"]["comparator"] == "conv5"
    assert record["seconds_per_excerpt"]["gradient fc8"] > 0


def test_the_same_evaluation_gives_the_same_files_from_its_shards(
    model: Any, folder: Path, tmp_path: Path
) -> None:
    inverters = write_inverters(model, tmp_path / "inverters", ["fc8"])

    def run(where: str, corpus: Any = folder, **options: Any) -> Any:
        return evaluate_inverters(
            model, corpus, inverters=inverters, draws=2, excerpts_per_recording=3,
            output_dir=tmp_path / where, **options,
        )  # fmt: skip

    tables = ("nre.csv", "nre_detail.csv", "recordings.csv")
    assert run("a").record["seconds_per_excerpt"]["inverter fc8"] > 0
    first = [(tmp_path / "a" / name).read_bytes() for name in tables]
    assert run("a").record["seconds_per_excerpt"] == {}
    assert first == [(tmp_path / "a" / name).read_bytes() for name in tables]
    fresh = run("b")
    pd.testing.assert_frame_equal(fresh.table, pd.read_csv(tmp_path / "a/nre.csv"), rtol=1e-5)
    with pytest.raises(UsageError, match="no inversion to evaluate"):
        run("c", methods=["joint"])
    with pytest.raises(UsageError, match="no layer 'fc10'"):
        run("d", comparator="fc10")
    recordings = open_labelled(folder, "optional").recordings
    with pytest.raises(CorpusError, match="too few"):
        run("e", recordings[3:])
    assert "less than an excerpt" in (tmp_path / "e/recordings.csv").read_text()


def test_one_excerpt_from_recording_to_picture_and_sound(
    binary: Any, folder: Path, inverters: Path, tmp_path: Path
) -> None:
    ended = binary(
        "actprobe-invert", "--model=svd", "--checkpoint=svd-open", "--layer=all", f"--inverters={inverters}",
        f"--input={folder / 'song0.wav'}", "--at=0.3", f"--output_dir={tmp_path}",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "figures/inversion.png").read_bytes().startswith(b"\x89PNG")
    with np.load(tmp_path / "inversion.npz") as arrays:
        assert set(arrays) == {"input", "conv5", "fc8", "times", "bands_hz"}
        assert arrays["fc8"].shape == (115, 80)
        assert arrays["times"][0] == pytest.approx((21 * 315 + 512) / RATE)
        assert arrays["bands_hz"].shape == (80,)
    names = {"original", "input", "conv5", "fc8", "input-own-phase", "conv5-own-phase", "fc8-own-phase"}
    assert {path.stem for path in (tmp_path / "sounds").iterdir()} == names
    for name in names:
        samples, rate = soundfile.read(tmp_path / f"sounds/{name}.wav")
        assert (rate, len(samples)) == (RATE, SvdFrontEnd.example_samples)
        assert np.abs(samples).max() < 0.999
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["sounds"]["input.wav"]["error_db"] < 3
    assert set(record["layers"]) == {"input", "conv5", "fc8"}
    assert record["threshold"] == pytest.approx(0.48)
    assert [(each["method"], each["layer"], each["loss"]) for each in record["inverters"]] == [
        ("inverter", "conv5", ""), ("inverter", "fc8", "")
    ]  # fmt: skip
    files = {hashlib.sha256(path.read_bytes()).hexdigest() for path in inverters.rglob("*.npz")}
    assert {each["sha256"] for each in record["inverters"]} == files


def test_gradient_needs_no_inverter_and_takes_any_network(tmp_path: Path) -> None:
    network = load_model("mm_cnn", seed=0)
    span = cut_span(network.frontend, Waveform(song(3, 3), RATE), 0.0)
    methods, described = open_methods(network, "gradient", None, ["merge_1", "1_80_pool"], steps=2)
    assert [(each["method"], each["layer"], each["steps"]) for each in described] == [
        ("gradient", "merge_1", 2), ("gradient", "1_80_pool", 2)
    ]  # fmt: skip
    assert list(methods) == ["merge_1", "1_80_pool"]
    found = invert_span(network, span, {"1_80_pool": methods["1_80_pool"]})
    assert found.mel_spectrograms["1_80_pool"].shape == network.frontend.example_shape
    assert found.facts["1_80_pool"]["output"] is None  # eleven outputs are no number to show
    sounds = save_sounds(tmp_path, network.frontend, span, found)
    assert sounds["input.wav"]["error_db"] < 3
    assert (tmp_path / "1_80_pool-own-phase.wav").exists()
    with pytest.raises(UsageError, match="no layer 'fc8'"):
        open_methods(network, "gradient", None, ["fc8"])


@pytest.mark.parametrize("scale", ["shared", "panel"])
def test_pictures_of_one_layer_of_many_and_of_long_spans(tmp_path: Path, scale: str) -> None:
    rng = np.random.default_rng(0)
    for frames, count in ((115, 1), (115, 9), (700, 3)):
        panels = {f"layer{i}": rng.normal(size=(frames, 80)) for i in range(count)}
        path = tmp_path / f"{frames}-{count}.png"
        times, bands = 30.0 + 0.0143 * np.arange(frames), SvdFrontEnd().band_edges_hz()[1:-1]
        long = frames > 230
        pictures = Pictures(panels, times, bands, "dB")
        titles = {name: name for name in panels}
        save_figure(inversion_figure(pictures, titles, long=long, scale=scale, title="song"), path)
        assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--layer=fc10"], 2, "no layer 'fc10'"),
        (["--at=99"], 1, "lasts 2.500 s: 99 s is too late"),
        (["--input=nowhere.wav"], 1, "nowhere.wav"),
    ],
)
def test_bad_input_of_invert_is_one_clear_line(
    binary: Any, folder: Path, inverters: Path, tmp_path: Path, flags: list[Any], code: int, said: str
) -> None:
    ended = binary(
        "actprobe-invert", "--model=svd", "--checkpoint=svd-open", f"--inverters={inverters}",
        f"--input={folder / 'song0.wav'}", f"--output_dir={tmp_path / 'out'}", *flags,
    )  # fmt: skip
    assert ended.returncode == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [(["--input=nowhere"], 1, "nowhere"), (["--checkpoint=nowhere.npz"], 1, "nowhere.npz")],
)
def test_bad_input_of_evaluation_is_one_clear_line(
    binary: Any, folder: Path, inverters: Path, tmp_path: Path, flags: list[Any], code: int, said: str
) -> None:
    ended = binary(
        "actprobe-evaluate-inverters", "--model=svd", "--checkpoint=svd-open", f"--inverters={inverters}",
        f"--input={folder}", f"--output_dir={tmp_path / 'out'}", *flags,
    )  # fmt: skip
    assert ended.returncode == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
