"""The training step of an inverter against the same step without cached features, and in PyTorch.

    benchmarks/inverter_training.py --input=FOLDER --threads=2

The step of the FC7 inverter with the joint loss (excerpt and conv5 of the detector), batch 32, on the same
examples everywhere: forward and backward through the inverter and the comparator, Adam. Ways, measured in
turns in one run:

- actprobe: features of the recorded excerpts (FC7, conv5) from the store; --precision for how it computes;
- without cached features: both computed in the step, as the program of Mishra et al. does;
- PyTorch: the same networks, features from the store; in float32, and in bfloat16 by autocast.
  --torch_layout=default leaves its maps as it makes them; channels_last is faster.

The share of time that the training waits for its input is measured on the real pipeline: examples from
memory-mapped files, read in random order. With --input=FOLDER they come from recordings, otherwise from
noise.
PyTorch comes with `pip install actprobe[bench]`; without it its rows are left out.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from actprobe import backend
from actprobe.analyses.inversion.networks.arrays import initial_arrays, set_arrays
from actprobe.analyses.inversion.networks.build import build_inverter
from actprobe.analyses.inversion.training.comparator import feature_function
from actprobe.analyses.inversion.training.feature_cache import cached_features
from actprobe.analyses.inversion.training.learner import InverterLearner
from actprobe.analyses.inversion.training.losses import Objective
from actprobe.analyses.inversion.training.store import FrameStore
from actprobe.corpora.labelled import LabelledRecording
from actprobe.models import Model, load_model
from actprobe.models.networks.svd import INVERTERS
from actprobe.training.batches import Batches
from actprobe.training.model import TrainingModel
from actprobe.training.parts import Judge

BATCH = 32

Batch = dict[str, Any]
Step = Callable[[Batch], float]  # takes a batch through one step; the loss


def recordings(folder: str | None, seconds: float = 60.0) -> list[LabelledRecording]:
    """Real recordings, or noise that fades in and out."""
    from actprobe.corpora.labelled_folders import open_voiceless_folder

    if folder:
        return open_voiceless_folder(folder)
    rng = np.random.default_rng(0)
    samples = rng.standard_normal(int(22_050 * seconds)).astype(np.float32)
    samples *= 0.1 * np.abs(np.sin(np.arange(len(samples)) / 9000)).astype(np.float32)
    return [
        LabelledRecording(
            "noise", Path("noise"), np.zeros((0, 2)), load=lambda self, rate: {"mixture": samples}
        )
    ]


def tensorflow_step(model: Model, layer: str, precision: str, cached: bool) -> Step:
    """A function that takes a batch through one step."""
    tf, plan = backend.tf, INVERTERS[layer]
    inverter = build_inverter(plan, precision=precision)
    set_arrays(inverter, initial_arrays(plan, 0), plan)
    compared_of = feature_function(model, "conv5", precision)
    learner = InverterLearner(
        inverter, Objective("joint"), feature_function(model, layer, precision), compared_of
    )
    training = TrainingModel(learner, Judge("valid_input", "validation"))
    training.compile(optimizer=backend.keras.optimizers.Adam(1e-3, epsilon=1e-8))
    step = tf.function(training.train_step)

    def run(batch: Batch) -> float:
        chosen = batch if cached else {"excerpt": batch["excerpt"]}
        return float(step(chosen)["loss"])

    return run


def torch_step(
    model: Model, threads: int, autocast: bool, channels_last: bool
) -> tuple[Step, Callable[[Batch], Batch]]:
    """The same step of the FC7 inverter in PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional

    torch.set_num_threads(threads)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    plan = INVERTERS["fc7"]

    class Layer(nn.Module):
        def __init__(self, step: Any, before: tuple[int, ...]) -> None:
            super().__init__()
            self.kind = step.kind
            bias = not step.normalized
            if step.kind == "dense":
                self.linear = nn.Linear(before[0], step.channels, bias=bias)
            elif step.kind == "conv":
                self.linear = nn.Conv2d(before[-1], step.channels, 3, padding=1, bias=bias)
            else:
                self.linear = nn.ConvTranspose2d(before[-1], step.channels, 4, 2, 1, bias=bias)
            norm = nn.BatchNorm1d if step.kind == "dense" else nn.BatchNorm2d
            self.norm = norm(step.channels, 1e-4, 0.1) if step.normalized else nn.Identity()

        def forward(self, tensor: Any) -> Any:
            return functional.elu(self.norm(self.linear(tensor)))

    steps = [Layer(step, before) for _, step, before, _ in plan.walk()]
    with torch.no_grad():
        rest = iter(initial_arrays(plan, 0))
        for each in steps:
            kernel = torch.from_numpy(next(rest).copy())
            each.linear.weight.copy_(kernel.T if each.kind == "dense" else kernel.flip(2, 3))
            for _ in range(1 if each.linear.bias is not None else 4):
                next(rest)
            if each.linear.bias is not None:
                each.linear.bias.zero_()
    dense = sum(each.kind == "dense" for each in steps)

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.ModuleList(steps)

        def forward(self, features: Any) -> Any:
            for each in self.steps[:dense]:
                features = each(features)
            tensor = features.reshape(-1, 16, 4, 4).contiguous(memory_format=layout)
            for each in self.steps[dense:]:
                tensor = each(tensor)
            return tensor[:, :, :115, :80]

    convolutions = []
    for name in ("conv1", "conv2", "conv4", "conv5"):
        kernel, bias = model.keras_model.get_layer(name).get_weights()
        layer = nn.Conv2d(kernel.shape[2], kernel.shape[3], 3)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
            layer.bias.copy_(torch.from_numpy(bias))
        convolutions.append(layer.requires_grad_(False).to(memory_format=layout))

    def compared_of(tensor: Any) -> Any:
        first, second, fourth, fifth = convolutions
        tensor = functional.leaky_relu(first(tensor), 0.01)
        tensor = functional.leaky_relu(functional.max_pool2d(second(tensor), 3), 0.01)
        return functional.leaky_relu(fifth(functional.leaky_relu(fourth(tensor), 0.01)), 0.01)

    network = Network().to(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, eps=1e-8)
    counted = [each.linear.weight for each in steps]
    counted += [each.norm.weight for each in steps if not isinstance(each.norm, nn.Identity)]

    def as_torch(array: Any, maps: bool = False) -> Any:
        array = np.asarray(backend.tf.cast(array, backend.tf.float32))
        tensor = torch.from_numpy(array.copy())
        return tensor.permute(0, 3, 1, 2) if maps else tensor

    def run(batch: Batch) -> float:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            inverted = network(batch["features"])
            found = compared_of(inverted.contiguous(memory_format=layout))
        loss = functional.mse_loss(inverted.float(), batch["excerpt"][:, None])
        loss = loss + functional.mse_loss(found.float(), batch["compared"])
        loss = loss + 1e-4 * sum((weight**2).sum() for weight in counted)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    def prepared(batch: Batch) -> Batch:
        return {
            "excerpt": as_torch(batch["excerpt"]),
            "features": as_torch(batch["features"]),
            "compared": as_torch(batch["compared"], maps=True).contiguous(memory_format=layout),
        }

    return run, prepared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--input", help="folder of recordings")
    parser.add_argument("--checkpoint", default="svd-open")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="mixed_bfloat16", choices=["float32", "mixed_bfloat16"])
    parser.add_argument(
        "--torch_layout",
        default="channels_last",
        choices=["channels_last", "default"],
        help="of PyTorch's maps",
    )
    parser.add_argument("--steps", type=int, default=20, help="steps of each way")
    options = parser.parse_args()

    config = backend.tf.config.threading
    config.set_intra_op_parallelism_threads(options.threads)
    config.set_inter_op_parallelism_threads(options.threads)
    model = load_model("svd", options.checkpoint)
    dtype = "bfloat16" if options.precision == "mixed_bfloat16" else "float32"
    with tempfile.TemporaryDirectory() as folder:
        store = FrameStore(Path(folder), recordings(options.input), model.frontend)
        excerpts = store.excerpts(10)
        cached = cached_features(store, excerpts, model, ["fc7", "conv5"], dtype)
        parts = {"excerpt": store.rows(excerpts), "features": cached["fc7"], "compared": cached["conv5"]}
        batches = Batches(parts, BATCH)
        batch = next(iter(batches.endless()))
        ways: dict[str, tuple[Step, Batch]] = {
            "actprobe": (tensorflow_step(model, "fc7", options.precision, True), batch),
            "without cached features": (tensorflow_step(model, "fc7", options.precision, False), batch),
        }
        try:
            for name, autocast in (("PyTorch, float32", False), ("PyTorch, bfloat16", True)):
                run, prepared = torch_step(
                    model, options.threads, autocast, options.torch_layout == "channels_last"
                )
                ways[name] = (run, prepared(batch))
        except ImportError:
            print("PyTorch is not installed: its rows are left out")
        first = {name: run(batch) for name, (run, batch) in ways.items()}
        for run, batch in ways.values():
            run(batch)
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.steps):
            for name, (run, batch) in ways.items():
                run(batch)  # a training comes from a step of its own, not from one of another framework
                began = time.perf_counter()
                run(batch)
                seconds[name].append(time.perf_counter() - began)
        waited, whole = input_wait(batches, ways["actprobe"][0], options.steps)
    rate = {name: BATCH / statistics.median(each) for name, each in seconds.items()}
    print(f"FC7 inverter, joint, batch {BATCH}, {options.threads} threads, {options.precision}")
    for name in ways:
        ratio = rate["actprobe"] / rate[name]
        speed = f"{rate[name]:7.1f} examples/s   actprobe is {ratio:.2f} times"
        print(f"{name:26s} {speed}   first loss {first[name]:.4f}")
    share, milliseconds = 100 * waited / whole, whole / options.steps * 1e3
    print(f"waiting for input: {share:.1f} % of {milliseconds:.0f} ms a step")


def input_wait(batches: Batches, run: Step, steps: int) -> tuple[float, float]:
    """Seconds that a training waits for its batches, and all its seconds."""
    iterator = iter(batches.endless())
    for _ in range(3):
        run(next(iterator))
    waited, began = 0.0, time.perf_counter()
    for _ in range(steps):
        asked = time.perf_counter()
        batch = next(iterator)
        waited += time.perf_counter() - asked
        run(batch)
    return waited, time.perf_counter() - began


if __name__ == "__main__":
    main()
