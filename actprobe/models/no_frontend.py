"""What stands in place of a front end when a model was wrapped without one: it refuses, and says why."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError
from actprobe.frontends import FrontEnd

__all__ = ["NoFrontEnd"]


class NoFrontEnd(FrontEnd):
    """What a wrapped model has in place of a front end when none was given.

    Parameters
    ----------
    network : str
        Name of the model, for messages.
    example_shape : tuple of int
        (time, mel) of the examples that the model takes.
    """

    name = "none"

    def __init__(self, network: str, example_shape: tuple[int, int]) -> None:
        super().__init__()
        self.network = network
        self.example_shape = example_shape

    def __getattr__(self, name: str) -> Any:
        """Refuse everything that needs a front end."""
        if name in ("sample_rate", "example_samples", "frame_hop", "frame_length", "first_frame"):
            raise self._refusal()
        raise AttributeError(name)

    def _refusal(self) -> UsageError:
        return UsageError(f"{self.network} was wrapped without a front end: wrap_model(..., frontend=...)")

    def example_starts(self, samples: int) -> NDArray[np.int64]:
        """Refuse: there is no front end.

        Parameters
        ----------
        samples : int
            Not used.

        Returns
        -------
        numpy.ndarray
            Never.

        Raises
        ------
        UsageError
            Always.
        """
        raise self._refusal()

    def examples(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Refuse: there is no front end.

        Parameters
        ----------
        samples : numpy.ndarray
            Not used.

        Returns
        -------
        numpy.ndarray
            Never.

        Raises
        ------
        UsageError
            Always.
        """
        raise self._refusal()

    def band_edges_hz(self) -> NDArray[np.float64]:
        """Refuse: there is no front end.

        Returns
        -------
        numpy.ndarray
            Never.

        Raises
        ------
        UsageError
            Always.
        """
        raise self._refusal()

    def constants(self) -> dict[str, Any]:
        """Give no constants.

        Returns
        -------
        dict
            Empty.
        """
        return {}
