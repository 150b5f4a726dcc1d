"""An inverter as a Keras model, from its plan."""

from __future__ import annotations

from typing import Any

from actprobe import backend
from actprobe.models.inverter_specs import Plan, Step


def build_inverter(plan: Plan, name: str = "inverter", precision: str = "float32") -> Any:
    """Build an inverter as a Keras model.

    Input [batch, *feature_shape], in the type that it computes with; output float32 [batch, time, mel].
    ``mixed_bfloat16`` computes products in bfloat16 and everything else in float32: nonlinearities and
    statistics gain nothing from bfloat16, and are slower in it on a processor.
    """
    from actprobe.analyses.inversion.networks.batch_norm import BatchNorm
    from actprobe.analyses.inversion.networks.keras_layers import Align, Fit, UpConvolution

    keras = backend.keras
    layers = keras.layers
    policy = keras.mixed_precision.Policy(precision)
    inputs = keras.Input(plan.feature_shape, name="features", dtype=policy.compute_dtype)
    tensor = inputs
    if plan.taken != plan.feature_shape:
        tensor = layers.Reshape(plan.taken, name="mel_as_channels")(tensor)
    for number, (step_name, step, before, _) in enumerate(plan.walk()):
        options = {"name": step_name, "dtype": policy, "use_bias": not step.normalized}
        if plan.aligned is not None and number == plan.aligned_after:
            tensor = Align(plan, name="align")(tensor)
        match step.kind:
            case "dense":
                tensor = layers.Dense(step.channels, **options)(tensor)
            case "conv":
                tensor = _as_grid(tensor, before)
                tensor = layers.Conv2D(step.channels, step.kernel, padding="same", **options)(tensor)
            case "up":
                tensor = _as_grid(tensor, before)
                keep = None if step.normalized else _seen(plan, step, tensor.shape[1:3])
                tensor = UpConvolution(step.channels, step.scale, step.kernel, keep=keep, **options)(tensor)
        elu = number < len(plan.steps) - 1 or plan.ending == "elu"
        if step.normalized:
            tensor = BatchNorm(precision != "float32", elu, name=f"{step_name}_norm")(tensor)
        elif elu:
            tensor = layers.Activation("elu", name=f"{step_name}_elu")(tensor)
    outputs = Fit(plan.example_shape, name="excerpt")(tensor)
    return keras.Model(inputs, outputs, name=name)


def _seen(plan: Plan, step: Step, shape: tuple[int, int]) -> tuple[int, int]:
    """How much of a map the excerpt sees through the last up-convolution.

    Statistics are of whole maps, so nothing may be cut off before a normalisation.
    """
    needed = [
        wanted // 2 + 1 if scale == 2 else wanted + 1
        for wanted, scale in zip(plan.example_shape, step.scale, strict=True)
    ]
    return (min(needed[0], shape[0]), min(needed[1], shape[1]))


def _as_grid(tensor: Any, grid: tuple[int, ...]) -> Any:
    """Lay units into a map, channel by channel."""
    if tensor.shape.rank == 4:
        return tensor
    layers = backend.keras.layers
    time, mel, channels = grid
    tensor = layers.Reshape((channels, time, mel), name="channel_by_channel")(tensor)
    return layers.Permute((2, 3, 1), name="grid")(tensor)
