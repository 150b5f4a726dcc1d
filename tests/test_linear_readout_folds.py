"""The linear readout: no leak from one recording to another, little memory, and interrupted evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.typing import NDArray

import actprobe
from actprobe import backend, wrap_model
from actprobe.analyses.inversion.evaluation.excerpts import SampledExcerpts
from actprobe.analyses.inversion.evaluation.measures import between_methods
from actprobe.analyses.inversion.evaluation.nre import errors_of
from actprobe.analyses.inversion.evaluation.readout import features, readout
from actprobe.analyses.inversion.evaluation.readout.opening import open_readout
from actprobe.analyses.inversion.evaluation.readout.readout import LinearReadout
from actprobe.analyses.inversion.evaluation.readout.recordings import (
    cross_folds,
    deal,
    recordings_to_fit,
    spread,
)
from actprobe.batch.ledger import LedgerRow
from actprobe.batch.shards import write_shard
from actprobe.corpora.labelled import LabelledRecording
from actprobe.corpora.labelled_corpus import LabelledCorpus
from actprobe.errors import CorpusError, UsageError
from actprobe.frontends import LogMelFrontEnd

TIME, MEL = 5, 4
Excerpts = NDArray[np.float32]


def recording(name: str, split: str = "train", **labels: str) -> LabelledRecording:
    return LabelledRecording(name, Path(name), labels=labels, sung=np.zeros((0, 2)), split=split)


def sampled_of(excerpts: Excerpts, owners: Any) -> SampledExcerpts:
    count = len(excerpts)
    ledger = tuple(LedgerRow(f"{i}.wav", "ok") for i in range(max(owners) + 1))
    unknown = np.full(count, -1, np.int8)
    return SampledExcerpts(
        excerpts, np.asarray(owners), np.zeros(count), unknown, (np.arange(count),), ledger
    )


def network(units: int, kernel: NDArray[Any] | None = None) -> actprobe.Model:
    """A network whose layer ``seen`` multiplies the excerpt with a matrix, random by default."""
    layers = backend.keras.layers
    given = layers.Input((TIME, MEL, 1))
    seen = layers.Dense(units, name="seen")
    told = layers.Dense(1, "sigmoid", name="told")(seen(layers.Flatten()(given)))
    if kernel is None:
        kernel = np.random.default_rng(0).standard_normal((TIME * MEL, units))
    seen.set_weights([kernel.astype(np.float32), np.full(units, kernel.std(), np.float32)])
    return wrap_model(backend.keras.Model(given, told), name="small")


def reconstructed(
    model: actprobe.Model, sampled: SampledExcerpts, folder: Path, recordings: Any = None, count: int = 4096
) -> Excerpts:
    """What the cross-fitted readout of the layer ``seen`` makes of all excerpts."""
    recordings = recordings or [recording(row.path) for row in sampled.ledger]
    opened = open_readout(
        model, ["seen"], sampled, recordings, None,
        count=count, seed=0, batch_size=16, folder=folder, identity="",
    )  # fmt: skip
    assert isinstance(opened, LinearReadout)
    with opened:
        (inversion,) = opened.inversions()
        shape = (len(sampled.excerpts), *model.layers["seen"].shape)
        return inversion.invert(np.zeros(shape, np.float32), np.arange(shape[0]))


def relative_error(sampled: SampledExcerpts, found: Excerpts) -> float:
    """Mean distance from the excerpts, by that of their mean."""
    excerpts = sampled.excerpts
    mean = np.broadcast_to(excerpts.mean(axis=0), excerpts.shape)
    return float(errors_of(excerpts, found).mean() / errors_of(excerpts, mean).mean())


@pytest.fixture
def noise() -> SampledExcerpts:
    """20 different excerpts of each of 10 recordings."""
    excerpts = np.random.default_rng(0).standard_normal((200, TIME, MEL)).astype(np.float32)
    return sampled_of(excerpts, np.repeat(np.arange(10), 20))


# What is read out


@pytest.mark.parametrize("units", [TIME * MEL, 400], ids=["primal", "dual"])
def test_random_features_give_about_the_mean_excerpt(
    noise: SampledExcerpts, tmp_path: Path, units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rng = network(units), np.random.default_rng(1)

    def random(examples: Excerpts, layers: Any, *, batch_size: int | None = None) -> Any:
        return {"seen": rng.standard_normal((len(examples), units)).astype(np.float32)}

    monkeypatch.setattr(model, "activations", random)
    assert relative_error(noise, reconstructed(model, noise, tmp_path)) == pytest.approx(1, abs=0.03)


def test_blocks_sheets_and_batches_of_odd_sizes_give_the_numbers_of_a_single_one(
    noise: SampledExcerpts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = network(400)
    whole = reconstructed(model, noise, tmp_path / "whole", count=150)
    monkeypatch.setattr("actprobe.analyses.inversion.evaluation.readout.columns.COLUMNS_AT_ONCE", 70)
    monkeypatch.setattr(features, "SHEET", 17)
    monkeypatch.setattr(readout, "TARGETS_AT_ONCE", 900)
    monkeypatch.setattr(readout, "ROWS_AT_ONCE", 11)
    assert np.allclose(reconstructed(model, noise, tmp_path / "parts", count=150), whole, atol=1e-3)
    assert relative_error(noise, whole) < 0.01


@pytest.mark.parametrize("size", [1e-12, 1e9])
def test_features_of_any_size_are_read_out(noise: SampledExcerpts, tmp_path: Path, size: float) -> None:
    """They are stored as float16, which ends at 65504."""
    kernel = size * np.random.default_rng(0).standard_normal((TIME * MEL, 400))
    assert relative_error(noise, reconstructed(network(400, kernel), noise, tmp_path)) < 0.01


def test_features_that_are_not_finite_are_refused(noise: SampledExcerpts, tmp_path: Path) -> None:
    model = network(400, np.full((TIME * MEL, 400), np.nan))
    with pytest.raises(UsageError, match="the features of seen hold NaN or infinity"):
        reconstructed(model, noise, tmp_path)


# No leak


@pytest.fixture(params=[6, 600], ids=["primal", "dual"])
def unmistakable(request: pytest.FixtureRequest) -> tuple[actprobe.Model, SampledExcerpts]:
    """12 recordings of one excerpt each, six times; every two are the same.

    The layer knows only which of the six different excerpts it is: a readout that has seen the recording, or
    its twin, makes no error, and another knows nothing.
    """
    different = np.random.default_rng(3).standard_normal((6, TIME, MEL)).astype(np.float32)
    owners = np.repeat(np.arange(12), 6)
    sampled = sampled_of(different[owners // 2], owners)
    kernel = np.linalg.pinv(different.reshape(6, -1))  # the excerpt -> which of the six
    return network(request.param, np.tile(kernel, request.param // 6)), sampled


def test_a_recording_is_never_reconstructed_by_a_readout_that_has_seen_it(
    unmistakable: tuple[actprobe.Model, SampledExcerpts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readout, "STRENGTHS", (1e-5,))  # a strong penalty hides what was seen
    model, sampled = unmistakable
    twins = [recording(f"{i}.wav", singer=f"singer {i // 2}") for i in range(12)]
    strangers = [recording(f"{i}.wav") for i in range(12)]
    together = reconstructed(model, sampled, tmp_path / "together", twins)
    assert relative_error(sampled, together) > 0.95
    apart = reconstructed(model, sampled, tmp_path / "apart", strangers)
    assert relative_error(sampled, apart) < 0.5  # what it would be with a leak


@pytest.mark.parametrize("count", [4096, 100])
def test_folds_are_of_whole_recordings_and_singers(count: int) -> None:
    owners = np.sort(np.random.default_rng(0).integers(1, 40, 300))
    singer = np.arange(40) % 7
    recordings = [recording(f"{i}.wav", singer=f"{singer[i]}") for i in range(40)]
    folds = cross_folds(recordings, owners, count, 0)
    assert len(folds) == 5
    assert np.array_equal(np.sort(np.concatenate([fold.evaluated for fold in folds])), np.arange(300))
    for fold in folds:
        inner, choose, evaluated = (
            set(singer[owners[rows]]) for rows in (fold.inner, fold.choose, fold.evaluated)
        )
        assert inner
        assert choose
        assert not inner & choose
        assert not evaluated & (inner | choose)
        assert np.array_equal(np.sort(np.concatenate([fold.inner, fold.choose])), fold.fit)
        assert set(owners[fold.fit]) == set(owners) - set(owners[fold.evaluated])
    assert len(np.unique(np.concatenate([fold.fit for fold in folds]))) == min(count, 300)


def test_recordings_of_one_singer_are_dealt_out_singly() -> None:
    same = [recording(f"{i}.wav", singer="one") for i in range(10)]
    assert np.bincount(deal(same)).tolist() == [2] * 5
    two = [recording(f"{i}.wav", singer="one" if i < 6 else "other") for i in range(9)]
    assert deal(two).tolist() == [0] * 6 + [1] * 3


def test_excerpts_are_spread_over_the_recordings() -> None:
    owners = np.repeat([0, 1, 2], [50, 3, 20])
    chosen = spread(owners, 20, 0)
    assert np.bincount(owners[chosen]).tolist() in ([9, 3, 8], [8, 3, 9])
    assert spread(owners, 99, 0).tolist() == list(range(73))


# Where it is fitted


def corpus_of(**splits: int) -> LabelledCorpus:
    found = [recording(f"{name}{i}.wav", name) for name, count in splits.items() for i in range(count)]
    return LabelledCorpus(found, "/there", "there")


def test_other_splits_of_the_corpus_are_fitted_on_if_they_are_not_evaluated() -> None:
    corpus = corpus_of(train=8, valid=2, test=3)
    given = recordings_to_fit(None, corpus, corpus.split("test"))
    assert given is not None
    assert (given.fit, given.choose) == (corpus.split("train"), corpus.split("valid"))
    for evaluated in (corpus.split("train"), corpus.split("valid"), corpus.recordings):
        assert recordings_to_fit(None, corpus, evaluated) is None
    for lacking in (corpus_of(train=8, test=3), corpus_of(train=2, valid=2, test=3)):
        assert recordings_to_fit(None, lacking, lacking.split("test")) is None


def test_a_corpus_for_the_readout_may_have_nothing_for_validation(folder: Path) -> None:
    table = pd.DataFrame({"path": [folder / f"{i}.wav" for i in range(10)], "singer": list("aabbccddee")})
    evaluated = [recording(str(folder / "0.wav"))]
    given = recordings_to_fit(table, corpus_of(test=1), evaluated)
    assert given is not None
    names = [{Path(each.name).stem for each in part} for part in (given.fit, given.choose)]
    assert names[0] | names[1] == set("123456789")
    assert names[1] in ({"1"}, {"2", "3"})
    with pytest.raises(CorpusError, match="no recordings for training that are not evaluated"):
        recordings_to_fit([folder / "0.wav"], corpus_of(test=1), evaluated)


# Evaluations that were interrupted


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten recordings of noise and a tone."""
    where = tmp_path_factory.mktemp("recordings")
    rng = np.random.default_rng(0)
    time = np.arange(8000) / 8000
    for i in range(10):
        tone = 0.3 * np.sin(2 * np.pi * 300 * (1 + i) * time) * (time % 0.25 < 0.1)
        soundfile.write(where / f"{i}.wav", tone + 0.02 * rng.standard_normal(len(time)), 8000)
    return where


