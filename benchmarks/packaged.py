"""Activations per second of the networks that come in Python packages, against the original programs.

    pip install --no-deps --target=ORIGINALS musicnn==0.1.0 basic-pitch==0.4.0 resampy \
        pretty_midi importlib_resources mir_eval mido
    pip install --target=SETUPTOOLS "setuptools<81"
    PYTHONPATH=SETUPTOOLS pip install --no-deps --no-build-isolation --target=ORIGINALS crepe==0.0.16

    ACTPROBE_CACHE=CACHE taskset -c 0,1 python benchmarks/packaged.py --originals=ORIGINALS

The original programs run as they are: musicnn's ``extractor``, crepe's ``predict`` and basic-pitch's
``run_inference`` (``predict`` without its notes) with the model loaded beforehand. They are called in a
process of their own, with TF_USE_LEGACY_KERAS=1 and the packages of ORIGINALS, which ask for older libraries
than there are. Where crepe's weights could not be downloaded by its setup.py, its weight file is written from
that of the catalog: the values are the same, kernels get an axis of one.

Both read the same wav file at the network's sample rate, so that no resampler differs, and give the same
layers: all that the original gives. The two take turns. Three ratios are printed, by wall time and by CPU
time: for the whole recording, for its first fifth, and for each further second, which leaves out what a call
does whatever the length (``extractor`` builds its graph in every call). musicnn's recordings are padded with
zeros, as today's librosa does. The values are compared; of ``cnn1`` to ``cnn3`` and ``penultimate`` those of
the first patch, which the original repeats for all others.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]
Program = Callable[[Path], Arrays]

NETWORKS = ("musicnn_mtt", "vgg_mtt", "crepe_tiny", "crepe_full", "basic_pitch")
BEGINNING = 0.2  # of the recording
REPEATED = ("cnn1", "cnn2", "cnn3", "penultimate")  # the first patch, by the original
EDGE_FRAMES = 15  # of basic-pitch's windows, cut off where they are joined


def original(network: str) -> Program:
    """Give the original program: a wav file -> its arrays, by their names in actprobe."""
    family, _, variant = network.partition("_")
    if family in ("musicnn", "vgg"):
        from musicnn.extractor import extractor

        last = "dense_1" if family == "musicnn" else "dense"

        def tag(path: Path) -> Arrays:
            tags, _, features = extractor(str(path), model=f"{variant.upper()}_{family}")
            return {**features, last: tags}

        return tag
    if family == "crepe":
        import crepe
        from scipy.io import wavfile

        def track(path: Path) -> Arrays:
            rate, samples = wavfile.read(path)
            _, hertz, _, activation = crepe.predict(samples, rate, model_capacity=variant, verbose=0)
            return {"hertz": hertz, "classifier": activation}

        return track
    from basic_pitch import ICASSP_2022_MODEL_PATH
    from basic_pitch.inference import Model, run_inference

    loaded = Model(ICASSP_2022_MODEL_PATH)
    return lambda path: dict(run_inference(path, loaded))


def ours(network: str) -> tuple[Program, int]:
    """Give the same arrays by actprobe, and the sample rate of the network."""
    from actprobe import load_audio, load_model
    from actprobe.models.networks.crepe import pitch_track

    family = network.partition("_")[0]
    tagger = family in ("musicnn", "vgg")
    settings: dict[str, Any] = {"pad_mode": "constant"} if tagger else {}
    model = load_model(network, network, **settings)
    layers = {
        "musicnn": "timbral,temporal,cnn1,cnn2,cnn3,mean_pool,max_pool,penultimate,dense_1",
        "vgg": "pool1,pool2,pool3,pool4,pool5,dense",
        "crepe": "classifier",
        "basic": "contour,note,onset",
    }[family].split(",")

    def activations(path: Path) -> Arrays:
        waveform = load_audio(path, model.frontend.sample_rate)
        found: Arrays = dict(model.activations(model.frontend(waveform), layers))
        if family == "crepe":
            found["hertz"] = pitch_track(found["classifier"])[0]
        if family == "basic":
            found = {name: np.concatenate(maps[:, EDGE_FRAMES:-EDGE_FRAMES]) for name, maps in found.items()}
        return found

    return activations, model.frontend.sample_rate


def timed(program: Program, path: Path) -> tuple[float, float, Arrays]:
    began, worked = perf_counter(), process_time()
    found = program(path)
    return perf_counter() - began, process_time() - worked, found


def serve(network: str) -> None:
    """Call the original program for every path that comes in, and answer with the seconds it took."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the programs print
    program = original(network)
    for line in sys.stdin:
        path = Path(line.strip())
        wall, cpu, found = timed(program, path)
        np.savez(path.with_suffix(".npz"), **{name: np.asarray(array) for name, array in found.items()})
        print(json.dumps([wall, cpu]), file=answers, flush=True)


