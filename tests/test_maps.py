"""Activation maps against feature maps: images, matches, agreement, null, and the run over a corpus."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import actprobe
from actprobe.analyses.maps.channel_pass import count_segment, partners_of
from actprobe.analyses.maps.feature_pass import FeatureKeypoints, feature_keypoints
from actprobe.analyses.maps.figures import draw_figures
from actprobe.analyses.maps.gallery import Item
from actprobe.analyses.maps.geometry import Tolerance, agreement, layer_tolerance
from actprobe.analyses.maps.grid import layer_grid
from actprobe.analyses.maps.images import feature_image, map_image, to_bytes
from actprobe.analyses.maps.keypoints import Keypoints, detect, negative
from actprobe.analyses.maps.look import match_rows
from actprobe.analyses.maps.matches import match
from actprobe.analyses.maps.pairs import compare, metrics
from actprobe.analyses.maps.ranks import percentiles, row_medians
from actprobe.analyses.maps.result import open_viewer
from actprobe.analyses.maps.segments import Segment, positions_of, segments_of
from actprobe.analyses.maps.settings import MapSettings, look_up
from actprobe.analyses.maps.table import MAP_COLUMNS, map_table, permutation_p, rank_maps
from actprobe.audio import Waveform
from actprobe.corpora import open_corpus
from actprobe.corpora.phantom import write_phantom
from actprobe.errors import CorpusError, UsageError
from actprobe.features import FeatureMap, compute_maps
from actprobe.features.own import import_features
from actprobe.models import layers_of, load_model
from actprobe.models.networks.svd import FRONTEND as SVD_FRONTEND
from actprobe.provenance import digest

TABLES = ("maps.csv", "maps.parquet", "recordings.csv")


@pytest.fixture(scope="session")
def grid() -> Any:
    return layer_grid(layers_of("svd")["mp3"], SVD_FRONTEND())


@pytest.fixture(scope="session")
def scene() -> Any:
    """An image of blobs of several sizes, as a spectrogram has them."""
    draw = np.random.default_rng(3)
    image = np.zeros((96, 400))
    for _ in range(150):
        x, y, width, height = draw.uniform((0, 0, 2, 1), (400, 96, 14, 4))
        rows, columns = np.mgrid[:96, :400]
        image += draw.uniform(0.3, 1) * np.exp(-(((columns - x) / width) ** 2) - ((rows - y) / height) ** 2)
    return image


# Images: where in the sound a pixel is.


def test_pixels_of_a_pooled_layer_stand_at_its_positions(grid: Any) -> None:
    layer = layers_of("svd")["mp3"]
    assert grid.band_hop == 3
    assert grid.enlargement == 3  # 25 bands are too few for SIFT
    assert grid.rows == 25
    assert grid.field_bands == 7
    assert grid.first_band == 3  # two bands lost to the convolutions, one to the middle of the pooling
    hertz = grid.hertz(grid.position_bands())
    assert layer.hop_hz[0] <= np.diff(hertz).min() < np.diff(hertz).max() <= layer.hop_hz[1]
    assert np.allclose(grid.bands(hertz), grid.position_bands())
    assert np.allclose(np.diff(grid.columns(0.5, 2.0)), layer.hop_seconds / 3)


def test_vectors_and_unknown_layers_are_refused() -> None:
    with pytest.raises(UsageError, match="fc7 is a vector"):
        layer_grid(layers_of("svd")["fc7"], SVD_FRONTEND())


@given(st.floats(0.5, 3.5), st.floats(700, 4500))
@settings(max_examples=30, deadline=None)
def test_an_event_is_at_the_same_pixel_in_map_and_feature(seconds: Any, hertz: Any) -> None:
    grid = layer_grid(layers_of("svd")["conv1"], SVD_FRONTEND())
    columns = grid.columns(grid.first_seconds, 4.0)
    times = grid.first_seconds + grid.hop_seconds * np.arange(280)
    band = float(grid.bands(np.array(hertz)))
    across = np.exp(-(((grid.position_bands() - band) / 2) ** 2))
    activation = np.exp(-(((times - seconds) / 0.05) ** 2))[:, np.newaxis] * across
    frames, bins = np.arange(0, 4, 0.0232), np.geomspace(40, 9000, 200)
    near = np.exp(-(((grid.bands(bins) - band) / 2) ** 2))
    values = np.exp(-(((frames - seconds) / 0.05) ** 2))[:, np.newaxis] * near
    feature = FeatureMap("f", values.astype(np.float32), frames, bins, "hertz", "")
    ours = map_image(activation.astype(np.float32), times, grid, columns)
    theirs = feature_image(feature, grid, columns)
    assert ours is not None
    assert theirs is not None
    assert ours.shape == theirs.shape == (78, len(columns))
    centres = [np.argwhere(image >= 0.9 * image.max()).mean(axis=0) for image in (ours, theirs)]
    assert np.abs(np.subtract(*centres)).max() < 1.5
    assert grid.row_bands[::-1][round(centres[0][0])] == pytest.approx(band, abs=1.5)
    assert columns[round(centres[0][1])] == pytest.approx(seconds, abs=0.02)


def test_a_map_folded_to_an_octave_shows_the_class_that_sounds() -> None:
    """A partial at A is highest at A, with its features' 12 or 36 classes alike."""
    grid = layer_grid(layers_of("cnn_at")["elu1"], load_model("cnn_at").frontend)
    times = grid.first_seconds + grid.hop_seconds * np.arange(300)
    columns = grid.columns(times[0], times[-1])
    sounds = (times > 2) & (times < 4)
    activation = np.zeros((300, 96), np.float32)
    activation[:, round(float(grid.bands(np.array(1760.0))))] = sounds
    image = map_image(activation, times, grid, columns, "pitch class")
    assert image is not None
    assert image.shape[0] == 72
    middle = image[::-1][:36, (columns > 2.5) & (columns < 3.5)].mean(axis=1)
    assert abs(middle.argmax() / 3 - 9) <= 1
    for bins in (12, 36):
        classes = np.arange(bins) * 12 / bins
        values = np.outer(sounds, classes == 9).astype(np.float32)
        feature = feature_image(FeatureMap("f", values, times, classes, "pitch class", ""), grid, columns)
        assert feature is not None
        assert feature.shape == image.shape
        assert feature[::-1][:36, (columns > 2.5) & (columns < 3.5)][27].min() > 250


