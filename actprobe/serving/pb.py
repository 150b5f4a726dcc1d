"""A frozen graph: one file that holds graph and weights, as essentia's TensorflowPredict runs it.

essentia brings a TensorFlow of its own (2.5 in essentia-tensorflow 2.1b6), so attributes that have their
default value are left out of the graph: an older TensorFlow refuses those it does not know. Nodes:

- ``examples`` -> every exported layer, under its own name (of an inverter ``features`` ->
  ``mel_spectrogram``);
- ``waveform`` -> ``from_waveform/NAME``, where there is a front end: essentia's MonoLoader can be put
  straight before it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.serving.proof import Requests, check_equal
from actprobe.serving.saved_model import quiet
from actprobe.serving.signatures import ExportSignature, ExportTensor

PREFIX = "from_waveform"


def write_frozen_graph(path: Path, requests: Requests) -> tuple[list[ExportSignature], float]:
    """Write a frozen graph; give what is in it and its largest deviation from Python.

    Outputs are named as nodes. Times are left out, since essentia takes single precision only.

    Raises
    ------
    ActprobeError
        The graph gives other numbers than Python.
    UsageError
        A layer whose name cannot be that of a node.
    """
    tf = backend.tf
    signatures = {signature.name: signature for signature, _ in requests}
    asked = [signatures.get("activations", signatures["serving_default"])]
    asked += [signatures[name] for name in (PREFIX,) if name in signatures]
    written = [_with_node_names(signature) for signature in asked]
    graph = _frozen(asked, written)
    with graph.as_default():
        meta = tf.compat.v1.train.export_meta_graph(graph=graph, strip_default_attrs=True, clear_devices=True)
    _once(meta.graph_def)
    path.write_bytes(meta.graph_def.SerializeToString(deterministic=True))
    return written, _deviation(path, written, requests)


def _deviation(path: Path, written: Sequence[ExportSignature], requests: Requests) -> float:
    """Run the file as an older TensorFlow would, and compare."""
    tf = backend.tf
    by_name = {signature.name: signature for signature in written}
    plain = tf.compat.v1.ConfigProto()
    plain.graph_options.rewrite_options.disable_meta_optimizer = True  # which would copy every weight
    asked = [
        (by_name[one.name], values, one.python(values)) for one, values in requests if one.name in by_name
    ]
    deviations = []
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(tf.compat.v1.GraphDef.FromString(path.read_bytes()), name="")
    with tf.compat.v1.Session(graph=graph, config=plain) as session:
        for nodes, values, expected in asked:
            names = [output.name for output in nodes.outputs]
            found = session.run([f"{name}:0" for name in names], {f"{nodes.input.name}:0": values})
            deviations.append(
                check_equal(
                    f"{path.name}, {nodes.name}",
                    dict(zip(names, found, strict=True)),
                    {name: expected[_bare(name, nodes)] for name in names},
                )
            )
    return max(deviations)


def _with_node_names(signature: ExportSignature) -> ExportSignature:
    """Leave out what essentia cannot take, and name outputs after their nodes."""
    prefix = f"{PREFIX}/" if signature.name == PREFIX else ""
    outputs = tuple(
        ExportTensor(prefix + output.name, output.shape, output.what, output.dtype)
        for output in signature.outputs
        if output.dtype == "float32"
    )
    return replace(signature, outputs=outputs)


def _bare(node: str, signature: ExportSignature) -> str:
    return node.removeprefix(f"{PREFIX}/") if signature.name == PREFIX else node


def _frozen(asked: Sequence[ExportSignature], written: Sequence[ExportSignature]) -> Any:
    """Freeze signatures, each for itself, into one graph.

    Frozen together, the checks of the waveform would be run for examples, too.
    """
    tf = backend.tf
    graph = tf.Graph()
    for original, nodes in zip(asked, written, strict=True):
        concrete = _only_what_is_written(original, nodes)
        with quiet():
            frozen = backend.freeze(concrete)
        with graph.as_default():
            given = tf.compat.v1.placeholder(tf.float32, nodes.input.spec.shape, name=nodes.input.name)
            tensors = tf.import_graph_def(
                frozen.graph.as_graph_def(),
                input_map={frozen.inputs[0].name: given},
                return_elements=[tensor.name for tensor in frozen.outputs],
                name=f"frozen_{original.name}",
            )
            for output, tensor in zip(nodes.outputs, tensors, strict=True):
                _name(tensor, output.name)
    return graph


def _name(tensor: Any, name: str) -> None:
    """Put a node of some name behind a tensor."""
    try:
        found = backend.tf.identity(tensor, name=name).op.name
    except ValueError:  # not a name of TensorFlow
        found = ""
    if found != name:
        raise UsageError(
            f"a frozen graph can have no node {name!r}, which the layer would be: rename it, or leave it out "
            f"by naming the others with layers="
        )


def _only_what_is_written(original: ExportSignature, nodes: ExportSignature) -> Any:
    def run(given: Any) -> list[Any]:
        outputs = original.concrete()(given)
        return [outputs[_bare(output.name, nodes)] for output in nodes.outputs]

    return backend.tf.function(run, autograph=False).get_concrete_function(original.input.spec)


def _once(graph_def: Any) -> None:
    """Keep one of several equal constants, so that no weight is stored twice."""
    kept: dict[bytes, str] = {}
    other: dict[str, str] = {}
    for node in graph_def.node:
        if node.op == "Const" and not node.input:
            content = node.attr["value"].SerializeToString(deterministic=True)
            first = kept.setdefault(hashlib.sha256(content).digest(), node.name)
            if first != node.name:
                other[node.name] = first
    nodes = [node for node in graph_def.node if node.name not in other]
    for node in nodes:
        node.input[:] = [_renamed(name, other) for name in node.input]
    del graph_def.node[:]
    graph_def.node.extend(nodes)


def _renamed(reference: str, other: dict[str, str]) -> str:
    control = "^" if reference.startswith("^") else ""
    name = reference.removeprefix("^")
    return control + other.get(name, name)
