"""`Client`: what a user of served networks and inverters calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actprobe.errors import UsageError
from actprobe.serving.client.address import transport_to
from actprobe.serving.client.inputs import typed
from actprobe.serving.client.retry import Retry
from actprobe.serving.client.transport import Target
from actprobe.serving.protocol.tensors import Arrays

if TYPE_CHECKING:
    from actprobe.audio import Waveform


class Client:
    """A client of a model server: the embedded one or TensorFlow Serving, over gRPC or REST.

    A client may be used by several threads.

    Parameters
    ----------
    address : str
        ``HOST:PORT`` or ``grpc://HOST:PORT`` for gRPC, ``http://HOST:PORT`` for REST, which needs no
        TensorFlow on this side; ``grpcs://`` and ``https://`` with TLS.
    model : str, optional
        Name of the model, unless each call names one.
    version : int, optional
        Its version; by default the newest.
    label : str, optional
        Label of a version, such as ``stable``.
    timeout_seconds : float, optional
        Longest time for a call, all attempts together.
    attempts : int, optional
        How often to ask a server that cannot be reached, or that is full.
    token : str, optional
        Bearer token.
    ca_file : str or Path, optional
        Certificates to trust, in PEM, in place of the system's.

    Raises
    ------
    UsageError
        No such address, or a file that cannot be read.

    Examples
    --------
    >>> client = Client("http://localhost:8501", model="inverter")  # doctest: +SKIP
    >>> client.invert(features).shape  # doctest: +SKIP
    (1, 115, 80)
    """

    def __init__(
        self,
        address: str,
        *,
        model: str | None = None,
        version: int | None = None,
        label: str | None = None,
        timeout_seconds: float = 30.0,
        attempts: int = 6,
        token: str | None = None,
        ca_file: str | Path | None = None,
    ) -> None:
        if version is not None and label is not None:
            raise UsageError("give a version or a label, not both")
        if timeout_seconds <= 0 or attempts < 1:
            raise UsageError("timeout_seconds and attempts have to be positive")
        try:
            authority = Path(ca_file).read_bytes() if ca_file else None
        except OSError as error:
            raise UsageError(f"{ca_file}: cannot be read ({error.strerror})") from None
        self.address, self.timeout_seconds = address, timeout_seconds
        self._model, self._version, self._label = model, version, label
        self._retry = Retry(attempts)
        self._transport = transport_to(address, token, authority)
        self._signatures: dict[Target, dict[str, dict[str, dict[str, str]]]] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _target(self, model: str | None) -> Target:
        name = model or self._model
        if not name:
            raise UsageError("which model? Client(address, model=NAME) or a call with model=NAME")
        return name, self._version, self._label

    def predict(
        self,
        inputs: Mapping[str, ArrayLike],
        signature: str = "serving_default",
        *,
        outputs: Sequence[str] = (),
        model: str | None = None,
    ) -> Arrays:
        """Ask a signature.

        Parameters
        ----------
        inputs : mapping
            Name -> array; numbers are given the type that the signature has.
        signature : str, optional
            Its name.
        outputs : sequence of str, optional
            Outputs to give; by default all. Over REST all of them travel.
        model : str, optional
            Name of the model, if it is another than the client's.

        Returns
        -------
        dict
            Name -> array.

        Raises
        ------
        ServingError
            The server refused, did not answer, or was not reached.
        """
        target = self._target(model)
        slots = self._slots(target, signature)["inputs"]
        arrays = {name: typed(values, slots.get(name)) for name, values in inputs.items()}
        return self._retry.call(
            lambda seconds: self._transport.predict(target, signature, arrays, outputs, seconds),
            self.timeout_seconds,
        )

    def _slots(self, target: Target, signature: str) -> dict[str, dict[str, str]]:
        """Types of a signature's inputs and outputs, by name."""
        if target not in self._signatures:
            found = self.metadata(model=target[0])["metadata"]["signature_def"]["signature_def"]
            self._signatures[target] = {
                key: {
                    side: {name: info["dtype"] for name, info in one.get(side, {}).items()}
                    for side in ("inputs", "outputs")
                }
                for key, one in found.items()
            }
        return self._signatures[target].get(signature, {"inputs": {}, "outputs": {}})

    def invert(self, features: ArrayLike, *, model: str | None = None) -> NDArray[np.float32]:
        """Invert features of a layer.

        Parameters
        ----------
        features : array_like
            [batch, unit] or [batch, time, mel, channel], as `actprobe.Model.activations` gives them; without
            the batch, one example.
        model : str, optional
            Name of the inverter, if it is another than the client's.

        Returns
        -------
        numpy.ndarray
            [batch, time, mel] float32, in the normalised units of the network's front end.

        Raises
        ------
        ServingError
            The server refused, did not answer, or was not reached.
        """
        (inverted,) = self.predict({"features": features}, model=model).values()
        return inverted

    def activations(
        self,
        sound: Waveform | ArrayLike,
        layers: Sequence[str] | None = None,
        *,
        model: str | None = None,
    ) -> Arrays:
        """Compute activations of a network.

        Parameters
        ----------
        sound : Waveform or array_like
            A waveform at the network's rate, which is cut into examples by the server, or [samples], or
            examples [batch, time, mel].
        layers : sequence of str, optional
            Layers to give; by default all that there are. Of a waveform a server gives the layers that its
            model was exported with as outputs, and the times.
        model : str, optional
            Name of the network, if it is another than the client's.

        Returns
        -------
        dict
            Name -> array [batch, ...]; of a waveform also ``times`` and ``centre_times``, in seconds.

        Raises
        ------
        UsageError
            A layer that the served model does not give.
        ServingError
            The server refused, did not answer, or was not reached.
        """
        samples = np.asarray(getattr(sound, "samples", sound), np.float32)
        key, name = ("from_waveform", "waveform") if samples.ndim == 1 else ("activations", "examples")
        known = self._slots(self._target(model), key)["outputs"]
        times = [one for one in ("times", "centre_times") if one in known and samples.ndim == 1]
        for layer in layers or ():
            if layer not in known:
                given = ", ".join(sorted(known.keys() - {*times}))
                raise UsageError(f"the served model gives no layer {layer!r} here; it gives {given}")
        asked = list(dict.fromkeys([*(layers or known), *times]))
        if samples.ndim == 1:
            found = self.predict({name: samples[None]}, key, outputs=asked, model=model)
            return {one: found[one][0] for one in asked}
        found = self.predict({name: samples}, key, outputs=asked, model=model)
        return {one: found[one] for one in asked}

    def metadata(self, *, model: str | None = None) -> dict[str, Any]:
        """Ask for the signatures.

        Parameters
        ----------
        model : str, optional
            Name of the model, if it is another than the client's.

        Returns
        -------
        dict
            ``model_spec`` and ``metadata``, as the REST API writes them.

        Raises
        ------
        ServingError
            The server refused, did not answer, or was not reached.
        """
        target = self._target(model)
        return self._retry.call(
            lambda seconds: self._transport.metadata(target, seconds), self.timeout_seconds
        )

    def status(self, *, model: str | None = None) -> dict[int, str]:
        """Ask for the states of versions.

        Parameters
        ----------
        model : str, optional
            Name of the model, if it is another than the client's.

        Returns
        -------
        dict
            Version -> ``AVAILABLE``, ``LOADING`` and the like.

        Raises
        ------
        ServingError
            The server refused, did not answer, or was not reached.
        """
        target = self._target(model)
        found = self._retry.call(
            lambda seconds: self._transport.status(target, seconds), self.timeout_seconds
        )
        return {int(entry["version"]): entry["state"] for entry in found}
