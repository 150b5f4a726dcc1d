"""How many pairs of activation map and feature a second, against the plain loop, with the same result?

    python benchmarks/maps.py                                  MIR-1K below ACTPROBE_TEST_ASSETS, svd, conv1
    python benchmarks/maps.py --input=FOLDER --model=cnn_at --layer=conv2 --recordings=3
    python benchmarks/maps.py --against=CHECKOUT               and against actprobe as it is there

The plain loop takes every pair by itself: SIFT on both images, OpenCV's brute-force matcher both ways for
the map and for its negative, ratio test and cross-check in Python. Both start from the same images and end
with the same matches, which is verified. Both have two cores: the plain loop by OpenCV's threads, actprobe
by a thread for each of two channels. Beside the clock, which is anybody's on a busy machine, the processor
time of a pair is compared. Another checkout takes turns with this one, each time in a process of its own, on
the same images; it is verified that both find the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from actprobe import load_model
from actprobe.analyses.maps.channel_pass import activations_at
from actprobe.analyses.maps.geometry import layer_tolerance
from actprobe.analyses.maps.grid import MapGrid
from actprobe.analyses.maps.images import Image, feature_image, map_image
from actprobe.analyses.maps.keypoints import detect, negative
from actprobe.analyses.maps.pairs import compare
from actprobe.analyses.maps.settings import MapSettings
from actprobe.audio import load_audio
from actprobe.batch.prepare import prepare_recording
from actprobe.corpora import open_corpus
from actprobe.features import compute_maps

CORES = 2
RATIO = 0.9  # Lowe's test
TURNS = 5
CLOCKS = (perf_counter, process_time)
FEATURES = ["harmonic", "percussive", "hpcp"]

Maps = dict[str, list[Image | None]]  # axis -> channels
Pictures = dict[str, tuple[str, Image | None]]  # feature -> its axis and its image


def images_of(options: argparse.Namespace) -> Iterator[tuple[MapGrid, Maps, Pictures]]:
    """For every recording the images of its features, and of its channels on either axis."""
    model = load_model(options.model, options.checkpoint, options.normalization)
    settings = MapSettings.of(model, [options.layer], FEATURES, "recording", 30.0)
    grid = settings.grids[options.layer]
    recordings = open_corpus(options.input)
    for recording in recordings[:: max(1, len(recordings) // options.recordings)][: options.recordings]:
        prepared = prepare_recording(recording, settings.frontend)
        place = settings.places(prepared)[0][options.layer]
        features = compute_maps(load_audio(recording.path), FEATURES)
        values = activations_at(model, model.frontend.examples(prepared.samples), {options.layer: place})
        maps = {
            axis: [
                map_image(np.ascontiguousarray(one), place.times_seconds, grid, place.columns, axis)
                for one in np.moveaxis(values[options.layer], -1, 0)
            ]
            for axis in ("hertz", "pitch class")
        }
        pictures = {name: (f.axis, feature_image(f, grid, place.columns)) for name, f in features.items()}
        yield grid, maps, pictures


def plain_pair(image: Image | None, feature: Image | None) -> list[list[tuple[int, int, float]]]:
    """One pair by itself: [(index, index, distance), ...] for the map and for its negative."""
    ours, theirs = detect(image), detect(feature)
    found: list[list[tuple[int, int, float]]] = []
    for descriptors in (ours.descriptors, negative(ours.descriptors)):
        matcher = cv2.BFMatcher(cv2.NORM_L2)
        a, b = descriptors.astype(np.float32), theirs.descriptors.astype(np.float32)
        if len(a) == 0 or len(b) < 2:
            found.append([])
            continue
        pairs = matcher.knnMatch(a, b, 2)
        back = {match.queryIdx: match.trainIdx for match in matcher.match(b, a)}
        found.append(
            [
                (best.queryIdx, best.trainIdx, best.distance)
                for best, other in pairs
                if best.distance < RATIO * other.distance and back[best.trainIdx] == best.queryIdx
            ]
        )
    return found


def all_pairs(grid: MapGrid, maps: Maps, pictures: Pictures, times: int) -> list[Any]:
    """All channels against all features, each feature ``times`` times, as a run with partners does."""
    features = [(name, axis, detect(image)) for name, (axis, image) in pictures.items()]

    def one(channel: int) -> list[Any]:
        keypoints = {axis: detect(images[channel]) for axis, images in maps.items()}
        return [
            [compare(keypoints[axis], found, layer_tolerance(grid, axis)) for _ in range(times)]
            for _, axis, found in features
        ]

    channels = len(maps["hertz"])
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(CORES) as pool:
        return list(pool.map(one, range(channels)))


def one_turn(images: Path) -> dict[str, Any]:
    """Compare what is on the images, after a first channel: seconds by both clocks, and what came out."""
    seconds, digest = [0.0, 0.0], hashlib.sha256()
    for grid, maps, pictures in pickle.loads(images.read_bytes()):
        all_pairs(grid, {axis: channels[:1] for axis, channels in maps.items()}, pictures, 1)
        began = [clock() for clock in CLOCKS]
        found = all_pairs(grid, maps, pictures, 4)
        seconds = [s + clock() - t for s, clock, t in zip(seconds, CLOCKS, began, strict=True)]
        for pair in (pair for channel in found for feature in channel for pair in feature):
            for array in (pair.matches.first, pair.matches.second, pair.matches.distances, pair.counts):
                digest.update(array.tobytes())
    return {"seconds": seconds, "digest": digest.hexdigest()}


def compare_checkouts(other: Path, images: list[tuple[MapGrid, Maps, Pictures]]) -> None:
    """Let this checkout and another take turns, and print how much faster this one is."""
    here = Path(__file__).parents[1]
    turns: dict[Path, list[list[float]]] = {here: [], other.resolve(): []}
    found = set()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.pkl"
        path.write_bytes(pickle.dumps(images))
        for _ in range(TURNS):
            for checkout, seconds in turns.items():
                command = [sys.executable, __file__, f"--one-turn={path}"]
                paths = {**os.environ, "PYTHONPATH": str(checkout)}
                done = subprocess.run(command, env=paths, check=True, capture_output=True, text=True)
                turn = json.loads(done.stdout.splitlines()[-1])
                seconds.append(turn["seconds"])
                found.add(turn["digest"])
    pairs = 4 * sum(len(maps["hertz"]) * len(pictures) for _, maps, pictures in images)
    ours, theirs = np.array(turns[here]), np.array(turns[other.resolve()])
    same = "the same matches" if len(found) == 1 else "OTHER MATCHES"
    print(f"against {other}: {pairs} pairs with 3 partners, {TURNS} turns, {same}")
    for number, clock in enumerate(("wall", "processor")):
        ratios = np.sort(theirs[:, number] / ours[:, number])
        here_ms, there_ms = (1e3 * np.median(each[:, number]) / pairs for each in (ours, theirs))
        print(
            f"  {clock} time of a pair: {there_ms:.2f} ms there, {here_ms:.2f} ms here; "
            f"ratio {np.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        )


def main() -> None:
    assets = Path(os.environ.get("ACTPROBE_TEST_ASSETS", "."))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=Path, default=assets / "audio/MIR-1K/Wavfile")
    parser.add_argument("--model", default="svd")
    parser.add_argument("--checkpoint", help="default: seeded random weights; svd: the shipped svd-open")
    parser.add_argument("--normalization")
    parser.add_argument("--layer", default="conv1")
    parser.add_argument("--recordings", type=int, default=3)
    parser.add_argument(
        "--plain", type=int, default=40, help="pairs of the plain loop, drawn for each recording"
    )
    parser.add_argument("--against", type=Path, help="another checkout of actprobe")
    parser.add_argument("--one-turn", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_turn:
        print(json.dumps(one_turn(options.one_turn)))
        return
    if options.model == "svd" and options.checkpoint is None:
        options.checkpoint = "svd-open"
    print(f"{options.model} {options.layer}, {', '.join(FEATURES)}; {options.input}; {CORES} cores")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    draw = random.Random(0)
    ratios: dict[tuple[int, str], list[float]] = {
        (times, clock): [] for times in (1, 4) for clock in ("pairs a second", "processor time")
    }
    images = list(images_of(options))
    if options.against:
        compare_checkouts(options.against, images)
    for grid, maps, pictures in images:
        channels = len(maps["hertz"])
        chosen = draw.sample([(c, name) for c in range(channels) for name in pictures], options.plain)
        cv2.setNumThreads(CORES)
        began = perf_counter(), process_time()
        plain = [plain_pair(maps[pictures[name][0]][c], pictures[name][1]) for c, name in chosen]
        per_pair = [(clock() - t) / len(chosen) for clock, t in zip(CLOCKS, began, strict=True)]
        cv2.setNumThreads(1)
        rates = {}
        for times in (1, 4):
            began = perf_counter(), process_time()
            found = all_pairs(grid, maps, pictures, times)
            pairs = channels * len(pictures) * times
            ours = [(clock() - t) / pairs for clock, t in zip(CLOCKS, began, strict=True)]
            rates[times] = 1 / ours[0]
            ratios[times, "pairs a second"].append(per_pair[0] / ours[0])
            ratios[times, "processor time"].append(per_pair[1] / ours[1])
        for (channel, name), expected in zip(chosen, plain, strict=True):
            pair = found[channel][list(pictures).index(name)][0]
            got = list(
                zip(
                    pair.matches.first.tolist(),
                    pair.matches.second.tolist(),
                    pair.matches.distances.tolist(),
                    strict=True,
                )
            )
            if got != expected[pair.negative]:
                raise SystemExit(f"channel {channel}, {name}: the matches are not those of the plain loop")
        image = pictures["harmonic"][1]
        assert image is not None
        size = image.shape
        print(
            f"  {size[1]} x {size[0]} pixels, {channels} channels: plain loop {1 / per_pair[0]:.1f} pairs/s, "
            f"actprobe {rates[1]:.1f} (own features alone), {rates[4]:.1f} (with 3 partners); "
            f"{len(chosen)} pairs verified"
        )
    for (times, clock), values in ratios.items():
        name = "own features alone" if times == 1 else "with 3 partners"
        values.sort()
        print(f"{name}, {clock}: ratio {np.median(values):.1f} ({values[0]:.1f} to {values[-1]:.1f})")


if __name__ == "__main__":
    main()