def test_what_is_constant_or_not_finite_shows_nothing(grid: Any) -> None:
    times = grid.first_seconds + grid.hop_seconds * np.arange(40)
    columns = grid.columns(times[0], times[-1])
    flat = np.full((40, 25), 3.0, np.float32)
    broken = np.random.default_rng(0).standard_normal((40, 25)).astype(np.float32)
    broken[3, 4] = np.nan
    for values in (flat, broken, np.tile(np.arange(25, dtype=np.float32), (40, 1))):
        assert map_image(values, times, grid, columns) is None
        assert map_image(values, times, grid, columns, "pitch class") is None
    silence = compute_maps(Waveform(np.zeros(44100, np.float32), 22050), ["harmonic", "percussive"])
    assert feature_image(silence["harmonic"], grid, columns) is None
    assert len(detect(None)) == 0


def test_a_sparse_map_still_has_an_image() -> None:
    values = np.zeros((80, 500))
    values[40, 200:203] = 1.0
    image = to_bytes(values)
    assert image is not None
    assert image.max() > 220
    assert image.min() == np.median(image) == 128


@given(st.integers(1, 400), st.sampled_from([0, 1, 5, 15]), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_medians_and_percentiles_are_those_of_numpy(size: int, bend: int, seed: int) -> None:
    """Of numbers that are equal, close together, or far apart, too."""
    values = np.random.default_rng(seed).standard_normal((3, size))
    values = np.exp(bend * values) if bend else np.maximum(values.round(), 0)
    assert np.array_equal(row_medians(values), np.median(values, axis=1, keepdims=True))
    single = values.astype(np.float32)
    assert np.array_equal(percentiles(single, (5.0, 50.0, 95.0)), np.percentile(single, (5.0, 50.0, 95.0)))


# Segments: examples joined along time, or by themselves.


def test_joined_examples_give_every_position_once() -> None:
    frontend = SVD_FRONTEND()
    starts = np.arange(700) / 70
    for name in ("conv1", "mp3", "mp6"):
        grid = layer_grid(layers_of("svd")[name], frontend)
        place = positions_of(Segment(0.0, 10.0), starts, grid)
        assert place is not None
        assert np.allclose(np.diff(place.times_seconds), grid.hop_seconds, atol=1e-4)
        assert place.times_seconds[-1] > 10.0 - 2 * grid.hop_seconds
        assert len(place.examples) <= 10.0 / (grid.positions * grid.hop_seconds) + 1


def test_a_last_example_that_overlaps_is_used_where_it_goes_on() -> None:
    grid = layer_grid(layers_of("cnn_at")["conv1"], load_model("cnn_at").frontend)
    place = positions_of(Segment(0.0, 75.0), np.array([0.0, 29.12, 45.88]), grid)
    assert place is not None
    assert place.examples == (0, 1, 2)
    assert np.diff(place.times_seconds).min() > grid.hop_seconds / 2
    assert np.diff(place.times_seconds).max() < 6 * grid.hop_seconds
    assert place.times_seconds[-1] == pytest.approx(75, abs=0.2)
    assert grid.margin == 2  # a position sees 43 ms either way, padding beyond the example's ends
    assert not np.isin(place.position, [0, 1, 1364, 1365]).any()


def test_what_follows_a_short_recording_is_not_shown() -> None:
    grid = layer_grid(layers_of("cnn_at")["conv1"], load_model("cnn_at").frontend)
    place = positions_of(Segment(0.0, 8.0), np.array([0.0]), grid)
    assert place is not None
    assert place.times_seconds[-1] < 8.0
    assert place.columns[-1] < 8.0


def test_segments_cover_a_recording_or_its_examples() -> None:
    starts = np.arange(0, 70) / 70
    whole = segments_of(starts, 1.643, 2.6, "recording", 30.0)
    assert [(one.begin, one.end, one.example) for one in whole] == [(0.0, 2.6, None)]
    cut = segments_of(starts, 1.643, 100.0, "recording", 30.0)
    assert [one.end - one.begin for one in cut] == [25.0] * 4
    assert len(segments_of(starts, 1.643, 100.0, "recording", 0.0)) == 1
    alone = segments_of(np.array([0.0, 1.0, 2.0, 3.0]), 1.5, 4.5, "excerpt", 30.0)
    assert [one.example for one in alone] == [0, 2]
    grid = layer_grid(layers_of("svd")["mp3"], SVD_FRONTEND())
    assert positions_of(Segment(0.0, 0.001), starts, grid) is None


# Keypoints and matches.


def plain_keypoints(image: Any) -> Keypoints:
    """OpenCV's keypoints, set upright and described in a second go."""
    sift: Any = cv2.SIFT.create()
    upright: dict[Any, Any] = {}
    for point in sift.detect(image, None):
        point.angle = 0.0
        upright.setdefault((*point.pt, point.size, point.octave), point)
    points, descriptors = sift.compute(image, list(upright.values()))
    sizes = np.array([point.size for point in points], np.float32)
    return Keypoints(np.array([point.pt for point in points], np.float32), sizes, descriptors)


def are_equal(first: Keypoints, second: Keypoints) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name))
        for name in ("points", "sizes", "descriptors")
    )


