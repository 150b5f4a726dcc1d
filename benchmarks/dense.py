"""How much faster is dense evaluation of the singing voice detector than its excerpts one by one?

    python benchmarks/dense.py                        4 minutes of synthetic sound, random weights
    python benchmarks/dense.py --input=SONG --checkpoint=F.npz --normalization=F.npz
    python benchmarks/dense.py --excerpts=2000        time only so many excerpts one by one, spread evenly
    python benchmarks/dense.py --networks=musicnn_msd,vgg_msd   their last layers at hops 1 and 10

Both give the prediction ``fc9`` for every excerpt at hop 1, in one process, with the same threads and
weights, after a first call that does not count. Its peer is ``model.activations`` in batches of 32, the
batch of the original. The two take turns, so that whatever else the machine does burdens both: in each
round a share of the excerpts goes one by one and the whole recording densely. If only a part of the
excerpts is timed, their time is scaled up by their number and the output says so. The front end is the
same for both and timed apart. Of other networks with random weights, 64 excerpts of a recording of
random frames are timed one by one, and a few chunks densely.
"""

from __future__ import annotations

import argparse
import os
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")

SECONDS = 240
BATCH = 32


def sound() -> NDArray[np.float32]:
    """Four minutes of decaying tones in noise, 22.05 kHz."""
    rng = np.random.default_rng(0)
    time = np.arange(SECONDS * 22050) / 22050
    samples = 0.01 * rng.standard_normal(len(time))
    for hertz, every in ((110, 0.8), (440, 0.5), (1760, 0.3)):
        samples += 0.1 * np.sin(2 * np.pi * hertz * time) * np.exp(-(time % every) * 5)
    return samples.astype(np.float32)


def mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def timed(call: Callable[[], Result]) -> tuple[float, Result]:
    began = perf_counter()
    result = call()
    return perf_counter() - began, result


def other_network(name: str, hop: int, rounds: int) -> None:
    """Print how much faster the last layer of a network is for an excerpt every `hop` frames."""
    from actprobe import load_model

    model = load_model(name, hop=hop)
    last = [list(model.layers)[-1]]
    length, bands = model.frontend.example_shape
    count = max(2000, 100 * hop)
    frames = np.random.default_rng(0).random((length + count - 1, bands), np.float32)
    excerpts = np.lib.stride_tricks.sliding_window_view(frames, length, axis=0).transpose(0, 2, 1)[::hop]
    picked = np.ascontiguousarray(excerpts[:: max(1, len(excerpts) // 64)][:64])
    dense = model.dense(last)

    def densely() -> NDArray[np.float32]:
        return np.concatenate([piece[last[0]] for _, piece in dense.chunks(frames, hop)])

    def one_by_one() -> NDArray[np.float32]:
        return model.activations(picked, last, batch_size=BATCH)[last[0]]

    whole, single = densely(), one_by_one()
    seconds = {densely: np.zeros((rounds, 2)), one_by_one: np.zeros((rounds, 2))}
    for turn in range(rounds):
        for way, found in seconds.items():
            began, worked = perf_counter(), process_time()
            way()
            found[turn] = perf_counter() - began, process_time() - worked
    each = seconds[one_by_one] / len(picked), seconds[densely] / len(excerpts)
    wall, cpu = (each[0] / each[1]).T
    apart = np.abs(whole[:: max(1, len(excerpts) // 64)][:64] - single).max()
    print(
        f"{name} {last[0]}, hop {hop}: {1e3 * each[0][:, 0].mean():.1f} ms an excerpt in batches of {BATCH}, "
        f"{1e3 * each[1][:, 0].mean():.2f} ms densely; {np.median(wall):.1f} times as fast "
        f"({wall.min():.1f} to {wall.max():.1f}), by CPU time {np.median(cpu):.1f}; "
        f"evaluation {model.evaluation(last)}; difference {apart:.1e}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--input", type=Path, help="a recording; default: synthetic sound")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--normalization", type=Path)
    parser.add_argument("--excerpts", type=int, help="excerpts timed one by one; default: all")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--networks", help="names, joined by commas, instead of SVD")
    options = parser.parse_args()
    if options.networks:
        print(f"{os.cpu_count()} cores; load average {os.getloadavg()[0]:.1f}")
        for name in options.networks.split(","):
            for hop in (1, 10):
                other_network(name, hop, options.rounds)
        return

    from actprobe import load_audio, load_model

    model = load_model("svd", options.checkpoint, options.normalization)
    samples = sound() if options.input is None else load_audio(options.input, sample_rate=22050).samples
    model.frontend.frames(samples[: 10 * 22050])
    front_end_seconds, frames = timed(lambda: model.frontend.frames(samples))
    excerpts = np.lib.stride_tricks.sliding_window_view(frames, 115, axis=0).transpose(0, 2, 1)
    step = 1 if options.excerpts is None else max(1, len(excerpts) // options.excerpts)
    picked = np.ascontiguousarray(excerpts[::step])

    dense = model.dense(["fc9"])
    means = model.dense(list(model.layers), reduce="mean")
    for warm in (dense, means):
        warm(frames[:400])
    model.activations(picked[:BATCH], ["fc9"], batch_size=BATCH)

    before = mebibytes()
    _, ours = timed(lambda: dense(frames)["fc9"])
    grown = mebibytes() - before
    means_seconds, _ = timed(lambda: means(frames))
    single, whole, worst = [], [], 0.0
    for turn in range(options.rounds):
        share = slice(turn * len(picked) // options.rounds, (turn + 1) * len(picked) // options.rounds)
        seconds, found = timed(partial(model.activations, picked[share], ["fc9"], batch_size=BATCH))
        single.append(seconds)
        whole.append(timed(lambda: dense(frames))[0])
        worst = max(worst, float(np.abs(ours[::step][share] - found["fc9"]).max()))
    seconds = sum(single) * len(excerpts) / len(picked)
    dense_seconds = float(np.mean(whole))
    ratios = [
        s * len(excerpts) / len(picked) * options.rounds / w for s, w in zip(single, whole, strict=True)
    ]

    cores, threads = os.cpu_count(), os.environ.get("OMP_NUM_THREADS", "all")
    print(
        f"SVD, {model.weights}; {options.input or 'synthetic'}, {len(samples) / 22050:.0f} s, {cores} cores"
    )
    print(f"threads {threads}; load average {os.getloadavg()[0]:.1f}")
    print(f"front end, for both      {front_end_seconds:8.2f} s")
    how = "all of them" if step == 1 else f"every {step}th, {sum(single):.1f} s, scaled up"
    print(f"excerpts in batches of {BATCH} {seconds:8.2f} s   {len(excerpts)} excerpts, {how}")
    print(f"dense                    {dense_seconds:8.2f} s   {grown:.0f} MiB more memory at its peak")
    print(f"dense, every layer       {means_seconds:8.2f} s   channel means of the maps")
    print(f"largest difference of the predictions {worst:.1e} (limit 1e-5)")
    print(
        f"dense evaluation is {seconds / dense_seconds:.1f} times as fast (aim 20); "
        f"in {options.rounds} rounds {min(ratios):.1f} to {max(ratios):.1f}"
    )


if __name__ == "__main__":
    main()
