"""Guided backpropagation: gradients that stay positive at every rectifier."""

from __future__ import annotations

from functools import cache
from typing import Any

from actprobe import backend
from actprobe.analyses.attribution.excerpts import Excerpts
from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.methods.method import Attribution, Method, MethodSettings
from actprobe.errors import UsageError
from actprobe.models.graph import depending_on

GUIDED = "ActprobeGuided"
RECTIFIERS = ("Relu", "LeakyRelu", "Elu")
# Operations that are linear in all of their inputs, or that select among the values of one.
PASSED = (
    "Add", "AddN", "AddV2", "AvgPool", "AvgPool3D", "BatchToSpaceND", "BiasAdd", "Cast", "ConcatV2",
    "DepthToSpace", "ExpandDims", "Identity", "Max", "MaxPool", "MaxPoolV2", "Mean", "MirrorPad", "Pack",
    "Pad", "PadV2", "Reshape", "ReverseV2", "Slice", "SpaceToBatchND", "SpaceToDepth", "Split", "SplitV",
    "Squeeze", "StridedSlice", "Sub", "Sum", "Tile", "Transpose", "Unpack",
)  # fmt: skip
# Operations that are linear as long as one of their inputs depends on the example.
LINEAR_IN_ONE = (
    "BatchMatMulV2", "Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "Einsum", "FusedBatchNormV3",
    "GatherV2", "MatMul", "Mul",
)  # fmt: skip


class GuidedBackprop(Method):
    """dT / dx where each rectifier lets through what is positive: its input, and the gradient that enters it.

    Springenberg and others: Striving for simplicity, ICLR workshop 2015, figure 1. For LeakyReLU and ELU,
    which the paper does not have, the rule is the same: their derivative where the input and the gradient
    are positive, which is 1, and 0 elsewhere.

    The rule is put in place of the gradient of TensorFlow's operations, wherever in the network they are:
    in layers, in activations of layers, in nested models and in layers of the user's own. UsageError for any
    other nonlinearity between the example and the target, for which there is no such rule.
    """

    name = "guided_backprop"
    needs_gradients = True

    def __init__(self, explained: Explained, settings: MethodSettings) -> None:
        super().__init__(explained, settings)
        _refuse_other_nonlinearities(explained)
        _register()
        self._gradients = explained.gradient_of(dict.fromkeys(RECTIFIERS, GUIDED))

    def __call__(self, excerpts: Excerpts) -> Attribution:
        return Attribution(self._gradients(excerpts.examples)[1])


@cache
def _register() -> None:
    """Register the rule with TensorFlow, once a process."""
    tf = backend.tf

    @tf.RegisterGradient(GUIDED)  # type: ignore[untyped-decorator]
    def guided(operation: Any, gradient: Any) -> Any:
        passes = tf.logical_and(operation.inputs[0] > 0, gradient > 0)
        return tf.where(passes, gradient, tf.zeros_like(gradient))


def _refuse_other_nonlinearities(explained: Explained) -> None:
    """Walk from the target back to the example; UsageError at an operation without a rule."""
    graph_of = backend.tf.function(
        lambda examples: explained.target.of(explained.part(examples, training=False)),
        input_signature=[explained.signature],
    ).get_concrete_function()
    depending = depending_on(graph_of.inputs[0])
    for operation in _between(graph_of.outputs[0], depending):
        if not _has_rule(operation, depending):
            layer = "/".join(operation.name.split("/")[:-1][-1:]) or "of the target"
            raise UsageError(
                f"method guided_backprop: layer {layer} computes {operation.type} between the examples and "
                f"{explained.target}; the rule is known for ReLU, LeakyReLU and ELU alone"
                f"{_instead(explained)}"
            )


def _instead(explained: Explained) -> str:
    before = f"{explained.target.layer}/linear"
    return f"; take {before}/{explained.target.unit}" if before in explained.model.layers else ""


def _inputs(operation: Any, depending: set[str]) -> list[Any]:
    """Give the inputs through which gradients flow: no shapes, no conditions, no weights."""
    return [each for each in operation.inputs if each.name in depending and each.dtype.is_floating]


def _between(target: Any, depending: set[str]) -> list[Any]:
    """List the operations between the example and the target, from the target on."""
    found: dict[str, Any] = {}
    open_ = [target.op]
    while open_:
        operation = open_.pop()
        if operation.name not in found and operation.type != "Placeholder":
            found[operation.name] = operation
            open_ += [tensor.op for tensor in _inputs(operation, depending)]
    return list(found.values())


def _has_rule(operation: Any, depending: set[str]) -> bool:
    if operation.type == "RealDiv":
        return operation.inputs[1].name not in depending
    if operation.type == "SelectV2":
        return _is_elu_with_alpha(operation)
    if operation.type in LINEAR_IN_ONE:
        return len(_inputs(operation, depending)) == 1
    return operation.type in RECTIFIERS or operation.type in PASSED


def _is_elu_with_alpha(operation: Any) -> bool:
    """Whether it chooses between an ELU and that ELU times a number, which is how Keras computes alpha."""
    above, below = (tensor.op for tensor in operation.inputs[1:])
    return above.type == "Elu" and below.type == "Mul" and above.outputs[0].name in {
        tensor.name for tensor in below.inputs
    }  # fmt: skip