@pytest.mark.parametrize("rows", [30, 43, 96])
def test_keypoints_are_those_of_opencv_to_the_bit(scene: Any, rows: int) -> None:
    noise = np.random.default_rng(rows).standard_normal(scene.shape)
    for values in (scene, scene + 0.1 * noise, noise):
        image = to_bytes(values[:rows])
        found = detect(image)
        assert len(found) > 10
        assert are_equal(found, plain_keypoints(image))


def test_an_image_of_coarse_things_alone_is_described_as_opencv_does() -> None:
    """OpenCV enlarges an image to find keypoints, but not to describe them where none is of the enlarged."""
    rows, columns = np.mgrid[:96, :160]
    blob = np.exp(-((rows - 47.3) ** 2 + (columns - 70.6) ** 2) / 2 / 7.7**2)
    image = (40 + 180 * blob).astype(np.uint8)
    found = detect(image)
    assert len(found) > 0
    assert found.sizes.min() > 6
    assert are_equal(found, plain_keypoints(image))


def test_images_of_other_sizes_in_between_change_nothing(scene: Any) -> None:
    image = to_bytes(scene)
    once = detect(image)
    for size in (30, 400):
        detect(to_bytes(scene[:30, :size]))
    assert are_equal(detect(image), once)


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (11, 11), (64, 6)])
def test_an_image_too_small_for_keypoints_has_none(shape: tuple[int, int]) -> None:
    assert len(detect(np.random.default_rng(0).integers(0, 256, shape, np.uint8))) == 0


