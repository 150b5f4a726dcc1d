"""How fast is a neuron run, where does the time go, and does memory grow with the corpus?

    python benchmarks/neurons.py                                  MIR-1K below ACTPROBE_TEST_ASSETS
    python benchmarks/neurons.py --input=FOLDER --recordings=100,400 --cores=2 --seeds=0,3

Two networks, CNN-AT with its original weights and the open singing voice detector, each without and with
random controls. Every run is a process of its own on so many cores, from decoding to the last table with
1000 permutations; loading the network is not counted. What the feature processes need is told apart. The
plain loop that a run is held against does the same for one recording after the other: librosa.load,
essentia, librosa's melgram, ``model.predict``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from actprobe.corpora import Recording
    from actprobe.models import Model

LAYERS = {"cnn_at": ["pool4", "pool5"], "svd": ["fc8"]}
FEATURES = ["onset_rate", "loudness"]


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def processor_seconds() -> float:
    """Time that this process and those it has ended spent on processors."""
    from actprobe.workers import forked

    forked.end()
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, kinds))


def open_all(options: argparse.Namespace) -> tuple[Model, Sequence[Recording]]:
    from actprobe import load_model
    from actprobe.corpora import open_corpus

    recordings = open_corpus(options.input)[: options.child]
    model = load_model(options.model, options.checkpoint if options.model == "cnn_at" else "svd-open")
    return model, recordings


def actprobe_run(options: argparse.Namespace) -> dict[str, Any]:
    import actprobe
    from actprobe.batch.feature_pool import FeaturePool

    of_feature_processes = [0.0]
    close = FeaturePool.close

    def measured_close(pool: FeaturePool) -> None:
        # ru_maxrss of a child would count what this process had when it was forked.
        for pid in pool.process_ids:
            status = Path(f"/proc/{pid}/status").read_text()
            (kibibytes,) = re.findall(r"VmHWM:\s+(\d+)", status)
            of_feature_processes.append(int(kibibytes) / 1024)
        close(pool)

    setattr(FeaturePool, "close", measured_close)  # noqa: B010  (mypy minds a method that is assigned)
    model, recordings = open_all(options)
    with tempfile.TemporaryDirectory() as folder:
        began, worked = perf_counter(), processor_seconds()
        found = actprobe.neurons(
            model, recordings, layers=LAYERS[options.model], features=FEATURES, output_dir=folder,
            random_seeds=int(options.seeds), executor=options.executor, figures=0,
        )  # fmt: skip
        seconds, worked = perf_counter() - began, processor_seconds() - worked
        shown = ["layer", "feature", "weights", "best_r", "null_95", "above_null", "neurons"]
        table = found.layers[shown].to_dict("records")
        audio = float(found.recordings["seconds"].sum())
    return {
        "seconds": seconds,
        "processor_seconds": worked,
        "audio": audio,
        "stages": found.record["stages"],
        "mebibytes": peak_mebibytes(),
        "mebibytes_of_a_feature_process": max(of_feature_processes),
        "layers": table,
    }


def plain_loop(options: argparse.Namespace) -> dict[str, Any]:
    import librosa
    import numpy as np

    from actprobe import backend

    model, recordings = open_all(options)
    layers = LAYERS["cnn_at"]
    part = backend.keras.Model(model.keras_model.input, [model.keras_model.output[name] for name in layers])
    essentia = backend.essentia
    began = perf_counter()
    audio = 0.0
    for recording in recordings:
        samples, rate = librosa.load(recording.path, sr=44100, mono=True)
        audio += len(samples) / rate
        essentia.OnsetRate()(samples)
        loudness = essentia.Loudness()
        np.mean(
            [loudness(frame) for frame in essentia.FrameGenerator(samples, 2048, 1024, startFromZero=True)]
        )
        low = librosa.resample(samples, orig_sr=rate, target_sr=12000)
        low = librosa.util.fix_length(low, size=model.frontend.example_samples)
        power = librosa.feature.melspectrogram(y=low, sr=12000, n_fft=512, hop_length=256, n_mels=96)
        melgram = librosa.power_to_db(power**2).T
        part.predict(((melgram - melgram.mean()) / melgram.std())[np.newaxis], verbose=0)
    return {"seconds": perf_counter() - began, "audio": audio, "mebibytes": peak_mebibytes()}


def in_process(options: argparse.Namespace, recordings: int, **chosen: str | int) -> dict[str, Any]:
    command = [
        sys.executable, __file__, f"--input={options.input}", f"--checkpoint={options.checkpoint}",
        f"--executor={options.executor}", f"--child={recordings}",
        *(f"--{name}={value}" for name, value in chosen.items()),
    ]  # fmt: skip
    cores = sorted(os.sched_getaffinity(0))[: options.cores]
    pinned: dict[str, Any] = {"preexec_fn": lambda: os.sched_setaffinity(0, cores)} if options.cores else {}
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True, text=True, **pinned
    )
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def show(title: str, size: int, run: dict[str, Any]) -> None:
    print(
        f"\n{title}, {size} recordings, {run['audio']:.0f} s of audio in {run['seconds']:.1f} s: "
        f"{run['audio'] / run['seconds']:.0f} s of audio per second, "
        f"{run['audio'] / run['processor_seconds']:.0f} per second of a processor; "
        f"peak {run['mebibytes']:.0f} MiB and "
        f"{run['mebibytes_of_a_feature_process']:.0f} MiB for a feature process"
    )
    total = sum(seconds for stage, seconds in run["stages"].items() if stage != "waiting")
    for stage, seconds in run["stages"].items():
        where = "feature processes" if stage in ("decode", "features") else "process of the network"
        share = "" if stage == "waiting" else f"{seconds / total:6.1%} of the work"
        print(f"  {stage:>9}  {seconds:7.2f} s  {share:20} ({where})")
    for row in run["layers"]:
        print(
            f"  {row['layer']:>6} {row['feature']:>11} {row['weights']:>9}: best r {row['best_r']:+.3f}, "
            f"chance {row['null_95']:.3f}, above it {row['above_null']} of {row['neurons']}"
        )


def main() -> None:
    assets = Path(os.environ.get("ACTPROBE_TEST_ASSETS", "."))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=Path, default=assets / "audio/MIR-1K/Wavfile")
    parser.add_argument(
        "--checkpoint", type=Path, default=assets / "originals/cnn_at/music_tagger_cnn_weights_tensorflow.h5"
    )
    parser.add_argument("--recordings", default="100,865", help="sizes of the two corpora")
    parser.add_argument("--cores", type=int, default=2, help="cores that a run may use; 0 for all")
    parser.add_argument("--executor", default="local:2")
    parser.add_argument("--seeds", default="0,3", help="numbers of random controls")
    parser.add_argument("--models", default="svd,cnn_at")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--model", default="cnn_at", help=argparse.SUPPRESS)
    parser.add_argument("--plain", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(plain_loop(options) if options.plain else actprobe_run(options)))
        return
    small, large = (int(size) for size in options.recordings.split(","))
    used = options.cores or os.cpu_count()
    print(f"{', '.join(FEATURES)}; {options.input}; {used} of {os.cpu_count()} cores; {options.executor}")
    for model in options.models.split(","):
        for seeds in options.seeds.split(","):
            title = f"{model}, {', '.join(LAYERS[model])}, {seeds} random controls"
            runs = {size: in_process(options, size, model=model, seeds=seeds) for size in (small, large)}
            for size, run in runs.items():
                show(title, size, run)
            growth = runs[large]["mebibytes"] / runs[small]["mebibytes"]
            print(f"  peak memory, {large} against {small} recordings: {growth:.2f} times (limit 1.3)")
            if model == "cnn_at" and seeds == "0":
                plain = in_process(options, small, plain=1)
                ratio = (plain["seconds"] / plain["audio"]) / (runs[small]["seconds"] / runs[small]["audio"])
                print(
                    f"  plain loop, {small} recordings: {plain['audio'] / plain['seconds']:.0f} s of audio "
                    f"per second; actprobe is {ratio:.1f} times as fast"
                )


if __name__ == "__main__":
    main()
