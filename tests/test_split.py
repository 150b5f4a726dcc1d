"""A network cut at a layer computes what the whole one computes, and with units replaced what it should."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import own_networks
import pytest
from numpy.typing import NDArray

import actprobe
from actprobe.errors import UsageError
from actprobe.models import Model


def opened(make: Callable[[], Any]) -> Model:
    made = make()
    return made if isinstance(made, Model) else actprobe.wrap_model(made[0], frontend=made[1])


def excerpts(model: Model, count: int = 3) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((count, *model.frontend.example_shape)).astype(np.float32)


def without(model: Model, layer: str, output: str, replace: NDArray[np.bool_], fill: float = 0.0) -> Any:
    cut = model.split(layer, [output])
    halfway = cut.before(excerpts(model))
    values = np.full((1, *halfway.values.shape[1:]), fill, np.float32)
    return np.concatenate([found[output] for _, found in cut.replaced(halfway, replace, values)])


@pytest.mark.parametrize("make", [own_networks.keras2, own_networks.keras3, own_networks.recurrent])
def test_nothing_replaced_changes_nothing_at_any_layer(make: Callable[[], Any]) -> None:
    model = opened(make)
    output = model.output_layer
    expected = model.activations(excerpts(model), [output])[output]
    for name, layer in model.layers.items():
        if name != output:
            found = without(model, name, output, np.zeros((2, layer.neurons), np.bool_))
            np.testing.assert_array_equal(found, np.stack([expected, expected]), err_msg=name)


def test_a_replaced_channel_is_one_that_the_next_layer_does_not_see() -> None:
    keras_model, frontend = own_networks.keras2()
    model = actprobe.wrap_model(keras_model, frontend=frontend)
    found = without(model, "pool1", "classes", np.eye(6, dtype=np.bool_))
    kernel, bias = keras_model.get_layer("conv2").get_weights()
    for channel in range(6):
        changed = kernel.copy()
        changed[:, :, channel] = 0
        keras_model.get_layer("conv2").set_weights([changed, bias])
        expected = model.activations(excerpts(model), ["classes"])["classes"]
        np.testing.assert_allclose(found[channel], expected, rtol=1e-4, atol=1e-6)


def test_what_bypasses_the_layer_is_kept() -> None:
    """musicnn adds and concatenates what earlier layers gave."""
    model = actprobe.load_model("musicnn_mtt")
    tags = model.output_layer
    expected = model.activations(excerpts(model), [tags])[tags]
    for layer in ("timbral", "cnn2", "max_pool"):
        cut = model.split(layer, [tags])
        halfway = cut.before(excerpts(model))
        assert halfway.others, layer
        nothing = np.zeros((1, model.layers[layer].neurons), np.bool_)
        fill = np.zeros((1, *halfway.values.shape[1:]), np.float32)
        ((_, found),) = cut.replaced(halfway, nothing, fill)
        np.testing.assert_allclose(found[tags][0], expected, rtol=1e-5, atol=1e-7)


def test_many_sets_come_in_parts_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened(own_networks.keras2)
    replace = np.eye(6, dtype=np.bool_)
    together = without(model, "conv1", "classes", replace)
    monkeypatch.setattr("actprobe.models.split.BYTES_AT_ONCE", 1)
    np.testing.assert_allclose(without(model, "conv1", "classes", replace), together, rtol=1e-5)


def test_random_weights_are_cut_too() -> None:
    model = opened(own_networks.keras2)
    control = model.with_random_weights(1)
    with control.computing():
        expected = control.activations(excerpts(model), ["classes"])["classes"]
        found = without(control, "relu2", "classes", np.zeros((1, 8), np.bool_))
    np.testing.assert_array_equal(found[0], expected)


def test_a_layer_that_no_output_is_computed_from_is_refused() -> None:
    model = opened(own_networks.keras2)
    with pytest.raises(UsageError, match="no output is computed from classes"):
        model.split("classes", ["classes"])
    with pytest.raises(UsageError, match="no layer 'conv9'"):
        model.split("conv9", ["classes"])


def test_pytorch_is_cut_by_hooks_as_keras_in_its_graph() -> None:
    pytest.importorskip("torch")
    model, twin = opened(own_networks.pytorch), opened(own_networks.keras2)
    rng = np.random.default_rng(1)
    for layer, channels in (("conv1", 6), ("pool1", 6), ("relu2", 8)):
        replace = rng.random((4, channels)) < 0.4
        found = without(model, layer, "classes", replace, 0.3)
        expected = without(twin, layer, "classes", replace, 0.3)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5, err_msg=layer)
    with pytest.raises(UsageError, match="no output is computed from classes"):
        model.split("classes", ["classes"])
