"""What a client needs of a connection, whatever it speaks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from actprobe.serving.protocol.tensors import Arrays

Target = tuple[str, int | None, str | None]  # model, version, label


class Transport(ABC):
    """What a client needs of a connection; times are seconds, errors are `ServingError`."""

    @abstractmethod
    def predict(
        self, target: Target, signature: str, inputs: Arrays, outputs: Sequence[str], seconds: float
    ) -> Arrays:
        """Ask a signature for some of its outputs; none named are all."""

    @abstractmethod
    def metadata(self, target: Target, seconds: float) -> dict[str, Any]:
        """Ask for the signatures, as the REST API writes GetModelMetadata's answer."""

    @abstractmethod
    def status(self, target: Target, seconds: float) -> list[dict[str, Any]]:
        """Ask for ``version``, ``state`` and ``status`` of each version, as the REST API writes them."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""
