"""What turns VGGish's embeddings into the 8-bit features that were published with AudioSet.

The embeddings are projected on the principal components of the training data, which also whitens them,
clipped to -2 to 2 and quantised to 8 bits (vggish_postprocess.py of tensorflow/models
research/audioset/vggish, Apache-2.0). The original truncates where it quantises; ports that round differ
from it by one in half of all values. There is no rectifier in between. The original was given
``embedding/relu`` until August 2020 and ``embedding`` since, with the same parameters.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actprobe.errors import UsageError, WeightsError
from actprobe.weights.cache import locate
from actprobe.weights.npz import NpzArrays, read_npz

__all__ = ["VggishPostprocessor", "quantise"]

UNITS = 128
LOWEST, HIGHEST = -2.0, 2.0


class VggishPostprocessor:
    """Embeddings -> 8-bit features.

    Parameters
    ----------
    eigen_vectors : numpy.ndarray
        Shape [128, 128]; each row is a component.
    means : numpy.ndarray
        128 means of the embeddings of the training data.
    sha256 : str, optional
        Digest of the file that they come from.

    Raises
    ------
    UsageError
        The arrays are of other sizes.
    """

    def __init__(self, eigen_vectors: NDArray[Any], means: NDArray[Any], sha256: str = "") -> None:
        if eigen_vectors.shape != (UNITS, UNITS) or means.size != UNITS:
            raise UsageError(
                f"{UNITS} x {UNITS} components and {UNITS} means are needed, "
                f"not shapes {eigen_vectors.shape} and {means.shape}"
            )
        self.eigen_vectors = eigen_vectors
        self.means = means.reshape(-1, 1)
        self.sha256 = sha256

    @classmethod
    def read(cls, file: str | Path) -> VggishPostprocessor:
        """Read the published parameters, trusting nothing.

        Parameters
        ----------
        file : str or Path
            ``vggish_pca_params.npz``, or ``vggish_pca``, its name in the catalog.

        Returns
        -------
        VggishPostprocessor
            With these parameters.

        Raises
        ------
        WeightsError
            The file is not exactly such a file.
        UsageError
            The name of something else.
        """
        path, _ = locate(file, "vggish", "postprocessing")
        parameters = _read(path)
        return cls(parameters.arrays["pca_eigen_vectors"], parameters.arrays["pca_means"], parameters.sha256)

    def project(self, embeddings: NDArray[Any]) -> NDArray[Any]:
        """Project embeddings on the components.

        Parameters
        ----------
        embeddings : numpy.ndarray
            Shape [batch, 128], ``embedding`` or ``embedding/relu`` of the network.

        Returns
        -------
        numpy.ndarray
            Shape [batch, 128], of the wider type of embeddings and parameters.

        Raises
        ------
        UsageError
            Embeddings of another shape.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != UNITS:
            raise UsageError(f"embeddings have shape [batch, {UNITS}], not {list(embeddings.shape)}")
        projected: NDArray[Any] = np.dot(self.eigen_vectors, embeddings.T - self.means).T
        return projected

    def __call__(self, embeddings: NDArray[Any]) -> NDArray[np.uint8]:
        """Compute 8-bit features.

        Parameters
        ----------
        embeddings : numpy.ndarray
            Shape [batch, 128], ``embedding`` or ``embedding/relu`` of the network.

        Returns
        -------
        numpy.ndarray
            uint8, shape [batch, 128].

        Raises
        ------
        UsageError
            Embeddings of another shape, or not finite.
        """
        return quantise(self.project(embeddings))


def quantise(projected: NDArray[Any]) -> NDArray[np.uint8]:
    """Clip to -2 to 2 and quantise to 8 bits, by truncation as the original does.

    Parameters
    ----------
    projected : numpy.ndarray
        Whitened embeddings.

    Returns
    -------
    numpy.ndarray
        uint8, same shape; -2 and all below becomes 0, 2 and all above 255.

    Raises
    ------
    UsageError
        A value is not finite.
    """
    if not np.isfinite(projected).all():
        raise UsageError("embeddings that are not finite cannot be quantised")
    clipped = np.clip(projected, LOWEST, HIGHEST)
    return np.asarray((clipped - LOWEST) * (255.0 / (HIGHEST - LOWEST))).astype(np.uint8)


def _read(path: Path) -> NpzArrays:
    """Read the parameters; the means may have any shape, as the original reshapes them."""
    *others, last = ((UNITS,), (1, UNITS), (UNITS, 1))
    for means in others:
        with suppress(WeightsError):
            return _read_with(path, means)
    return _read_with(path, last)


def _read_with(path: Path, means: tuple[int, ...]) -> NpzArrays:
    shapes = {"pca_eigen_vectors": (UNITS, UNITS), "pca_means": means}
    return read_npz(path, shapes, dtypes=("<f4", "<f8"))
