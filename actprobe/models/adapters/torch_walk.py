"""Walks through a PyTorch network once: which modules are called, what comes out, and where that lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from actprobe import backend
from actprobe.models.adapters.torch_places import (
    BATCH,
    NONLINEAR,
    RECURRENT,
    STATES,
    Place,
    behind_function,
    behind_module,
    usual,
)

OUTPUT = "output"  # what the network computes behind its last module

Take = Callable[[str, Any, Any, Any], Any]


@dataclass(frozen=True)
class Found:
    """An output of a module: its class name, its shape and where it lies."""

    kind: str
    shape: tuple[int, ...]
    place: Place | None


@dataclass
class Walk:
    """What one pass through a network found, in the order of the calls.

    `linear` maps the names of nonlinear modules to the names of what enters them.
    """

    found: dict[str, Found] = field(default_factory=dict)
    linear: dict[str, str] = field(default_factory=dict)


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Put a network into evaluation mode without gradients, and every module back into its own at the end."""
    modes = [(each, each.training) for each in module.modules()]
    try:
        for each, _ in modes:
            each.training = False
        with backend.torch.no_grad():
            yield
    finally:
        for each, mode in modes:
            each.training = mode


def run(module: Any, inputs: Any, take: Take) -> None:
    """Compute a network and give each tensor that comes out of a module.

    `take` gets (name, module, its first input, tensor) at once, before anything changes the tensor in place.
    A tensor that it returns takes the place of the only tensor of a module.
    """
    torch = backend.torch
    calls: dict[str, int] = {}
    last: list[Any] = []

    def hook_of(name: str) -> Callable[[Any, Any, Any], None]:
        def hook(called: Any, given: Any, produced: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            again = f"#{calls[name]}" if calls[name] > 1 else ""
            tensors = [each for each in tensors_in(produced) if torch.is_tensor(each)]
            for i, tensor in enumerate(tensors):
                key = f"{name}{again}" if len(tensors) == 1 else f"{name}{again}/{i}"
                replaced = take(key, called, given[0] if given else None, tensor)
                last.append(tensor if replaced is None else replaced)
                if replaced is not None and produced is tensor:
                    return replaced
            return None

        return hook

    with ExitStack() as stack:
        for name, each in module.named_modules():
            if name:
                stack.callback(each.register_forward_hook(hook_of(name)).remove)
        results = tensors_in(module(inputs))
    known = {id(tensor) for tensor in last}
    for i, tensor in enumerate(results):
        if torch.is_tensor(tensor) and id(tensor) not in known:
            name = f"{OUTPUT}#2" if OUTPUT in calls else OUTPUT
            take(name if len(results) == 1 else f"{name}/{i}", module, None, tensor)


def tensors_in(thing: Any) -> list[Any]:
    """Flatten what a module returns."""
    if isinstance(thing, dict):
        thing = [thing[key] for key in sorted(thing)]
    if isinstance(thing, tuple | list):
        return [tensor for each in thing for tensor in tensors_in(each)]
    return [] if thing is None else [thing]


def walk(module: Any, inputs: Any, start: Place, maps: Sequence[str]) -> Walk:
    """Compute a network for three examples and follow its tensors.

    `start` is where the examples lie, and `maps` the order of time and mel in them.
    """
    torch = backend.torch
    fewer: dict[str, tuple[int, ...]] = {}
    run(module, inputs[:-1], lambda name, called, given, tensor: fewer.update({name: tuple(tensor.shape)}))
    walked = Walk()
    places = {id(inputs): start}
    constants = {id(each) for each in (*module.parameters(), *module.buffers())}
    names: dict[int, str] = {}
    kept = [inputs]  # so that no other tensor gets one's id

    def take(name: str, called: Any, given: Any, tensor: Any) -> None:
        kind, shape = type(called).__name__, tuple(tensor.shape)
        before = places.get(id(given))
        if kind in NONLINEAR and id(given) in names:
            walked.linear[name] = names[id(given)]
        place = None if before is None else behind_module(called, before, tuple(given.shape), shape)
        if place is None and id(given) != id(tensor):
            place = places.get(id(tensor))
        batch = _batch_axis(shape, fewer.get(name, ()))
        if place is None or len(place.axes) != len(shape) or place.axes.index(BATCH) != batch:
            axes = None if batch is None else usual(kind, len(shape), batch, maps)
            place = None if axes is None else Place(axes)
        if kind in RECURRENT and "/" in name and not name.endswith("/0"):
            place = Place(STATES) if (len(shape), batch) == (3, 1) else None
        places.pop(id(tensor), None)
        if place is not None:
            places[id(tensor)] = place
        names[id(tensor)] = name
        kept.append(tensor)
        walked.found[name] = Found(kind, shape, place if tensor.is_floating_point() else None)

    def function(name: str, args: Sequence[Any], named: Mapping[str, Any], result: Any) -> None:
        if not torch.is_tensor(result):
            return
        flat = tensors_in([*args, *(named[key] for key in sorted(named))])
        given = [each for each in flat if torch.is_tensor(each) and id(each) not in constants]
        known = [places[id(each)] for each in given if id(each) in places]
        place = places.pop(id(result), None)
        if known and len(known) == len(given):
            numbers = [each for each in flat if isinstance(each, int) and not isinstance(each, bool)]
            place = behind_function(name, numbers, known, tuple(given[0].shape), tuple(result.shape))
        elif place is not None:
            place = Place(place.axes)
        if place is not None:
            places[id(result)] = place
            kept.append(result)

    with _watching()(function):
        run(module, inputs, take)
    return walked


def _batch_axis(shape: Sequence[int], fewer: Sequence[int]) -> int | None:
    """Find the axis along which three examples give 3 and two give 2; None if that is not all."""
    if len(shape) != len(fewer):
        return None
    axes = [i for i, (three, two) in enumerate(zip(shape, fewer, strict=True)) if three != two]
    return axes[0] if len(axes) == 1 and (shape[axes[0]], fewer[axes[0]]) == (3, 2) else None


@cache
def _watching() -> type:
    """Make the context that sees PyTorch's functions; PyTorch loads when it is asked."""

    class Watching(backend.torch.overrides.TorchFunctionMode):  # type: ignore[misc]
        def __init__(self, told: Callable[[str, Sequence[Any], Mapping[str, Any], Any], None]) -> None:
            super().__init__()
            self.told = told

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            self.told(getattr(func, "__name__", ""), args, kwargs or {}, result)
            return result

    return Watching
