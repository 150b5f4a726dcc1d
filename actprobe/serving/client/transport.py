"""What a client needs of a connection, whatever it speaks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

__all__ = ["Arrays", "Target", "Transport"]

Arrays = dict[str, NDArray[Any]]
Target = tuple[str, int | None, str | None]  # model, version, label


class Transport(ABC):
    """What a client needs of a connection; times are seconds, errors are `ServingError`."""

    @abstractmethod
    def predict(
        self, target: Target, signature: str, inputs: Arrays, outputs: Sequence[str], seconds: float
    ) -> Arrays:
        """Ask a signature.

        Parameters
        ----------
        target : tuple
            Model, version and label.
        signature : str
            Its name.
        inputs : dict
            Name -> array.
        outputs : sequence of str
            Outputs to give; empty for all.
        seconds : float
            How long to wait.

        Returns
        -------
        dict
            Name -> array.
        """

    @abstractmethod
    def metadata(self, target: Target, seconds: float) -> dict[str, Any]:
        """Ask for the signatures.

        Parameters
        ----------
        target : tuple
            Model, version and label.
        seconds : float
            How long to wait.

        Returns
        -------
        dict
            As the REST API writes GetModelMetadata's answer.
        """

    @abstractmethod
    def status(self, target: Target, seconds: float) -> list[dict[str, Any]]:
        """Ask for the states of versions.

        Parameters
        ----------
        target : tuple
            Model, version and label.
        seconds : float
            How long to wait.

        Returns
        -------
        list of dict
            ``version``, ``state`` and ``status``, as the REST API writes them.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""
