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
from actprobe.errors import FeatureError
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
    name: str, *, unit: str, sample_rate: int | None = None, backend: str = ""
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
        Distribution whose version belongs to the provenance of the values.

    Returns
    -------
    callable
        Decorator that gives the function back unchanged.

    Raises
    ------
    UsageError
        The name is no identifier or belongs to another function already, or the rate is not positive.
    """
    refuse_bad_name(name, sample_rate)

    def _register(function: AnyScalarFunction) -> AnyScalarFunction:
        register(Feature(name, unit, sample_rate, backend, function, first_line(function)))
        return function

    return _register


def compute_scalars(waveform: Waveform, features: Iterable[str | Feature]) -> dict[str, float]:
    """Compute several features of one waveform, resampling once for each rate they want.

    A finite number per feature, in the order asked. UsageError: a name is not registered or is that of a map;
    nothing has been computed then. FeatureError: the waveform is empty or not finite, or a function raised or
    returned no finite number.
    """
    wanted = as_features(features, "scalar")
    refuse_unusable(waveform, wanted)
    at_rate = {waveform.sample_rate: waveform}
    return {entry.name: _finite_value(entry, resampled(entry, at_rate, waveform)) for entry in wanted}


def _finite_value(entry: Feature, waveform: Waveform) -> float:
    try:
        value = float(entry.function(waveform))
    except FeatureError:
        raise
    except Exception as error:  # a feature may be anybody's code: one reason, whatever it raised
        raise FeatureError(entry.name, f"{type(error).__name__}: {error}") from error
    if not math.isfinite(value):
        raise FeatureError(entry.name, f"the value is {value}, not a finite number")
    return value