def plain_matches(first: Keypoints, second: Keypoints, ratio: float) -> list[tuple[int, int, float]]:
    """OpenCV's brute-force matcher, both ways, pair by pair."""
    matcher = cv2.BFMatcher(cv2.NORM_L2)
    a, b = (np.asarray(one, np.float32) for one in (first.descriptors, second.descriptors))
    back = {match.queryIdx: match.trainIdx for match in matcher.match(b, a)}
    found = [pair for pair in matcher.knnMatch(a, b, 2) if len(pair) == 2]
    return [
        (best.queryIdx, best.trainIdx, best.distance)
        for best, other in found
        if best.distance < ratio * other.distance and back[best.trainIdx] == best.queryIdx
    ]


def listed(matches: Any) -> list[tuple[int, int, float]]:
    return list(zip(matches.first.tolist(), matches.second.tolist(), matches.distances.tolist(), strict=True))


def of_descriptors(descriptors: Any) -> Keypoints:
    """Keypoints that all lie at one place."""
    return Keypoints(
        np.zeros((len(descriptors), 2), np.float32), np.zeros(len(descriptors), np.float32), descriptors
    )


@pytest.mark.parametrize("ratio", [0.7, 0.9, 1.0])
def test_matches_are_those_of_the_brute_force_matcher(scene: Any, ratio: float) -> None:
    noise = np.random.default_rng(0).standard_normal(scene.shape)
    first, second = detect(to_bytes(scene)), detect(to_bytes(scene + 0.1 * noise))
    found, of_negative = match(first, second, ratio=ratio)
    assert len(found) > 20
    assert listed(found) == plain_matches(first, second, ratio)
    assert listed(of_negative) == plain_matches(of_descriptors(negative(first.descriptors)), second, ratio)


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_ties_are_broken_as_the_brute_force_matcher_does(ours: Any, theirs: Any, seed: Any) -> None:
    """Few different descriptors, so that many distances are equal."""
    draw = np.random.default_rng(seed)
    kinds = draw.integers(0, 256, (4, 128), np.uint8)
    kinds[3] = kinds[0]
    kinds[3, 0] ^= 1
    first, second = (kinds[draw.integers(0, 4, count)].reshape(count, 128) for count in (ours, theirs))
    one, inverted, other = (of_descriptors(d) for d in (first, negative(first), second))
    found = match(one, other, ratio=0.9)
    for matches, keypoints in zip(found, (one, inverted), strict=True):
        if ours and theirs:
            assert listed(matches) == plain_matches(keypoints, other, 0.9)
        else:
            assert len(matches) == 0


