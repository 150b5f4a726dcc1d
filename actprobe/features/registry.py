"""Registry of hand-crafted features: numbers and maps of a recording, each from one decorated function.

`actprobe.features.feature` puts a number into it, `actprobe.features.feature_map` a map. A name belongs to
one feature, be it a number or a map.
"""

from __future__ import annotations

import importlib.metadata
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from actprobe.audio import RESAMPLER, Waveform
from actprobe.errors import FeatureError, UsageError

KINDS = ("scalar", "map")
PACKAGES = {"essentia-tensorflow": "essentia", "librosa": "librosa"}  # distribution -> in `actprobe.backend`


@dataclass(frozen=True)
class Feature:
    """A hand-crafted feature: what it is called, what it needs, and how it is computed.

    It can be pickled into another process, a function of a notebook or script by cloudpickle.

    - ``unit``: such as ``1/s``; empty for a pure number.
    - ``sample_rate``: rate in Hz that the function wants its waveform at; None for the recording's own.
    - ``backend``: distribution whose version the value depends on, such as ``essentia-tensorflow``; empty for
      none.
    - ``function``: takes a Waveform and returns one finite number, or what `feature_map` says of a map.
    - ``description``: one sentence.
    - ``kind``: ``scalar`` for one number a recording, ``map`` for values over time and bins.
    - ``axis``: what the bins of a map are, ``hertz`` or ``pitch class``.
    - ``together``: names of all the maps that one call of the function gives.
    - ``shortest_seconds``: shortest sound that a scalar is defined for; 0 where any will do.
    """

    name: str
    unit: str
    sample_rate: int | None
    backend: str
    function: Callable[[Waveform], Any]
    description: str
    kind: str = "scalar"
    axis: str = ""
    together: tuple[str, ...] = ()
    shortest_seconds: float = 0.0


_registry: dict[str, Feature] = {}


def register(entry: Feature) -> None:
    """Put a feature into the registry; a name of another function or kind is a `UsageError`."""
    existing = _registry.get(entry.name)
    # The same definition executed again, as in a notebook, replaces its earlier self.
    if existing is not None and (existing.kind, _origin(existing)) != (entry.kind, _origin(entry)):
        raise UsageError(
            f"feature {entry.name} is already registered by {_origin(existing)}, a {existing.kind}"
        )
    _registry[entry.name] = entry


def refuse_bad_name(name: str, sample_rate: int | None) -> None:
    """Refuse a name that is no identifier, and a rate that is not positive."""
    if not name.isidentifier():
        raise UsageError(f"feature name {name!r} is not an identifier (letters, digits and underscores)")
    if sample_rate is not None and sample_rate <= 0:
        raise UsageError(f"feature {name}: sample_rate={sample_rate} is not a rate in Hz")


def first_line(function: Callable[..., Any]) -> str:
    """Take the first line of a function's docstring; empty when it has none."""
    return (inspect.getdoc(function) or "").partition("\n")[0]


def available(kind: str | None = None) -> list[str]:
    """List the names of the registered features, sorted, of both kinds or of one."""
    if kind not in (None, *KINDS):
        raise UsageError(f"no kind of feature is called {kind!r}; there are: {', '.join(KINDS)}")
    return sorted(name for name, entry in _registry.items() if kind in (None, entry.kind))


def get_feature(name: str, kind: str | None = None) -> Feature:
    """Look a feature up by its name; one that is not there, or of another kind, is a `UsageError`."""
    names = ", ".join(available(kind))
    if name not in _registry:
        what = "feature" if kind is None else f"{kind} feature"
        raise UsageError(f"no {what} is called {name!r}; there are: {names}")
    entry = _registry[name]
    if kind not in (None, entry.kind):
        raise UsageError(f"feature {name} is a {entry.kind}, not a {kind}; {kind} features: {names}")
    return entry


def describe(features: Iterable[str | Feature]) -> dict[str, dict[str, str | int | None]]:
    """Describe how the values of these features were made, for run.json.

    Per feature: ``kind``, ``description``, ``unit``, ``axis`` (of maps only), ``sample_rate`` in Hz (None for
    the recording's own), ``resampler`` (empty when the rate is never changed), ``backend`` and
    ``backend_version``. UsageError for a name that is not registered.
    """
    table: dict[str, dict[str, str | int | None]] = {}
    for entry in as_features(features, None):
        table[entry.name] = {
            "kind": entry.kind,
            "description": entry.description,
            "unit": entry.unit,
            **({"axis": entry.axis} if entry.kind == "map" else {}),
            "sample_rate": entry.sample_rate,
            "resampler": "" if entry.sample_rate is None else RESAMPLER,
            "backend": entry.backend,
            "backend_version": _version(entry.backend),
        }
    return table


def packages(features: Iterable[str | Feature]) -> list[str]:
    """Name what these features need of `actprobe.backend`."""
    return sorted(
        {PACKAGES[each.backend] for each in as_features(features, None) if each.backend in PACKAGES}
    )


def as_features(features: Iterable[str | Feature], kind: str | None) -> list[Feature]:
    """Look up those features that are given by name; all must be of a kind, unless that is None."""
    wanted = [entry if isinstance(entry, Feature) else get_feature(entry, kind) for entry in features]
    for entry in wanted:
        if kind not in (None, entry.kind):
            raise UsageError(f"feature {entry.name} is a {entry.kind}, not a {kind}")
    return wanted


def refuse_unusable(waveform: Waveform, wanted: Iterable[Feature]) -> None:
    """Refuse a waveform without samples, or with NaN or infinity; the error names the first feature."""
    for entry in wanted:
        if not len(waveform.samples):
            raise FeatureError(entry.name, "the waveform has no samples")
        if not np.isfinite(waveform.peak):
            raise FeatureError(entry.name, "the waveform holds NaN or infinity")
        return


def refuse_too_short(features: Iterable[Feature], seconds: float) -> None:
    """Refuse features that are not defined for excerpts of a length; UsageError."""
    for entry in features:
        if seconds < entry.shortest_seconds:
            raise UsageError(
                f"feature {entry.name} needs at least {entry.shortest_seconds:.3g} s of sound; an excerpt "
                f"of this network is {seconds:.3g} s: take unit=recording, or another feature"
            )


def resampled(entry: Feature, at_rate: dict[int, Waveform], waveform: Waveform) -> Waveform:
    """Bring a waveform to the rate a feature wants, once for each rate: ``at_rate`` keeps what there is."""
    rate = entry.sample_rate or waveform.sample_rate
    if rate not in at_rate:
        at_rate[rate] = waveform.resample(rate)
    return at_rate[rate]


def _origin(entry: Feature) -> str:
    function = entry.function
    return f"{function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def _version(distribution: str) -> str:
    if not distribution:
        return ""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
