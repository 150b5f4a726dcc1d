"""Scalar features: one number of a recording each.

A feature of your own joins the built-in ones by a decorated function::

    import numpy as np
    from actprobe.features import feature

    @feature("mean_square", unit="")
    def mean_square(waveform):
        '''Mean of the squared samples.'''
        return np.mean(waveform.samples**2)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TypeVar

from actprobe.audio import Waveform
from actprobe.errors import FeatureError, UsageError
from actprobe.features.essentia_process import ESSENTIA, with_essentia
from actprobe.features.registry import (
    Feature,
    as_features,
    first_line,
    refuse_bad_name,
    refuse_unusable,
    register,
    resampled,
)

ScalarFunction = Callable[[Waveform], float]
AnyScalarFunction = TypeVar("AnyScalarFunction", bound=ScalarFunction)


def feature(
    name: str,
    *,
    unit: str,
    sample_rate: int | None = None,
    backend: str = "",
    shortest_seconds: float = 0.0,
) -> Callable[[AnyScalarFunction], AnyScalarFunction]:
    """Register the decorated function as a feature; its docstring's first line becomes the description.

    Parameters
    ----------
    name : str
        Name of the feature: an identifier, since it becomes a column of the tables.
    unit : str
        Unit of the values; empty for a pure number.
    sample_rate : int, optional
        Rate in Hz that the function wants its waveform at. Without it the recording's own rate is kept.
    backend : str, optional
        Distribution whose version belongs to the provenance of the values. A function of
        ``essentia-tensorflow`` is called in another process if TensorFlow was imported first, which keeps
        essentia from loading.
    shortest_seconds : float, optional
        Shortest sound that the feature is defined for. A shorter recording has no value, and a run over
        shorter excerpts is refused before it begins.

    Returns
    -------
    callable
        Decorator that gives the function back.

    Raises
    ------
    UsageError
        The name is no identifier or belongs to another function already, the rate is not positive, or the
        shortest sound is no length in seconds.
    """
    refuse_bad_name(name, sample_rate)
    if not 0 <= shortest_seconds < math.inf:
        raise UsageError(f"feature {name}: shortest_seconds={shortest_seconds} is not a length in seconds")

    def _register(function: AnyScalarFunction) -> AnyScalarFunction:
        if backend == ESSENTIA:
            function = with_essentia(function)
        description = first_line(function)
        entry = Feature(
            name, unit, sample_rate, backend, function, description, shortest_seconds=shortest_seconds
        )
        register(entry)
        return function

    return _register


def compute_scalars(waveform: Waveform, features: Iterable[str | Feature]) -> dict[str, float]:
    """Compute several features of one waveform, resampling once for each rate they want.

    A finite number per feature, in the order asked. UsageError: a name is not registered or is that of a map;
    nothing has been computed then. FeatureError: the waveform is empty or not finite, or a function raised or
    returned no finite number.
    """
    values, failed = try_scalars(waveform, features)
    if failed:
        raise failed[0]
    return values


def try_scalars(
    waveform: Waveform, features: Iterable[str | Feature]
) -> tuple[dict[str, float], list[FeatureError]]:
    """Compute several features of one waveform, as `compute_scalars`, but one that fails costs only itself.

    Gives the values of those that did not fail, and the errors of those that did, in the order asked.
    """
    wanted = as_features(features, "scalar")
    at_rate = {waveform.sample_rate: waveform}
    values: dict[str, float] = {}
    failed: list[FeatureError] = []
    for entry in wanted:
        found = _value_or_error(entry, at_rate, waveform)
        if isinstance(found, FeatureError):
            failed.append(found)
        else:
            values[entry.name] = found
    return values, failed


def _value_or_error(entry: Feature, at_rate: dict[int, Waveform], waveform: Waveform) -> float | FeatureError:
    try:
        return _finite_value(entry, at_rate, waveform)
    except FeatureError as error:
        return error


def _finite_value(entry: Feature, at_rate: dict[int, Waveform], waveform: Waveform) -> float:
    refuse_unusable(waveform, [entry])
    try:
        waveform = resampled(entry, at_rate, waveform)
        if waveform.seconds < entry.shortest_seconds:
            told = f"{waveform.seconds:.3f} s of audio are too short: it needs {entry.shortest_seconds:.3f} s"
            raise FeatureError(entry.name, told)
        value = float(entry.function(waveform))
    except FeatureError:
        raise
    except Exception as error:  # a feature may be anybody's code: one reason, whatever it raised
        raise FeatureError(entry.name, f"{type(error).__name__}: {error}", unexpected=True) from error
    if not math.isfinite(value):
        raise FeatureError(entry.name, f"the value is {value}, not a finite number")
    return value
