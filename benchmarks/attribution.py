"""Attribution of the singing voice detector against captum on the same network in PyTorch.

    pip install .[bench]
    python benchmarks/attribution.py [--threads=2] [--rounds=5] [--methods=gradient,lime]

Both get the same examples, weights, fills, steps, patches, patterns of tiles and number of examples at once,
in float32, with the same number of threads, and take turns round by round. Guided backpropagation, which
captum has for ReLU alone, is computed on the network with ReLU and random weights. Printed are the largest
difference of two values over the largest value, and how many times as long captum takes, in wall time and in
CPU seconds. At the end stands the peak memory of integrated gradients, occlusion and LIME of 4 excerpts and
of 32, each in a process of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np
from activations import torch_twin
from numpy.typing import NDArray

if TYPE_CHECKING:
    from actprobe.analyses.attribution.excerpts import Excerpts
    from actprobe.analyses.attribution.methods.method import Method, MethodSettings
    from actprobe.models import Model

# Excerpts of one call: as many as go through the network together where each goes through it once.
EXCERPTS = {
    "gradient": 64, "gradient_x_input": 64, "guided_backprop": 64, "grad_cam": 64, "integrated_gradients": 4,
    "occlusion": 2, "lime": 1,
}  # fmt: skip
HUNGRY = ("integrated_gradients", "occlusion", "lime")
FEW, MANY = 4, 32

Values = NDArray[Any]
Pair = tuple[Callable[[], Values], Callable[[], Values]]


def settings() -> MethodSettings:
    from actprobe.analyses.attribution.methods.method import MethodSettings

    return MethodSettings(lime_seeds=1)


def excerpts(model: Model, count: int) -> Excerpts:
    """Random examples; the fill is 0, the mean of the training corpus."""
    from actprobe.analyses.attribution.excerpts import Excerpts

    shape = (count, *model.frontend.example_shape)
    examples = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    sounds = np.zeros((count, 1), np.float32)
    fill = np.zeros_like(examples)
    return Excerpts("", model.frontend, np.zeros(count), examples, sounds, examples, "training_mean", fill)


def method_of(model: Model, name: str) -> Method:
    from actprobe.analyses.attribution.explained import Explained
    from actprobe.analyses.attribution.methods.registry import METHODS
    from actprobe.models.target import read_target

    return METHODS[name](Explained(model, read_target(model, None)), settings())


def with_relu(model: Model) -> Model:
    """The same network with ReLU in place of LeakyReLU, and random weights."""
    from actprobe.models.keras_build import build_keras
    from actprobe.models.keras_model import KerasModel
    from actprobe.models.network import Network
    from actprobe.models.spec_table import layer_table
    from actprobe.models.specs import Conv, Dense

    specs = tuple(
        replace(each, activation="relu")
        if isinstance(each, Conv | Dense) and each.activation == "leaky_relu"
        else each
        for each in model.specs or ()
    )
    copy = build_keras("relu_copy", model.frontend.example_shape, specs)
    copy.set_weights(model.with_random_weights(0).keras_model.get_weights())
    network = Network("relu_copy", layer_table("relu_copy", model.frontend, specs), specs=specs)
    return KerasModel(network, copy, model.frontend, model.weights)


def calls(model: Model, name: str, count: int, batch: int) -> Pair:
    """Our call and captum's, which give the same values of so many excerpts."""
    import torch
    from captum import attr

    if name == "guided_backprop":
        model = with_relu(model)
    given = excerpts(model, count)
    method: Any = method_of(model, name)
    twin = torch_twin(model, model.specs or ())[:-1]  # without the sigmoid
    x = torch.from_numpy(given.examples[:, None])
    x, fill = x.to(memory_format=torch.channels_last), torch.zeros_like(x)

    def ours() -> Values:
        return np.asarray(method(given).values)

    def squeezed(tensor: Any) -> Values:
        return np.asarray(tensor.detach().numpy()[:, 0])

    if name in ("gradient", "gradient_x_input", "guided_backprop"):
        of: dict[str, tuple[Any, dict[str, Any]]] = {
            "gradient": (attr.Saliency, {"abs": False}),
            "gradient_x_input": (attr.InputXGradient, {}),
            "guided_backprop": (attr.GuidedBackprop, {}),
        }
        kind, options = of[name]
        witness = kind(twin)
        return ours, lambda: squeezed(witness.attribute(x, target=0, **options))
    if name == "integrated_gradients":
        integrated = attr.IntegratedGradients(twin)
        how = {"n_steps": settings().steps, "method": "riemann_middle", "internal_batch_size": batch}
        return ours, lambda: squeezed(integrated.attribute(x, fill, target=0, **how))
    if name == "grad_cam":
        pooled = [module for module in twin if isinstance(module, torch.nn.MaxPool2d)][-1]
        cam = attr.LayerGradCam(twin, pooled)
        # captum resizes nothing by itself: positions are compared before they are placed in the sound.
        return (
            lambda: np.asarray(method.at_positions(given.examples)[0]),
            lambda: squeezed(cam.attribute(x, target=0, relu_attributions=True)),
        )
    if name == "occlusion":
        (_, frames), (_, bands) = method.patches[0]
        occlusion = attr.Occlusion(twin)
        shape = {"sliding_window_shapes": (1, frames, bands), "strides": (1, frames // 2, bands // 2)}
        at_once = batch // len(given)
        return ours, lambda: squeezed(
            occlusion.attribute(x, baselines=fill, target=0, perturbations_per_eval=at_once, **shape)
        )
    return _lime(method, given, twin, x, fill, batch)


def _lime(method: Any, given: Excerpts, twin: Any, x: Any, fill: Any, batch: int) -> Pair:
    import torch
    from captum import attr
    from captum._utils.models.linear_model import SkLearnRidge

    patterns, similarities = method.patterns[0], method.similarities[0]
    tiles = torch.from_numpy(method.tiles)[None, None]
    at = {"pattern": 0, "similarity": 0}

    def pattern(_: Any, **__: Any) -> Any:
        at["pattern"] += 1
        return torch.from_numpy(patterns[at["pattern"] - 1][None].astype(np.int64))

    def similarity(*_: Any, **__: Any) -> float:
        at["similarity"] += 1
        return float(similarities[at["similarity"] - 1])

    lime = attr.Lime(twin, SkLearnRidge(alpha=1.0), similarity, pattern)

    def theirs() -> Values:
        found = []
        for number in range(len(x)):
            at.update(pattern=0, similarity=0)
            found.append(
                lime.attribute(
                    x[number : number + 1], fill[:1], target=0, feature_mask=tiles, n_samples=len(patterns),
                    perturbations_per_eval=batch, return_input_shape=False,
                )
            )  # fmt: skip
        return np.asarray(torch.cat(found).numpy())

    return lambda: np.asarray(method.weights_of(given, 0)), theirs


def compare(model: Model, name: str, rounds: int) -> str:
    ours, theirs = calls(model, name, EXCERPTS[name], model.batch_size)
    own, other = ours(), theirs()  # warms both up
    difference = float(np.abs(own - other).max() / np.abs(other).max())
    wall: list[float] = []
    cpu: list[float] = []
    seconds: list[float] = []
    for _ in range(rounds):
        taken = []
        for call in (ours, theirs):
            began, began_cpu = perf_counter(), process_time()
            call()
            taken.append((perf_counter() - began, process_time() - began_cpu))
        seconds.append(taken[0][0])
        wall.append(taken[1][0] / taken[0][0])
        cpu.append(taken[1][1] / taken[0][1])
    return (
        f"| {name} | {EXCERPTS[name]} | {difference:.0e} | {median(seconds) / EXCERPTS[name]:.4f} | "
        f"{median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f}) | "
        f"{median(cpu):.2f} ({min(cpu):.2f} to {max(cpu):.2f}) |"
    )


def peak(name: str, count: int) -> None:
    """Print the peak memory of this process, in MiB, after explaining so many excerpts."""
    from actprobe import load_model

    model = load_model("svd", checkpoint="svd-open")
    method_of(model, name)(excerpts(model, count))
    # Not getrusage, whose maximum begins with that of the process that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(int(status["VmHWM"].split()[0]) // 1024)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", default=",".join(EXCERPTS))
    parser.add_argument("--memory", choices=("on", "off"), default="on")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        name, count = options.peak.split(":")
        peak(name, int(count))
        return

    from actprobe import backend, load_model

    backend.tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    import torch

    torch.set_num_threads(options.threads)
    model = load_model("svd", checkpoint="svd-open")
    print(f"{options.threads} threads, {model.batch_size} examples at once, load {os.getloadavg()[0]:.1f}")
    print("| method | excerpts | difference | s an excerpt | captum's time over ours | CPU seconds |")
    print("|---|---|---|---|---|---|")
    for name in options.methods.split(","):
        print(compare(model, name, options.rounds), flush=True)
    for name in HUNGRY if options.memory == "on" else ():
        peaks = [
            int(
                subprocess.run(
                    [sys.executable, __file__, f"--peak={name}:{count}"], capture_output=True, check=True
                ).stdout
            )
            for count in (FEW, MANY)
        ]
        print(f"{name}: peak {peaks[0]} MiB with {FEW} excerpts, {peaks[1]} MiB with {MANY}", flush=True)


if __name__ == "__main__":
    main()
