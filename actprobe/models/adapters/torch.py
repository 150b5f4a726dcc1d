"""Opens PyTorch networks by forward hooks on their named modules."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe import backend
from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd
from actprobe.models.adapters.axes import AXES, check_waveform, form, in_order, shape_in_words
from actprobe.models.adapters.rows import outputs_of, table_of
from actprobe.models.adapters.taps import Taps
from actprobe.models.adapters.torch_places import BATCH, CHANNEL, Place, arranged
from actprobe.models.adapters.torch_split import TorchSplit
from actprobe.models.adapters.torch_walk import Walk, evaluating, run, walk
from actprobe.models.model import Activations, Compute, Model
from actprobe.models.network import Network
from actprobe.models.receptive_field import Axis, State
from actprobe.models.split import Split
from actprobe.models.weights import WeightsRecord
from actprobe.weights import seeded_kernel


class TorchModel(Model):
    """A PyTorch network.

    Takes, in addition to what `Model` takes, the `module` itself, the order of its input (`axes`, see
    `actprobe.wrap_model`), whether it takes a `channel` axis of one, and `places`, the axes of each tensor by
    name.
    """

    what = "a PyTorch network"

    def __init__(
        self,
        network: Network,
        module: Any,
        frontend: FrontEnd,
        weights: WeightsRecord,
        axes: str,
        *,
        channel: bool,
        places: dict[str, tuple[str, ...]],
    ) -> None:
        super().__init__(network, frontend, weights)
        self.module = module
        self._axes, self._channel, self._places = axes, channel, places
        self._lock = RLock()  # hooks of one caller would see what another computes

    def with_random_weights(self, seed: int) -> TorchModel:
        with self._lock:
            module = initialised(self.module, seed)
        record = WeightsRecord("seeded random", sha256=_digest(module), seed=seed)
        how: Any = {"axes": self._axes, "channel": self._channel, "places": self._places}
        return TorchModel(self.network, module, self.frontend, record, **how)

    def digest(self) -> str:
        return _digest(self.module)

    def _split(self, layer: str, outputs: Sequence[str]) -> Split:
        def compute(examples: NDArray[np.float32], take: Callable[[str, Any], Any]) -> None:
            inputs = as_inputs(self.module, examples, self._axes, channel=self._channel)
            with self._lock, evaluating(self.module):
                run(self.module, inputs, lambda name, called, given, tensor: take(name, tensor))

        example = np.random.default_rng(0).standard_normal((2, *self.frontend.example_shape))
        return TorchSplit(compute, layer, outputs, self._places, example.astype(np.float32))

    def _compute(self, tensors: tuple[str, ...]) -> Compute:
        def compute(examples: NDArray[np.float32]) -> Activations:
            found: Activations = {}

            def take(name: str, called: Any, given: Any, tensor: Any) -> None:
                if name in tensors:
                    values = tensor.detach().to("cpu", backend.torch.float32, copy=True).numpy()
                    found[name] = np.ascontiguousarray(arranged(values, self._places[name]))

            with self._lock, evaluating(self.module):
                run(self.module, as_inputs(self.module, examples, self._axes, channel=self._channel), take)
            return found

        return compute


def wrap_torch(
    module: Any, frontend: FrontEnd | None, name: str, axes: str, outputs: Sequence[str] | None
) -> TorchModel:
    """Open a PyTorch network, see `actprobe.wrap_model`."""
    module = getattr(module, "_orig_mod", module)  # what torch.compile made a function of
    _check(module, name)
    check_waveform(frontend, axes, name)
    if frontend is None:
        raise UsageError(
            f"{name} is a PyTorch network, which does not tell what examples it takes: give it a front end"
        )
    channel, walked = _walked(module, frontend.example_shape, axes, name)
    frames, bands = frontend.example_shape
    taps = Taps(State(Axis(frames), Axis(bands), channels=1, vector=True))
    shapes, places = {}, {}
    for key, found in walked.found.items():
        if found.place is not None:
            places[key] = found.place.axes
            values = arranged(np.zeros(found.shape, np.float32), found.place.axes)
            shapes[key] = values.shape[1:]
            state = taps.example if values.ndim == 2 else found.place.seen()
            if key in walked.linear:
                taps.alias(f"{key}/linear", walked.linear[key])
            taps.add(key, found.kind, None, state)
    if not shapes:
        raise UsageError(f"{name} has no modules whose outputs have a batch axis: nothing to analyse")
    layers = table_of(taps, shapes, frontend, name)
    network = Network(name, layers, outputs=outputs_of(layers, outputs))
    record = WeightsRecord("user model", sha256=_digest(module))
    return TorchModel(network, module, frontend, record, axes, channel=channel, places=places)


def _check(module: Any, name: str) -> None:
    torch = backend.torch
    if not isinstance(module, torch.nn.Module):
        raise UsageError(f"{type(module).__name__} is not a torch.nn.Module")
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError(
            f"{name} is a TorchScript module, whose layers cannot be reached: give the torch.nn.Module that "
            f"it was made of"
        )
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    wanted = [
        each.name
        for each in signature(module.forward).parameters.values()
        if each.default is Parameter.empty and each.kind in kinds
    ]
    if len(wanted) > 1:
        raise UsageError(
            f"{name} has {len(wanted)} inputs ({', '.join(wanted)}); networks with one are opened: put it "
            f"into a module whose forward takes the examples alone"
        )


def as_inputs(module: Any, examples: NDArray[np.float32], axes: str, *, channel: bool) -> Any:
    """Turn examples [batch, time, mel] into what a network takes, on its device and in its precision."""
    torch = backend.torch
    turned = np.swapaxes(examples, 1, 2) if axes == "mel,time" else examples
    turned = turned[:, :, 0] if axes == "samples" else turned
    turned = turned[:, np.newaxis] if channel else turned
    held = next((each for each in module.parameters() if each.is_floating_point()), None)
    tensor = torch.from_numpy(np.array(turned, np.float32, order="C"))
    return tensor if held is None else tensor.to(held.device, held.dtype)


def _walked(module: Any, example_shape: tuple[int, int], axes: str, name: str) -> tuple[bool, Walk]:
    """Walk through a network with or without a channel axis, whichever it takes."""
    rng = np.random.default_rng(0)
    examples = rng.standard_normal((3, *example_shape)).astype(np.float32)
    order = AXES[axes]
    sizes = dict(zip(("time", "mel"), example_shape, strict=True))
    time, mel = Axis(sizes["time"]), Axis(sizes["mel"])
    names = tuple("time" if each == "samples" else each for each in order)
    reasons = []
    for channel in (False, True):
        start = Place((BATCH, CHANNEL, *names) if channel else (BATCH, *names), time, mel)
        inputs = as_inputs(module, examples, axes, channel=channel)
        try:
            with evaluating(module):
                return channel, walk(module, inputs, start, names)
        except Exception as error:  # a network's own code fails in any way
            reasons.append(f"{error or type(error).__name__}".splitlines()[0])
    raise UsageError(
        f"{name} takes neither {form(axes, last=False).replace(' or ', ' nor ')} examples of "
        f"{shape_in_words(example_shape)}, {list(in_order(example_shape, axes))} in this order: "
        f"{'; '.join(dict.fromkeys(reasons))}"
    )


def initialised(module: Any, seed: int) -> Any:
    """Copy a network with weights that are initialised again.

    Every module's ``reset_parameters`` (or ``_reset_parameters``) runs under PyTorch's generator with this
    seed. Weights that these leave as they are get the seeded random kernels of the catalog's networks, or
    are neutral if they are vectors: a control keeps nothing that was trained.
    """
    torch = backend.torch
    made = copy.deepcopy(module)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for each in made.modules():
            reset = getattr(each, "reset_parameters", getattr(each, "_reset_parameters", None))
            if callable(reset):
                reset()
        trained = dict(module.named_parameters())
        for name, parameter in made.named_parameters():
            if parameter.is_floating_point() and torch.equal(parameter, trained[name]):
                _seed(name, parameter, seed)
    return made


def _seed(name: str, parameter: Any, seed: int) -> None:
    shape = tuple(parameter.shape)
    if len(shape) >= 2:
        kernel = np.moveaxis(seeded_kernel(name, (*shape[1:], shape[0]), seed), -1, 0)
        parameter.copy_(backend.torch.from_numpy(np.ascontiguousarray(kernel)))
    elif name.endswith("bias"):
        parameter.zero_()
    else:
        parameter.fill_(1.0)


def _digest(module: Any) -> str:
    """Hash a network's modules and weights."""
    torch = backend.torch
    digest = hashlib.sha256(repr(module).encode())
    for name, values in module.state_dict().items():
        digest.update(f"{name} {type(values).__name__}\n".encode())
        if torch.is_tensor(values):
            half = values.dtype == torch.bfloat16  # which NumPy does not have
            array = np.ascontiguousarray((values.float() if half else values).detach().cpu().numpy())
            digest.update(f"{array.shape} {values.dtype}\n".encode())
            digest.update(array.data)
    return digest.hexdigest()
