"""The network of the adversarial term: does an excerpt look like a recorded one?

Mishra, Sturm and Dixon (ISMIR 2018, section 6) name an adversarial loss as future work. This is the
least-squares form on patches of an excerpt (Mao et al.: Least squares generative adversarial networks,
ICCV 2017).
"""

from __future__ import annotations

from typing import Any

from actprobe import backend

CHANNELS = (16, 32, 64)


def build_discriminator(example_shape: tuple[int, int]) -> Any:
    """Build the network: excerpts [batch, time, mel] -> [batch, time / 8, mel / 8, 1].

    It gives about 1 where a patch seems recorded, about 0 where it seems made.
    """
    keras = backend.keras
    layers = keras.layers
    inputs = keras.Input(example_shape, name="excerpt")
    tensor = layers.Reshape((*example_shape, 1), name="as_map")(inputs)
    for number, channels in enumerate(CHANNELS):
        tensor = layers.Conv2D(channels, 4, 2, padding="same", name=f"conv{number + 1}")(tensor)
        tensor = layers.LeakyReLU(0.2, name=f"leaky_relu{number + 1}")(tensor)
    return keras.Model(
        inputs, layers.Conv2D(1, 3, padding="same", name="judge")(tensor), name="discriminator"
    )
