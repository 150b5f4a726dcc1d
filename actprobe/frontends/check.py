"""A front end of one's own, tried on short signals before anything is built on it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import ActprobeError, UsageError
from actprobe.frontends.base import FrontEnd

WHOLE = {
    "sample_rate": "the rate in Hz that it works at",
    "example_samples": "the samples that an example spans",
    "frame_hop": "the samples between frames",
    "frame_length": "the samples that a frame sees",
    "first_frame": "the sample at the centre of an example's first frame",
}
LONGEST = 1.5  # times what its frames span, which an example may take

Samples = NDArray[np.float32]


def check_frontend(frontend: FrontEnd | None) -> None:
    """Refuse a front end of one's own that does not keep what `FrontEnd` promises; None is no front end.

    It is run on a few seconds of noise, digital silence, and a recording shorter than an example. One whose
    `examples` raises NotImplementedError is only looked at; actprobe's own front ends are trusted. The
    `UsageError` says in one sentence what is wrong and how to put it right.
    """
    if frontend is None:
        return
    if isinstance(frontend, type):
        raise UsageError(f"frontend={frontend.__name__} is a class: give an instance, {frontend.__name__}()")
    if not isinstance(frontend, FrontEnd):
        raise UsageError(
            f"frontend={type(frontend).__name__} is not a front end: derive its class from "
            f"actprobe.frontends.FrontEnd"
        )
    if not type(frontend).__module__.startswith("actprobe."):
        _Check(frontend)()


class _Check:
    def __init__(self, frontend: FrontEnd) -> None:
        self.frontend = frontend
        self.name = getattr(frontend, "name", type(frontend).__name__)

    def __call__(self) -> None:
        self._attributes()
        self._edges()
        length = self.frontend.example_samples
        noise = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * length + length // 2 + 1).astype(np.float32)
        try:
            examples = self._examples(noise, "noise")
            self._examples(noise[:length], "noise as long as an example")
            self._examples(np.zeros(length, np.float32), "digital silence")
            self._examples(noise[: max(1, length // 2)], "a recording shorter than an example")
        except NotImplementedError:
            return
        self._constants()
        if self.frontend.windows:
            self._windows(noise, examples)

    def _refuse(self, reason: str) -> UsageError:
        return UsageError(f"the front end {self.name} {reason}")

    def _attributes(self) -> None:
        frontend = self.frontend
        if not hasattr(frontend, "name"):
            raise self._refuse("has no `name`, what it is called in messages")
        for name, meaning in WHOLE.items():
            value = getattr(frontend, name, None)
            if value is None:
                raise self._refuse(f"has no `{name}`, {meaning}")
            least = 0 if name == "first_frame" else 1
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise self._refuse(f"has {name}={value!r}: {meaning} are a whole number, at least {least}")
        shape = getattr(frontend, "example_shape", None)
        if shape is None:
            raise self._refuse("has no `example_shape`, (time, mel) of an example")
        if not _is_shape(shape):
            raise self._refuse(f"has example_shape={shape!r}: (time, mel), two whole numbers, is needed")
        if not hasattr(frontend, "padding"):
            raise self._refuse("has no `padding`: call super().__init__() in its __init__")
        spanned = (shape[0] - 1) * frontend.frame_hop
        most = LONGEST * (spanned + max(frontend.frame_length, frontend.frame_hop))
        if not spanned <= frontend.example_samples <= most:
            raise self._refuse(
                f"has example_samples={frontend.example_samples}, which do not fit: {shape[0]} frames of "
                f"{frontend.frame_length} samples every {frontend.frame_hop} span "
                f"{spanned + frontend.frame_length}"
            )

    def _edges(self) -> None:
        time, bands = self.frontend.example_shape
        edges = self._run(self.frontend.band_edges_hz, "band_edges_hz")
        edges = np.asarray(edges)
        wanted = f"band_edges_hz gives the edges of triangles, n_mels + 2 = {bands + 2} of them"
        if edges.ndim != 1 or edges.dtype.kind not in "fiu":
            raise self._refuse(f"gives band edges of shape {list(edges.shape)}: {wanted}")
        if len(edges) == time + 2 != bands + 2:
            raise self._refuse(
                f"has example_shape={self.frontend.example_shape} and {len(edges)} band edges: example_shape "
                f"is (time, mel), so turn it: ({bands}, {time})"
            )
        if len(edges) == bands:
            raise self._refuse(
                f"gives {bands} band edges, one for each band: {wanted}, as "
                f"librosa.mel_frequencies(n_mels={bands + 2}, fmin=..., fmax=...) does"
            )
        if len(edges) != bands + 2:
            raise self._refuse(f"gives {len(edges)} band edges for {bands} bands: {wanted}")
        if not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
            raise self._refuse("gives band edges that do not increase from each to the next, in Hz")

    def _run(self, what: Any, name: str, *given: Any) -> Any:
        try:
            with np.errstate(all="ignore"):
                return what(*given)
        except (ActprobeError, NotImplementedError):
            raise
        except Exception as error:
            raise self._refuse(f"fails in {name}: {type(error).__name__}: {error}") from error

    def _starts(self, samples: int, signal: str) -> NDArray[np.int64]:
        starts = np.asarray(self._run(self.frontend.example_starts, f"example_starts of {signal}", samples))
        if starts.ndim != 1 or not len(starts) or starts.dtype.kind not in "iu":
            raise self._refuse(
                f"gives no starts of examples for {signal} ({samples} samples): example_starts gives whole "
                f"numbers in ascending order, at least one"
            )
        if starts[0] < 0 or (np.diff(starts) <= 0).any():
            raise self._refuse(f"gives starts of examples that do not ascend: {starts[:5].tolist()}")
        ends = int(starts[-1]) + self.frontend.example_samples
        if len(starts) > 1 and ends > samples:
            raise self._refuse(
                f"has an example that begins at sample {starts[-1]} and spans "
                f"example_samples={self.frontend.example_samples}, beyond the {samples} samples of {signal}: "
                f"only that of a recording shorter than an example may"
            )
        return starts.astype(np.int64)

    def _examples(self, samples: Samples, signal: str) -> NDArray[Any]:
        starts = self._starts(len(samples), signal)
        examples = self._run(self.frontend.examples, f"examples of {signal}", samples.copy())
        if not isinstance(examples, np.ndarray):
            raise self._refuse(f"gives examples as {type(examples).__name__}: give a NumPy array, float32")
        self._shape(examples)
        if len(examples) != len(starts):
            raise self._refuse(
                f"gives {_count(len(examples), 'example')} of {signal} ({len(samples)} samples), but "
                f"{_count(len(starts), 'start')} in example_starts: one start for each example"
            )
        if examples.dtype.kind != "f":
            raise self._refuse(f"gives {examples.dtype} examples: give float32, .astype(np.float32)")
        self._finite(examples, signal)
        return examples

    def _finite(self, examples: NDArray[Any], signal: str) -> None:
        if np.isneginf(examples).any():
            raise self._refuse(
                f"gives minus infinity for {signal}, the logarithm of zero: np.log(np.maximum(mel, 1e-10))"
            )
        if not np.isfinite(examples).all():
            silent = signal == "digital silence"
            hint = ", as zero divided by zero does: divide by np.maximum(std, 1e-6)" if silent else ""
            raise self._refuse(
                f"gives NaN or infinity for {signal}{hint or ': every value has to be finite'}"
            )

    def _shape(self, examples: NDArray[Any]) -> None:
        time, mel = self.frontend.example_shape
        shape = examples.shape
        if examples.ndim == 4 and shape[1:3] == (time, mel):
            raise self._refuse("gives examples [examples, time, mel, 1]: leave the last axis away, [..., 0]")
        if examples.ndim == 2:
            raise self._refuse(
                f"gives an array of shape {list(shape)}, not [examples, time, mel]: if it is one example, "
                f"examples[np.newaxis]"
            )
        if examples.ndim != 3:
            raise self._refuse(f"gives an array of shape {list(shape)}, not [examples, time, mel]")
        if shape[1:] == (time, mel):
            return
        if shape[1:] == (mel, time) or (shape[1] == mel and shape[2] != mel):
            raise self._refuse(
                f"gives examples [examples, mel, time] ({shape[1]} by {shape[2]}): turn them: "
                f".transpose(0, 2, 1)"
                + ("" if shape[2] == time else f"; and example_shape has {time} frames, not {shape[2]}")
            )
        raise self._refuse(
            f"gives examples of {shape[1]} time frames by {shape[2]} mel bands, but its example_shape is "
            f"({time}, {mel})"
        )

    def _constants(self) -> None:
        constants = self._run(self.frontend.constants, "constants")
        try:
            json.dumps(constants, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise self._refuse(
                f"gives constants that are no JSON ({error}): numbers, strings and lists, array.tolist()"
            ) from None
        if not isinstance(constants, dict):
            raise self._refuse(f"gives constants as {type(constants).__name__}: a dict is needed")

    def _windows(self, noise: Samples, examples: NDArray[Any]) -> None:
        hop, (time, mel) = getattr(self.frontend, "hop", None), self.frontend.example_shape
        if isinstance(hop, bool) or not isinstance(hop, int | np.integer) or hop < 1:
            raise self._refuse(f"has windows, but hop={hop!r}: the frames between examples are needed")
        frames = np.asarray(self._run(self.frontend.frames, "frames of noise", noise.copy()))
        fits = frames.ndim == 2 and frames.shape[1] == mel and len(frames) >= (len(examples) - 1) * hop + time
        if not fits or not all(
            np.allclose(frames[hop * number :][:time], example, atol=1e-4)
            for number, example in enumerate(examples)
        ):
            raise self._refuse(
                f"has windows, but its example k is not frames(samples)[{hop} * k : {hop} * k + {time}]"
            )


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, tuple)
        and len(shape) == 2
        and all(isinstance(each, int | np.integer) and each >= 1 for each in shape)
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