def test_blocks_of_rows_do_not_change_the_matches(scene: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = detect(to_bytes(scene)), detect(to_bytes(scene[:, ::-1]))
    doubled = of_descriptors(np.concatenate([first.descriptors, first.descriptors]))  # every distance twice
    whole = match(doubled, second)
    monkeypatch.setattr("actprobe.analyses.maps.matches.ROWS_AT_ONCE", 37)
    for blocks, once in zip(match(doubled, second), whole, strict=True):
        assert listed(blocks) == listed(once)
        assert len(once) > 0


def test_keypoints_are_upright_and_found_once(scene: Any) -> None:
    image = to_bytes(scene)
    assert image is not None
    found = detect(image)
    assert len(np.unique(np.column_stack([found.points, found.sizes]), axis=0)) == len(found)
    turned = detect(np.ascontiguousarray(image.T))
    assert len(match(found, turned)[0]) < 0.1 * len(found)


def test_the_negative_is_described_without_being_looked_at(scene: Any) -> None:
    image = to_bytes(scene)
    assert image is not None
    opposite: Any = 255 - image
    found, inverted = detect(image), detect(opposite)
    assert np.allclose(found.points, inverted.points, atol=1e-3)
    assert np.abs(negative(found.descriptors).astype(int) - inverted.descriptors).max() <= 2
    pair = compare(inverted, found, Tolerance((2, 2), (5, 5)))
    assert pair.negative
    assert pair.agreement.count > 0.9 * len(found)
    assert not compare(found, found, Tolerance((2, 2), (5, 5))).negative


# Agreement on a shift and a scale.


@given(st.floats(-8, 8), st.floats(-4, 4), st.floats(0.96, 1.04), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_shift_and_scale_are_found_among_chance_matches(right: Any, down: Any, scale: Any, seed: Any) -> None:
    draw = np.random.default_rng(seed)
    source = draw.uniform((0, 0), (300, 90), (120, 2))
    centre = source[:60].mean(axis=0)
    target = draw.uniform((0, 0), (300, 90), (120, 2))
    target[:60] = centre + (scale, 1.0) * (source[:60] - centre) + (right, down)
    target[:60] += draw.uniform(-0.3, 0.3, (60, 2))
    found = agreement(source, target, Tolerance((1.5, 1.5), (16, 9)))
    assert found.agrees[:60].all()
    assert found.agrees[60:].sum() <= 3
    assert found.shift == pytest.approx((right, down), abs=0.4)
    assert found.scale[0] == pytest.approx(scale, abs=0.01)


def test_shifts_no_filter_can_make_do_not_agree() -> None:
    source = np.random.default_rng(0).uniform(0, 300, (50, 2))
    tolerance = Tolerance((1.5, 1.5), (10, 10))
    assert agreement(source, source + np.array([9, 0]), tolerance).count == 50
    for off in ((12, 0), (0, 12)):
        found = agreement(source, source + off, tolerance)
        assert found.count == 0
        assert np.isnan(found.shift).all()
    assert agreement(source, 1.5 * source, tolerance).count < 10


def test_two_matches_prove_nothing() -> None:
    source = np.array([[10.0, 10], [100, 40]])
    assert agreement(source, source, Tolerance((2, 2), (5, 5))).count == 0
    assert agreement(np.empty((0, 2)), np.empty((0, 2)), Tolerance((2, 2), (5, 5))).count == 0


def test_pitch_classes_agree_by_time_alone(grid: Any) -> None:
    source = np.random.default_rng(0).uniform((0, 0), (300, 70), (40, 2))
    elsewhere = source * (1, 0) + (1, 20)
    assert agreement(source, elsewhere, layer_tolerance(grid, "pitch class")).count == 40
    assert agreement(source, elsewhere, layer_tolerance(grid, "hertz")).count < 20


def test_score_of_an_image_with_itself_is_one(scene: Any, grid: Any) -> None:
    found = detect(to_bytes(scene))
    pair = compare(found, found, layer_tolerance(grid, "hertz"))
    measured = metrics(pair.counts)
    assert measured["score"] == measured["ratio"] == measured["consistency"] == 1
    assert measured["distance"] == 0
    nothing = metrics(compare(detect(None), found, layer_tolerance(grid, "hertz")).counts)
    assert nothing["score"] == 0
    assert np.isnan([nothing["ratio"], nothing["distance"], nothing["consistency"]]).all()


# Null, p and q.


@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_p_counts_all_ways_to_pick_one_score_each(recordings: Any, partners: Any, seed: Any) -> None:
    scores = np.random.default_rng(seed).integers(0, 5, (recordings, 1 + partners)) / 8
    ways = np.stack(np.meshgrid(*scores, indexing="ij"), axis=-1).reshape(-1, recordings).sum(axis=1)
    expected = (ways >= scores[:, 0].sum() - 1e-9).mean()
    assert permutation_p(scores) == pytest.approx(expected, rel=1e-9)


def test_p_without_a_choice_or_difference() -> None:
    assert np.isnan(permutation_p(np.ones((5, 1))))
    assert np.isnan(permutation_p(np.ones((0, 4))))
    assert permutation_p(np.ones((5, 4))) == 1
    assert permutation_p(np.tile([1.0, 0, 0, 0], (6, 1))) == pytest.approx(4.0**-6)


def test_p_of_chance_scores_is_uniform() -> None:
    draw = np.random.default_rng(1)
    p = [permutation_p(draw.uniform(size=(12, 4))) for _ in range(400)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_table_has_the_columns_and_dead_channels_have_no_p() -> None:
    draw = np.random.default_rng(0)
    counts = np.zeros((6, 2, 4, 3, 6))
    counts[..., :2, :] = [100, 80, 80, 20, 5000, 0]
    counts[..., 1] = 80
    counts[:, 0, 0, 1, 5] = draw.integers(8, 15, 6)
    table = map_table("net", {"conv1": counts}, ["harmonic", "hpcp"])
    assert tuple(table.columns) == MAP_COLUMNS
    assert len(table) == 6
    best = rank_maps(table, "harmonic").iloc[0]
    assert (best.channel, best.n, best.distance, best.ratio) == (1, 6, 250, 0.25)
    assert best.consistency == pytest.approx(counts[:, 0, 0, 1, 5].mean() / 20)
    assert best.score == pytest.approx(2 * counts[:, 0, 0, 1, 5].mean() / 180)
    assert best.p == pytest.approx(4.0**-6)
    assert best.q == pytest.approx(2 * 4.0**-6)
    dead = table[table.channel == 2]
    assert (dead.score == 0).all()
    assert dead[["ratio", "distance", "consistency", "p", "q"]].isna().all(axis=None)
    assert len(rank_maps(table, "hpcp")) == 0
    assert [len(rank_maps(table, "harmonic", count)) for count in (None, 1, 0)] == [1, 1, 0]


def test_partners_are_others_each_as_often_and_stay_when_one_leaves(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number}.wav").touch()
    corpus = open_corpus(tmp_path)
    chosen = partners_of(corpus, 3, seed=0)
    assert all(len({one.name for one in others} - {name}) == 3 for name, others in chosen.items())
    times = pd.Series([one.name for others in chosen.values() for one in others]).value_counts()
    assert (times == 3).all()
    fewer = partners_of(corpus[1:], 3, seed=0)
    assert sum(fewer[name] != chosen[name] for name in fewer) <= 3
    assert partners_of(corpus, 3, seed=1) != chosen
    assert partners_of(corpus[:1], 3, seed=0) == {corpus[0].name: ()}


def test_maps_of_nan_and_constants_have_defined_rows(grid: Any) -> None:
    place = positions_of(Segment(0.0, 5.0), np.arange(300) / 70, grid)
    assert place is not None
    draw = np.random.default_rng(0)
    values = draw.standard_normal((len(place.times_seconds), 25, 3)).astype(np.float32)
    values[..., 1] = 0
    values[7, 7, 2] = np.inf
    waveform = Waveform((0.3 * draw.standard_normal(5 * 22050)).astype(np.float32), 22050)
    feature = feature_keypoints(compute_maps(waveform, ["percussive"])["percussive"], grid, [place])
    counts, matches = count_segment(values, place, grid, [[feature, feature]], 0, keep_matches=True)
    assert counts.shape == (1, 2, 3, 6)
    assert counts[0, 0, 0, 0] > 0
    assert (counts[0, :, 1:, 0] == 0).all()
    assert (counts[0, :, :, 1] > 0).all()
    assert len(matches) == counts[0, 0, :, 3].sum()
    again = FeatureKeypoints.from_arrays(feature.to_arrays())
    assert np.array_equal(count_segment(values, place, grid, [[again, again]], 0)[0], counts)


# The run over a corpus.


@pytest.fixture(scope="session")
def svd() -> Any:
    return load_model("svd", seed=0)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five phantom recordings and ways to fail."""
    folder = tmp_path_factory.mktemp("maps_in")
    write_phantom(folder, recordings=5, seconds=3)
    (folder / "a_text.wav").write_text("this is not audio")
    (folder / "b_empty.wav").touch()
    return folder


def run(model: Any, folder: Any, output_dir: Any, **options: Any) -> Any:
    chosen = {"layers": ["mp6"], "features": ["harmonic", "percussive", "chroma"], **options}
    return actprobe.maps(model, folder, output_dir=output_dir, executor="local:1", figures=0, **chosen)


@pytest.fixture(scope="session")
def finished(svd: Any, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    output_dir = tmp_path_factory.mktemp("maps_out")
    return run(svd, corpus, output_dir, all_matches=True), output_dir


def test_run_writes_the_tables_and_names_every_failure(finished: tuple[Any, Path], svd: Any) -> None:
    found, output_dir = finished
    assert len(found.table) == 64 * 3
    pd.testing.assert_frame_equal(pd.read_parquet(output_dir / "maps.parquet"), found.table)
    assert tuple(pd.read_csv(output_dir / "maps.csv").columns) == MAP_COLUMNS
    ledger = pd.read_csv(output_dir / "recordings.csv").set_index("path")
    assert list(ledger[ledger.status == "failed"].index) == ["a_text.wav", "b_empty.wav"]
    assert (ledger[ledger.status == "ok"].seconds == 3).all()
    assert (found.table.n == 5).all()
    own = open_viewer(found, svd).counts["mp6"][:, :, 0]
    matches = pd.read_parquet(output_dir / "matches.parquet")
    assert len(matches) == own[..., 3].sum()
    assert matches["distance"].sum() == pytest.approx(own[..., 4].sum(), rel=1e-5)


def test_what_is_drawn_is_what_was_counted(finished: tuple[Any, Path], svd: Any, tmp_path: Path) -> None:
    found = finished[0]
    viewer = open_viewer(found, svd)
    looks = viewer.best(found.table, 1)
    assert looks
    names = [feature.name for feature in viewer.settings.features]
    for look in looks:
        pair = look.pair
        recording = [one.name for one in viewer.recordings].index(pair.recording)
        counts = viewer.counts[pair.layer][recording, names.index(look.feature), 0, pair.channel]
        assert np.allclose(pair.compared.counts, counts)
    listed_matches = match_rows(looks)
    assert len(listed_matches) == sum(len(look.pair.compared.matches) for look in looks)
    agreeing = listed_matches[listed_matches.agrees & (listed_matches.place_unit == "Hz")]
    assert (agreeing.map_seconds - agreeing.feature_seconds).abs().max() < 0.6
    items = [Item.of(look) for look in looks]
    for look, item in zip(looks, items, strict=True):
        side, rows = item.side(look.feature), match_rows([look])
        assert side is not None
        assert look.pair.map_picture is not None
        inverted = np.invert(look.pair.map_picture)
        assert np.array_equal(side.map_picture, inverted if side.negative else look.pair.map_picture)
        shown = item.start + np.array(side.matches)[:, [0, 2]] * (item.end - item.start)
        assert np.allclose(shown, rows[["feature_seconds", "map_seconds"]], atol=1e-3)
        assert np.array_equal(np.array(side.matches)[:, 5] == 1, rows.agrees)
    sides = [side for item in items if (side := item.side(item.feature)) is not None]
    assert len(sides) == len(items)
    assert {side.negative for side in sides} == {True, False}
    draw_figures(found.record, found.table, items, tmp_path)
    figures = list(tmp_path.glob("*.png"))
    assert len(figures) == len(looks) + 1
    assert all(path.stat().st_size > 10_000 for path in figures)
    assert "The weights are random" in found.summary
    assert found.record["failed"] == 2


def test_finished_shards_lead_to_the_same_bytes_and_are_not_computed_again(
    finished: tuple[Any, Path], svd: Any, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output_dir = finished[1]
    before = {name: (output_dir / name).read_bytes() for name in TABLES}
    removed = sorted(output_dir.glob("shards/maps-*/*.npz"))[1]
    removed.unlink()
    damaged = sorted(output_dir.glob("shards/features-*/*.npz"))[0]
    damaged.write_bytes(damaged.read_bytes()[:100])
    kept = {p: p.stat().st_mtime_ns for p in output_dir.glob("shards/*/*.npz") if p != damaged}
    run(svd, corpus, output_dir, all_matches=True)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert {name: (output_dir / name).read_bytes() for name in TABLES} == before

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("a finished recording went through the network again")

    monkeypatch.setattr(svd, "activations", forbidden)
    run(svd, corpus, output_dir, all_matches=True)


def test_excerpts_by_themselves_and_whole_recordings_are_counted_apart(
    finished: tuple[Any, Path], svd: Any, corpus: Path, tmp_path: Path
) -> None:
    found = run(svd, corpus, tmp_path, unit="excerpt", features=["percussive"])
    whole = finished[0]
    assert found.record["run_key"] != whole.record["run_key"]
    assert (found.table.n == 5).all()
    rows = whole.table[whole.table.feature == "percussive"]
    assert found.table.channel.tolist() == rows.channel.tolist()
    assert (found.table.keypoints_map.to_numpy() != rows.keypoints_map.to_numpy()).any()


def test_a_feature_of_ones_own_that_changes_is_computed_again(svd: Any, tmp_path: Path) -> None:
    source = (
        "import numpy as np\nfrom actprobe.features import feature_map\n\n"
        "@feature_map('steps', axis='hertz', unit='')\ndef steps(waveform):\n"
        "    'Steps.'\n    return np.eye(9, 5), np.arange(9) / 9, np.arange(5) * {step}\n"
    )
    keys = []
    for step in (100, 200):
        (tmp_path / "own.py").write_text(source.format(step=step))
        import_features(tmp_path / "own.py")
        described = MapSettings.of(svd, ["mp6"], ["steps"], "recording", 30.0).describe()
        assert list(described["feature_sources"]) == ["steps"]
        keys.append(digest(described))
    assert keys[0] != keys[1]
    assert MapSettings.of(svd, ["mp6"], ["hpcp"], "recording", 30.0).describe()["feature_sources"] == {}


def test_a_single_recording_has_no_null(svd: Any, corpus: Path, tmp_path: Path) -> None:
    recording = [one for one in open_corpus(corpus) if one.name.startswith("phantom")][:1]
    found = run(svd, recording, tmp_path, features=["chroma"])
    assert found.table[["score_null", "p", "q"]].isna().all(axis=None)
    assert found.table.score.notna().all()


def test_wrong_wishes_are_refused(svd: Any, corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"loudness is a scalar"):
        run(svd, corpus, tmp_path, features=["loudness"])
    with pytest.raises(UsageError, match="fc7 is a vector"):
        run(svd, corpus, tmp_path, layers=["fc7"])
    with pytest.raises(
        UsageError, match="conv1 has one position along mel, so that its channels are no images"
    ):
        look_up(layers_of("crepe_tiny"), ["conv1"], ["harmonic"], "recording", 30.0)
    with pytest.raises(UsageError, match="has no maps"):
        look_up(layers_of("crepe_tiny"), "all", ["harmonic"], "recording", 30.0)
    with pytest.raises(UsageError, match="unit"):
        run(svd, corpus, tmp_path, unit="second")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.wav").touch()
    with pytest.raises(CorpusError, match=r"none of 1 recordings.*x\.wav"):
        run(svd, tmp_path / "in", tmp_path / "out")
    assert pd.read_csv(tmp_path / "out/recordings.csv").status.tolist() == ["failed"]


def test_killed_run_goes_on_and_ends_the_same(
    finished: tuple[Any, Path], corpus: Path, tmp_path: Path
) -> None:
    """SIGKILL at the first shard of the second pass; the binary then gives the tables of the function."""
    command: list[str | Path] = [
        sys.executable, ROOT / "bin/actprobe-maps", "--model=svd", f"--input={corpus}", "--layers=mp6",
        "--features=harmonic,percussive,chroma", f"--output_dir={tmp_path}", "--executor=local:1",
        "--figures=0", "--all_matches",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob("shards/maps-*/*.npz")) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.glob("shards/*/*.npz")}
    assert stamps
    assert not (tmp_path / "maps.csv").exists()
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert "chroma: maps that beat" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (finished[1] / name).read_bytes()
    drawn = sorted(path.name for path in (tmp_path / "figures").iterdir())  # no maps were asked for
    assert drawn == ["histograms-mp6.pdf", "histograms-mp6.png"]


def test_binary_says_what_is_wrong_in_one_line(binary: Any, tmp_path: Path) -> None:
    assert "activation map" in binary("actprobe-maps", "--help").stdout
    flags = ("--model=svd", "--layers=conv1", f"--output_dir={tmp_path}")
    ended = binary("actprobe-maps", *flags, "--features=nothing")
    assert ended.returncode == 2
    assert len(ended.stderr.strip().splitlines()) == 1
