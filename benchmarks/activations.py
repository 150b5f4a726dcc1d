"""Examples per second of each network, against the same network in PyTorch.

    pip install .[bench]
    python benchmarks/activations.py [--threads=2] [--batch=N]

Both get the same examples and the same seeded random weights, in float32, with the same number of threads,
and take turns batch by batch so that drift of the machine's speed hits both alike. The share of the
machine is the network's own multiplications and additions per second over those of a square matrix product
measured in the same run.
"""

from __future__ import annotations

import argparse
import math
import os
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actprobe.models import Model
    from actprobe.models.layer_table import LayerTable
    from actprobe.models.specs import Spec

NETWORKS = ("cnn_at", "vggish", "mm_cnn", "svd")


def torch_twin(model: Model, specs: Sequence[Spec]) -> Any:
    """The network in PyTorch, channels first as PyTorch has it, with the same weights."""
    import torch
    from torch import nn

    from actprobe.models.specs import (
        BatchNorm,
        Branches,
        Conv,
        Dense,
        Elu,
        Flatten,
        MaxPool,
        Relu,
        window_of,
    )  # fmt: skip

    def tensor(array: NDArray[Any]) -> Any:
        return torch.from_numpy(np.ascontiguousarray(array))

    activations = {
        "relu": nn.ReLU, "elu": nn.ELU, "sigmoid": nn.Sigmoid, "leaky_relu": lambda: nn.LeakyReLU(0.01),
        "softmax": lambda: nn.Softmax(-1),
    }  # fmt: skip

    class Flat(nn.Module):
        def __init__(self, order: str) -> None:
            super().__init__()
            self.order = order

        def forward(self, x: Any) -> Any:
            return (x if self.order == "channel_time_mel" else x.permute(0, 2, 3, 1)).flatten(1)

    class Parallel(nn.Module):
        def __init__(self, stacks: Sequence[Any]) -> None:
            super().__init__()
            self.stacks = nn.ModuleList(stacks)

        def forward(self, x: Any) -> Any:
            return torch.cat([stack(x) for stack in self.stacks], 1)

    class TimeNorm(nn.Module):
        def __init__(self, scale: Any, shift: Any) -> None:
            super().__init__()
            self.scale, self.shift = scale[None, None, :, None], shift[None, None, :, None]

        def forward(self, x: Any) -> Any:
            return x * self.scale + self.shift

    kept = {layer.name: layer.weights for layer in model.keras_model.layers}

    def stack(specs: Sequence[Spec], channels: int) -> tuple[Any, int]:
        modules: list[Any] = []
        for spec in specs:
            weights = [w.numpy() for w in kept.get(spec.name, [])]
            match spec:
                case Conv(_, filters, (time, mel), padding, _):
                    before = [window_of(size, size, 1, padding)[0] for size in (time, mel)]
                    after = [
                        0 if padding == "valid" else size - 1 - b
                        for size, b in zip((time, mel), before, strict=True)
                    ]
                    if before != after:
                        modules.append(nn.ZeroPad2d((before[1], after[1], before[0], after[0])))
                        before = [0, 0]
                    layer = nn.Conv2d(channels, filters, (time, mel), padding=tuple(before))
                    layer.weight.data = tensor(weights[0].transpose(3, 2, 0, 1))
                    layer.bias.data = tensor(weights[1])
                    modules.append(layer)
                    channels = filters
                case Dense(_, units, _):
                    layer = nn.Linear(weights[0].shape[0], units)
                    layer.weight.data, layer.bias.data = tensor(weights[0].T), tensor(weights[1])
                    modules.append(layer)
                case BatchNorm(_, epsilon, axis):
                    gamma, beta, mean, variance = weights
                    if axis == "time":
                        scale = gamma / np.sqrt(variance + epsilon)
                        modules.append(TimeNorm(tensor(scale), tensor(beta - mean * scale)))
                    else:
                        layer = nn.BatchNorm2d(channels, eps=epsilon)
                        layer.weight.data, layer.bias.data = tensor(gamma), tensor(beta)
                        layer.running_mean.data, layer.running_var.data = tensor(mean), tensor(variance)
                        modules.append(layer)
                case Elu():
                    modules.append(nn.ELU())
                case Relu():
                    modules.append(nn.ReLU())
                case MaxPool(_, size):
                    modules.append(nn.MaxPool2d(size))
                case Flatten(_, order):
                    modules.append(Flat(order))
                case Branches(_, stacks):
                    modules.append(Parallel([stack(part, channels)[0] for part in stacks]))
            activation = getattr(spec, "activation", "linear")
            if activation != "linear":
                modules.append(activations[activation]())
        return nn.Sequential(*modules), channels

    network, _ = stack(specs, 1)
    return network.eval().to(memory_format=torch.channels_last)


def multiplications(specs: Sequence[Spec], layers: LayerTable) -> float:
    """Multiplications and additions of one example, convolutions and dense layers."""
    from actprobe.models.specs import Branches, Conv, Dense

    total, before = 0.0, 1
    for spec in specs:
        if isinstance(spec, Branches):
            total += sum(multiplications(stack, layers) for stack in spec.stacks)
            before = layers[spec.name].neurons
        elif isinstance(spec, Conv):
            time, mel, filters = layers[spec.name].shape
            total += 2.0 * time * mel * filters * before * math.prod(spec.kernel)
            before = filters
        elif isinstance(spec, Dense):
            total += 2.0 * before * spec.units
            before = spec.units
        elif spec.name in layers:
            before = layers[spec.name].neurons
    return total


def matrix_rate(tf: Any) -> float:
    size = 2048
    a = tf.random.normal((size, size))
    tf.matmul(a, a).numpy()
    times = []
    for _ in range(5):
        began = perf_counter()
        tf.matmul(a, a).numpy()
        times.append(perf_counter() - began)
    return 2 * size**3 / min(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, help="default: what actprobe takes for the network")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--networks", default=",".join(NETWORKS))
    options = parser.parse_args()

    from actprobe import backend, load_model

    tf = backend.tf
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    import torch

    torch.set_num_threads(options.threads)
    rate = matrix_rate(tf)
    print(f"{options.threads} threads, matrix product {rate / 1e9:.0f} GFLOP/s")
    for name in options.networks.split(","):
        model = load_model(name)
        specs = model.specs
        assert specs is not None  # these networks are made of them
        last = specs[-1].name
        twin = torch_twin(model, specs)
        batch = options.batch or model.batch_size
        shape = (batch, *model.frontend.example_shape)
        examples = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        images = torch.from_numpy(examples[:, None]).to(memory_format=torch.channels_last)
        ours = model.activations(examples, [last], batch_size=batch)[last]
        with torch.inference_mode():
            theirs = twin(images).numpy()
            worst = float(np.abs(ours - theirs).max() / np.abs(ours).max())
            seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
            for _ in range(options.rounds):
                began = perf_counter()
                model.activations(examples, [last], batch_size=batch)
                seconds["ours"].append(perf_counter() - began)
                began = perf_counter()
                twin(images)
                seconds["theirs"].append(perf_counter() - began)
        ratios = [other / own for own, other in zip(seconds["ours"], seconds["theirs"], strict=True)]
        speed = {who: batch / median(taken) for who, taken in seconds.items()}
        work = multiplications(specs, model.layers)
        print(
            f"{name:>8}, batches of {batch:>2}: actprobe {speed['ours']:6.1f} examples/s, "
            f"PyTorch {speed['theirs']:6.1f}; "
            f"ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
            f"{speed['ours'] * work / rate:.0%} of the matrix rate; outputs differ by {worst:.0e}"
        )


if __name__ == "__main__":
    main()