@pytest.fixture
def evaluate(folder: Path, tmp_path: Path) -> Any:
    layers = backend.keras.layers
    backend.keras.utils.set_random_seed(0)
    given = layers.Input((8, 6, 1))
    maps = layers.Conv2D(8, 3, padding="same", activation="relu", name="maps")(given)
    told = layers.Dense(1, "sigmoid", name="told")(layers.Flatten()(maps))
    frontend = LogMelFrontEnd(
        sample_rate=8000, n_fft=256, hop_length=160, n_mels=6, log="ln", frames=8, hop=4
    )
    model = wrap_model(backend.keras.Model(given, told), frontend, name="listener")

    def evaluation(where: str, corpus: Any = folder, **options: Any) -> Any:
        ways: dict[str, Any] = {"methods": ["gradient"], "layers": ["maps"], "gradient_steps": 1, "draws": 2}
        return actprobe.evaluate_inverters(model, corpus, output_dir=tmp_path / where, **(ways | options))

    return evaluation


def test_an_interrupted_evaluation_gives_the_same_table(
    evaluate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A readout is fitted again only where excerpts are left to evaluate."""
    monkeypatch.setattr("actprobe.analyses.inversion.evaluation.scores.EXCERPTS_IN_SHARD", 16)
    whole = evaluate("whole")
    fits: list[int] = []
    fit = LinearReadout.fit

    def counted(self: LinearReadout) -> None:
        fits.append(1)
        fit(self)

    def dying(path: Path, shard: Any) -> None:
        if path.name.endswith("-00002.npz"):
            raise KeyboardInterrupt
        write_shard(path, shard)

    monkeypatch.setattr(LinearReadout, "fit", counted)
    with monkeypatch.context() as patched:
        patched.setattr("actprobe.analyses.inversion.evaluation.scores.write_shard", dying)
        with pytest.raises(KeyboardInterrupt):
            evaluate("killed")
    again = evaluate("killed")
    assert len(fits) == 2
    pd.testing.assert_frame_equal(again.table, whole.table, rtol=1e-6)
    assert again.record["readout"] == whole.record["readout"]
    finished = (again.folder / "nre.csv").read_bytes()
    evaluate("killed")
    assert len(fits) == 2
    assert (again.folder / "nre.csv").read_bytes() == finished


def test_a_readout_of_other_folds_or_excerpts_is_not_taken_from_the_shards(
    evaluate: Any, folder: Path
) -> None:
    table = pd.DataFrame({"path": [folder / f"{i}.wav" for i in range(10)]})
    whole = evaluate("out", table).table
    for other in (
        evaluate("out", table.assign(singer=list("aaaabbbbcc"))).table,
        evaluate("out", table, readout_excerpts=100).table,
    ):
        same = other["nre"] == whole["nre"]
        assert same.tolist() == (whole["method"] != "linear readout").tolist()


def test_the_others_are_held_against_the_readout_excerpt_by_excerpt(evaluate: Any) -> None:
    detail = evaluate("out", methods=["gradient", "oracle"]).detail
    rows = between_methods(detail)
    rows = rows[(rows["measure"] == "nre") & (rows["class"] == "all")]
    assert rows[["method", "against"]].to_numpy().tolist() == [
        ["gradient", "linear readout"], ["oracle", "gradient"], ["oracle", "linear readout"],
    ]  # fmt: skip
    assert (rows["excerpts"] == 10).all()
    assert rows["low"].iloc[0] > 0  # a single step is no inversion
