"""Training of the detector: examples mixed while it goes on, and how long its steps wait for them.

    benchmarks/detector_training.py --input=mir1k:MIR-1K --voiceless=FOLDER --precision=mixed_bfloat16

In one run, in turns:

- mixes: examples a second of one thread that does nothing else, and the CPU time of one;
- steps on batches that are there already: what the network takes;
- steps as a training takes them, on batches that are mixed beside it, and the share of their time in which
  they wait for a batch. On few cores a step is slower beside the mixing without waiting for it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from actprobe import backend
from actprobe.detection.network import build_trainable
from actprobe.detection.run import detector_splits
from actprobe.detection.segments import SegmentBatches, Segments
from actprobe.detection.spectra import normalization_of
from actprobe.detection.training import MOMENTUM, DetectorLearner
from actprobe.frontends.logmel import SAMPLE_RATE
from actprobe.training.mixer import Mixer, Recipe
from actprobe.training.model import TrainingModel
from actprobe.training.parts import Judge
from actprobe.training.settings import Settings
from actprobe.training.sounds import SoundStore

MIXES = 100


def training_step(segments: Segments, precision: str, batch_size: int) -> Any:
    """A function that takes a batch through one step of the training."""
    settings = Settings(1, 1, batch_size, 0.01, "constant", precision)
    learner = DetectorLearner(build_trainable(0), normalization_of(segments.mixer.store), settings)
    training = TrainingModel(learner, Judge("valid_auc", "valid AUC"))
    optimizer = backend.keras.optimizers.SGD(0.01, momentum=MOMENTUM, nesterov=True)
    training.compile(optimizer=optimizer)
    optimizer.build(learner.variables)
    return backend.tf.function(training.train_step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", required=True, help="a labelled corpus, such as mir1k:FOLDER")
    parser.add_argument("--voiceless", action="append", default=[], help="a folder without singing")
    parser.add_argument("--precision", default="float32", choices=("float32", "mixed_bfloat16"))
    parser.add_argument("--batch_size", type=int, default=10)
    parser.add_argument("--excerpts", type=int, default=17)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    backend.tf.config.threading.set_intra_op_parallelism_threads(given.threads)
    backend.tf.config.threading.set_inter_op_parallelism_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        recordings = detector_splits(given.input, voiceless=given.voiceless).train
        store = SoundStore(Path(folder), recordings, SAMPLE_RATE)
        measure(Segments(Mixer(store, Recipe(), 0), given.excerpts), given)


def measure(segments: Segments, given: argparse.Namespace) -> None:
    """Measure and print."""
    segments[0]
    wall, cpu = time.perf_counter(), time.thread_time()
    for number in range(MIXES):
        segments[number]
    wall, cpu = (time.perf_counter() - wall) / MIXES, (time.thread_time() - cpu) / MIXES
    print(f"mixes: {segments.excerpts / wall:.0f} excerpts/s of one thread, {1e3 * cpu:.1f} ms CPU a segment")

    step = training_step(segments, given.precision, given.batch_size)
    batches = iter(SegmentBatches(segments, given.batch_size).endless())
    there = [next(batches) for _ in range(4)]
    for batch in there:
        step(batch)
    alone, beside, waited = [], [], []
    for _ in range(given.turns):
        batches = None  # nothing is mixed now
        began = time.perf_counter()
        for number in range(given.steps):
            float(step(there[number % len(there)])["loss"])
        alone.append((time.perf_counter() - began) / given.steps)
        batches = iter(SegmentBatches(segments, given.batch_size).endless())
        for _ in range(4):
            float(step(next(batches))["loss"])
        waiting, began = 0.0, time.perf_counter()
        for _ in range(given.steps):
            asked = time.perf_counter()
            batch = next(batches)
            waiting += time.perf_counter() - asked
            float(step(batch)["loss"])
        whole = time.perf_counter() - began
        beside.append(whole / given.steps)
        waited.append(waiting / whole)
    units = given.batch_size * segments.excerpts
    for name, seconds in (("batches there", alone), ("batches mixed beside", beside)):
        median = statistics.median(seconds)
        print(f"{name}: {1e3 * median:.0f} ms a step, {units / median:.0f} excerpts/s")
    print(f"waiting: {100 * statistics.median(waited):.1f} % of the time")


if __name__ == "__main__":
    main()