class Peer:
    """The original program in a process of its own."""

    def __init__(self, network: str, originals: Path) -> None:
        paths = [str(originals.absolute()), os.environ.get("PYTHONPATH", "")]
        settings = {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        self.network = network
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", __file__, f"--serve={network}"],
            env={**os.environ, **settings, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __call__(self, path: Path) -> tuple[float, float, Arrays]:
        questions, answers = _stream(self.process.stdin), _stream(self.process.stdout)
        print(path, file=questions, flush=True)
        answer = answers.readline()
        if not answer:
            sys.exit(f"the original of {self.network} failed: {_stream(self.process.stderr).read()[-2000:]}")
        wall, cpu = json.loads(answer)
        with np.load(path.with_suffix(".npz")) as found:
            return wall, cpu, dict(found)

    def close(self) -> None:
        _stream(self.process.stdin).close()
        self.process.wait()


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def write_crepe_weights(network: str, originals: Path) -> None:
    """Write the weight file that crepe looks for, where there is none, from that of the catalog."""
    import h5py

    target = originals / "crepe" / f"model-{network.removeprefix('crepe_')}.h5"
    if target.exists():
        return
    shutil.copy(Path(os.environ["ACTPROBE_CACHE"]) / network / "weights.h5", target)
    with h5py.File(target, "r+") as file:
        kernels: list[str] = []
        file.visititems(lambda name, item: kernels.append(name) if getattr(item, "ndim", 0) == 3 else None)
        for name in kernels:
            values = file[name][()]
            del file[name]
            file[name] = values[:, np.newaxis]
    print(f"wrote {target} from the weights of the catalog")


def write_recording(path: Path, seconds: float, rate: int, source: Path | None) -> None:
    """Write a recording at a rate, 16 bits: the beginning of a file, or tones that decay in noise."""
    import soundfile

    from actprobe import load_audio

    if source is not None:
        samples = load_audio(source, rate).samples[: round(seconds * rate)]
    else:
        rng = np.random.default_rng(0)
        time = np.arange(round(seconds * rate)) / rate
        samples = 0.01 * rng.standard_normal(len(time))
        for hertz, every in ((110, 0.8), (440, 0.5), (1760, 0.3)):
            samples += 0.1 * np.sin(2 * np.pi * hertz * time) * np.exp(-(time % every) * 5)
    soundfile.write(path, samples, rate, "PCM_16")


def difference(theirs: Arrays, found: Arrays) -> dict[str, float]:
    """Give the largest difference of every array, relative to its largest value."""
    apart = {}
    for name, array in theirs.items():
        same = np.squeeze(found[name])
        wanted = array.reshape(-1, *same.shape[1:])
        compared = 1 if name in REPEATED else len(wanted)  # the original's maps end before the recording
        apart[name] = float(np.abs(same[:compared] - wanted[:compared]).max() / np.abs(wanted).max())
    return apart


def compare(network: str, options: argparse.Namespace, folder: Path) -> None:
    if network.startswith("crepe"):
        write_crepe_weights(network, options.originals)
    program, rate = ours(network)
    peer = Peer(network, options.originals)
    lengths = (BEGINNING * options.seconds, options.seconds)
    paths = [folder / f"{network}-{seconds:g}.wav" for seconds in lengths]
    for path, seconds in zip(paths, lengths, strict=True):
        write_recording(path, seconds, rate, options.input)
        peer(path), program(path)  # the first calls do not count
    taken = np.zeros((options.rounds, 2, 2, 2))  # round, whose, length, wall or CPU
    for turn in range(options.rounds):
        for which, path in enumerate(paths):
            wall, cpu, theirs = peer(path)
            taken[turn, 0, which] = wall, cpu
            wall, cpu, found = timed(program, path)
            taken[turn, 1, which] = wall, cpu
    peer.close()
    examples = len(next(iter(found.values())))
    further = taken[:, :, 1] - taken[:, :, 0]
    rates = examples / np.median(taken[:, :, 1], axis=0)
    print(f"{network}: {examples} {'frames' if 'pitch' in network or 'crepe' in network else 'patches'}")
    for who, (wall, cpu) in zip(("original", "actprobe"), rates, strict=True):
        print(f"  {who} {wall:8.1f} per second, {cpu:8.1f} per CPU second")
    for what, seconds in (
        (f"{lengths[1]:g} s", taken[:, :, 1]),
        (f"{lengths[0]:g} s", taken[:, :, 0]),
        ("each further second", further),
    ):
        wall, cpu = (seconds[:, 0] / seconds[:, 1]).T
        print(
            f"  {what:20} {np.median(wall):5.2f} times as fast ({wall.min():.2f} to {wall.max():.2f}), "
            f"by CPU time {np.median(cpu):.2f}"
        )
    apart = difference(theirs, found)
    print(
        "  largest difference, relative:", ", ".join(f"{name} {value:.0e}" for name, value in apart.items())
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--originals", type=Path, help="the folder with the original packages")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--input", type=Path, help="a recording; default: synthetic sound")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the recording")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    if options.originals is None or "ACTPROBE_CACHE" not in os.environ:
        parser.error("give --originals, and the folder of the weights as ACTPROBE_CACHE")
    with tempfile.TemporaryDirectory() as folder:
        for network in options.networks.split(","):
            compare(network, options, Path(folder))
    print(f"{len(os.sched_getaffinity(0))} cores; load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
