"""Feature maps: what changes over time and over frequency or pitch class, as a network's maps do.

A map of your own joins the built-in ones by a decorated function that returns the values, the times of the
frames' centres and the bins::

    import numpy as np
    from scipy import signal
    from actprobe.features import feature_map

    @feature_map("power", axis="hertz", unit="", sample_rate=16000)
    def power(waveform):
        '''Power spectrogram.'''
        hertz, seconds, values = signal.spectrogram(waveform.samples, waveform.sample_rate)
        return values.T, seconds, hertz
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

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

AXES = ("hertz", "pitch class")

MapFunction = Callable[[Waveform], tuple[Any, ArrayLike, ArrayLike]]
AnyMapFunction = TypeVar("AnyMapFunction", bound=MapFunction)


@dataclass(frozen=True, eq=False)  # eq=False: arrays do not compare to one truth value
class FeatureMap:
    """A feature over time and bins.

    - ``values``: float32 [frames, bins], in ``unit``, which is empty for pure numbers.
    - ``times_seconds``: float64 [frames], ascending, centres of the frames, from the first sample on.
    - ``axis``: ``hertz`` or ``pitch class``.
    - ``bins``: float64 [bins], ascending, centre frequencies in Hz, or pitch classes in semitones above C (0
      to 12, 12 itself excluded).
    """

    name: str
    values: NDArray[np.float32] = field(repr=False)
    times_seconds: NDArray[np.float64] = field(repr=False)
    bins: NDArray[np.float64] = field(repr=False)
    axis: str
    unit: str


def feature_map(
    *names: str, axis: str, unit: str, sample_rate: int | None = None, backend: str = ""
) -> Callable[[AnyMapFunction], AnyMapFunction]:
    """Register the decorated function as a feature map, or as several that one call gives together.

    Parameters
    ----------
    *names : str
        Name of the map. With several names the function's values are a tuple with an array for each, and
        it is called once whichever of them are asked for.
    axis : str
        What its bins are: ``hertz`` or ``pitch class``.
    unit : str
        Unit of the values; empty for pure numbers.
    sample_rate : int, optional
        Rate in Hz that the function wants its waveform at. Without it the recording's own rate is kept.
    backend : str, optional
        Distribution whose version belongs to the provenance of the values. A function of
        ``essentia-tensorflow`` is called in another process if TensorFlow was imported first, which keeps
        essentia from loading.

    Returns
    -------
    callable
        Decorator that gives the function back. The function takes a Waveform and returns values of
        shape [frames, bins], the centres of the frames in seconds and the centres of the bins.

    Raises
    ------
    UsageError
        No name, an axis that is none of the two, or what `actprobe.features.feature` refuses.
    """
    if not names:
        raise UsageError("a feature map needs a name")
    for name in names:
        refuse_bad_name(name, sample_rate)
    if axis not in AXES:
        raise UsageError(f"feature {names[0]}: axis={axis!r} is none of: {', '.join(AXES)}")

    def _register(function: AnyMapFunction) -> AnyMapFunction:
        if backend == ESSENTIA:
            function = with_essentia(function)
        for name in names:
            register(
                Feature(
                    name,
                    unit,
                    sample_rate,
                    backend,
                    function,
                    first_line(function),
                    kind="map",
                    axis=axis,
                    together=names,
                )
            )
        return function

    return _register


def compute_maps(waveform: Waveform, features: Iterable[str | Feature]) -> dict[str, FeatureMap]:
    """Compute several feature maps of one waveform, each function once, each rate resampled once.

    The maps are in the order asked, and every value is finite. UsageError: a name is not registered or is
    that of a scalar; nothing has been computed then. FeatureError: the waveform is empty, too short or not
    finite, or a function raised or returned no map.
    """
    found, failed = try_maps(waveform, features)
    if failed:
        raise failed[0]
    return found


def try_maps(
    waveform: Waveform, features: Iterable[str | Feature]
) -> tuple[dict[str, FeatureMap], list[FeatureError]]:
    """Compute several feature maps of one waveform, as `compute_maps`, but one that fails costs only itself.

    Gives those that did not fail, and the errors of those that did, in the order asked.
    """
    wanted = as_features(features, "map")
    at_rate = {waveform.sample_rate: waveform}
    computed: dict[tuple[str, ...], dict[str, FeatureMap] | FeatureError] = {}
    found: dict[str, FeatureMap] = {}
    failed: list[FeatureError] = []
    for entry in wanted:
        if entry.together not in computed:
            computed[entry.together] = _maps_or_error(entry, at_rate, waveform)
        together = computed[entry.together]
        if isinstance(together, FeatureError):
            # One function may give several maps: the error names the one that was asked for.
            failed.append(FeatureError(entry.name, together.reason, unexpected=together.unexpected))
        else:
            found[entry.name] = together[entry.name]
    return found, failed


def _maps_or_error(
    entry: Feature, at_rate: dict[int, Waveform], waveform: Waveform
) -> dict[str, FeatureMap] | FeatureError:
    try:
        refuse_unusable(waveform, [entry])
        return _call(entry, at_rate, waveform)
    except FeatureError as error:
        return error


def _call(entry: Feature, at_rate: dict[int, Waveform], waveform: Waveform) -> dict[str, FeatureMap]:
    try:
        waveform = resampled(entry, at_rate, waveform)
        values, times_seconds, bins = entry.function(waveform)
        times_seconds = np.asarray(times_seconds, np.float64)
        bins = np.asarray(bins, np.float64)
        several = values if len(entry.together) > 1 else (values,)
        return {
            name: _checked(
                FeatureMap(name, np.asarray(one, np.float32), times_seconds, bins, entry.axis, entry.unit)
            )
            for name, one in zip(entry.together, several, strict=True)
        }
    except FeatureError:
        raise
    except Exception as error:  # a feature may be anybody's code: one reason, whatever it raised
        raise FeatureError(entry.name, f"{type(error).__name__}: {error}", unexpected=True) from error


def _checked(found: FeatureMap) -> FeatureMap:
    if found.times_seconds.ndim != 1 or found.bins.ndim != 1:
        raise FeatureError(found.name, "times and bins must have one axis each")
    expected = (len(found.times_seconds), len(found.bins))
    if found.values.shape != expected:
        raise FeatureError(
            found.name,
            f"values of shape {list(found.values.shape)} do not fit {expected[0]} times, {expected[1]} bins",
        )
    if not found.values.size:
        raise FeatureError(found.name, "the map is empty")
    if not np.isfinite(found.values).all():
        raise FeatureError(found.name, "the map holds NaN or infinity")
    for what, places in (("times", found.times_seconds), ("bins", found.bins)):
        if not (np.isfinite(places).all() and (np.diff(places) > 0).all()):
            raise FeatureError(found.name, f"the {what} are not finite and ascending")
    return found
