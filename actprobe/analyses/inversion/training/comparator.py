"""The network that looks at an excerpt: discriminator and comparator, as one differentiable function.

Its weights are frozen. For networks written in those words of `actprobe.models.specs` that are known here it
leaves out what is not asked for, computes in bfloat16 if told to, and adds bias and nonlinearity after a
pooling where both are monotonic, which gives the same numbers from a ninth of the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from actprobe import backend
from actprobe.analyses.inversion.networks.fused import fused
from actprobe.models.keras_build import LEAKY_RELU_SLOPE
from actprobe.models.model import Model
from actprobe.models.specs import Conv, Dense, Dropout, Flatten, MaxPool, Spec

ACTIVATIONS = ("linear", "relu", "leaky_relu", "elu", "sigmoid")  # all monotonic
CONSTANTS = 1 << 24  # more weights than these are not written into the graph


def feature_function(model: Model, layer: str, precision: str = "float32") -> Callable[[Any], Any]:
    """Make a differentiable function from excerpts [batch, time, mel] to the features of a layer.

    It has the network's weights as they are now. ``mixed_bfloat16`` computes in bfloat16 where all layers of
    the network are of kinds known here and its weights at most `CONSTANTS`. UsageError where TensorFlow does
    not compute the network.
    """
    wanted = model.layers[layer].tensor
    known = model.specs is not None and all(map(_known, model.specs))
    if known and model.keras_model.count_params() <= CONSTANTS:
        dtype = "bfloat16" if precision == "mixed_bfloat16" else "float32"
        return _quick_function(model.keras_model, model.specs or (), wanted, dtype)
    part = backend.keras.Model(model.keras_model.input, model.keras_model.output[wanted])
    return lambda examples: part(backend.tf.cast(examples, backend.tf.float32), training=False)


def layer_function(model: Model, layer: str, precision: str = "float32") -> Callable[[Any], Any]:
    """Make what `feature_function` makes, of any network: without gradients where it has none."""
    if model.has_gradients:
        return feature_function(model, layer, precision)
    tf, shape = backend.tf, model.layers[layer].shape

    def function(examples: Any) -> Any:
        floats = tf.cast(examples, tf.float32)
        found = tf.numpy_function(
            lambda given: model.activations(given, [layer])[layer], [floats], tf.float32
        )
        return tf.ensure_shape(found, (None, *shape))

    return function


def _known(spec: Spec) -> bool:
    match spec:
        case Conv():
            plain = spec.padding in ("valid", "same") and spec.stride == (1, 1)
            return plain and spec.activation in ACTIVATIONS
        case Dense():
            return spec.activation in ACTIVATIONS
        case MaxPool():
            return spec.stride in (None, spec.size)
    return isinstance(spec, Flatten | Dropout)


def _quick_function(
    keras_model: Any, network: Sequence[Spec], wanted: str, dtype: str
) -> Callable[[Any], Any]:
    tf, nn = backend.tf, backend.tf.nn
    specs = [spec for spec in network if not isinstance(spec, Dropout)]

    weights = {
        spec.name: keras_model.get_layer(spec.name).get_weights()
        for spec in specs
        if isinstance(spec, Conv | Dense)
    }

    def frozen(name: str) -> list[Any]:  # made within the graph, so that they are constants of it
        return [tf.cast(tf.constant(each), dtype) for each in weights[name]]

    def slope(features: Any) -> Any:
        """The derivative, from the sign that the output shares with the input."""
        bits = tf.bitcast(features, tf.int16 if dtype == "bfloat16" else tf.int32)
        return tf.where(bits >= 0, tf.constant(1.0, dtype), tf.constant(LEAKY_RELU_SLOPE, dtype))

    back = fused(lambda upstream, features: upstream * slope(features))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def leaky(tensor: Any) -> Any:
        """Leaky ReLU that keeps its output alone, so that it is fused with the convolution before it."""
        outputs = nn.leaky_relu(tensor, LEAKY_RELU_SLOPE)
        return outputs, lambda upstream: back(upstream, outputs)

    functions = {
        "linear": tf.identity, "relu": nn.relu, "leaky_relu": leaky, "elu": nn.elu, "sigmoid": tf.sigmoid
    }  # fmt: skip

    def activated(tensor: Any, activation: str) -> Any:
        return functions[activation](tensor)

    def function(examples: Any) -> Any:
        tensor = tf.cast(examples, dtype)[..., tf.newaxis]
        late: Conv | None = None  # a convolution whose bias and nonlinearity come after the pooling
        for spec, after in zip(specs, [*specs[1:], None], strict=True):
            match spec:
                case Conv(name):
                    kernel, bias = frozen(name)
                    tensor = nn.conv2d(tensor, kernel, 1, spec.padding.upper())
                    names = (name, f"{name}/linear")
                    if isinstance(after, MaxPool) and wanted not in names:
                        late = spec
                        continue
                    tensor = nn.bias_add(tensor, bias)
                    if wanted == names[1]:
                        return tensor
                    tensor = activated(tensor, spec.activation)
                case MaxPool(_, size):
                    tensor = nn.max_pool2d(tensor, size, size, "VALID")
                    if late is not None:
                        tensor = activated(nn.bias_add(tensor, frozen(late.name)[1]), late.activation)
                        late = None
                case Flatten():
                    if spec.order == "channel_time_mel":
                        tensor = tf.transpose(tensor, (0, 3, 1, 2))
                    tensor = tf.reshape(tensor, (-1, tensor.shape[1:].num_elements()))
                case Dense(name):
                    kernel, bias = frozen(name)
                    tensor = nn.bias_add(tf.matmul(tensor, kernel), bias)
                    if wanted == f"{name}/linear":
                        return tensor
                    tensor = activated(tensor, spec.activation)
            if spec.name == wanted:
                return tensor
        raise AssertionError(f"{wanted} is not a layer")

    plain: Callable[[Any], Any] = tf.autograph.experimental.do_not_convert(function)
    return plain
