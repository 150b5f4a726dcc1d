#!/usr/bin/env python3
"""Ablate every unit of a layer alone: actprobe against the plain loop that runs the network for every unit.

    taskset -c 0,1 python benchmarks/ablation.py --input=FOLDER --layers=mp3,conv5,fc7

The plain loop is what one writes with tf-keras: a network whose layer is multiplied by a mask of units, one
call for each unit and batch of excerpts, traced once. Both replace units by zero, get the same excerpts, are
warmed up once and take turns; the smaller of --rounds times counts. Prints seconds (wall and CPU), their
ratios, and the largest difference of the outputs.
"""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # lets a checkout find itself
import numpy as np
from numpy.typing import NDArray

from actprobe.cli import flags, run
from actprobe.flags import comma_list

MODEL = flags.DEFINE_string("model", "svd", "Name of a network.")
CHECKPOINT = flags.DEFINE_string("checkpoint", "svd-open", "Its weights; empty: random.")
INPUT = flags.DEFINE_string("input", None, "Recordings.", required=True)
LAYERS = flags.DEFINE_string("layers", "mp3,conv5,fc7", "Layers, separated by commas.")
EXCERPTS = flags.DEFINE_integer("excerpts", 32, "Excerpts, of as many recordings.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 2, "Times each is measured.", lower_bound=1)

Floats = NDArray[np.float32]


def main(argv: Sequence[str]) -> None:
    import actprobe
    from actprobe.frontends.excerpts import examples_at, possible_starts, spread

    model = actprobe.load_model(MODEL.value, checkpoint=CHECKPOINT.value or None)
    rate = model.frontend.sample_rate
    sounds = [each.waveform(rate).samples for each in actprobe.open_corpus(INPUT.value)[: EXCERPTS.value]]
    examples = np.concatenate(
        [
            examples_at(model.frontend, sound, spread(possible_starts(model.frontend, len(sound)), 1))
            for sound in sounds
        ]
    )
    output = model.output_layer
    print(f"{model}: {len(examples)} excerpts, output {output}")
    together = dict.fromkeys(("actprobe", "plain loop"), 0.0)
    for layer in comma_list(LAYERS.value):
        ways = {"actprobe": by_split(model, layer, output), "plain loop": by_loop(model, layer, output)}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        found = {name: compute(examples) for name, compute in ways.items()}
        for _ in range(ROUNDS.value):
            for name, compute in ways.items():
                wall, cpu = time.perf_counter(), time.process_time()
                compute(examples)
                times[name].append((time.perf_counter() - wall, time.process_time() - cpu))
        best = {name: min(each) for name, each in times.items()}
        together = {name: seconds + best[name][0] for name, seconds in together.items()}
        scale = np.abs(found["plain loop"]).max()
        worst = np.abs(found["actprobe"] - found["plain loop"]).max() / scale
        print(
            f"{layer}, {model.layers[layer].neurons} units: "
            + ", ".join(f"{name} {wall:.2f} s ({cpu:.2f} s CPU)" for name, (wall, cpu) in best.items())
            + f"; ratio {best['plain loop'][0] / best['actprobe'][0]:.1f} wall, "
            f"{best['plain loop'][1] / best['actprobe'][1]:.1f} CPU; largest difference {worst:.1e}"
        )
    print(f"all of these layers: ratio {together['plain loop'] / together['actprobe']:.1f} wall")


def by_split(model: Any, layer: str, output: str) -> Callable[[Floats], Floats]:
    """Cut the network at the layer."""
    cut = model.split(layer, [output])
    masks = np.eye(model.layers[layer].neurons, dtype=bool)

    def compute(examples: Floats) -> Floats:
        found = []
        for first in range(0, len(examples), model.batch_size):
            halfway = cut.before(examples[first : first + model.batch_size])
            zero = np.zeros((1, *halfway.values.shape[1:]), np.float32)
            found.append(np.concatenate([values[output] for _, values in cut.replaced(halfway, masks, zero)]))
        return np.concatenate(found, axis=1)

    return compute


def by_loop(model: Any, layer: str, output: str) -> Callable[[Floats], Floats]:
    """Run the network once for every unit, with the unit multiplied by 0."""
    from actprobe.backend import tf

    cut = model.split(layer, [output])
    units = model.layers[layer].neurons

    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def masked(examples: Any, mask: Any) -> Any:
        values, *others = cut.graph_before(examples)
        return cut.graph_after(values * mask, *others)[0]

    def compute(examples: Floats) -> Floats:
        rows = []
        for unit in range(units):
            mask = tf.constant(np.where(np.arange(units) == unit, 0, 1), tf.float32)
            batches = [
                masked(tf.constant(examples[first : first + model.batch_size]), mask).numpy()
                for first in range(0, len(examples), model.batch_size)
            ]
            rows.append(np.concatenate(batches))
        return np.stack(rows)

    return compute


if __name__ == "__main__":
    run(main)
