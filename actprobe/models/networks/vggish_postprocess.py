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

UNITS = 128
LOWEST, HIGHEST = -2.0, 2.0


class VggishPostprocessor:
    """Embeddings -> 8-bit features.

    `eigen_vectors` is [128, 128], each row a component, and `means` are the 128 means of the embeddings of
    the training data; other sizes are a `UsageError`. `sha256` is the digest of their file.
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

        `file` is ``vggish_pca_params.npz``, or ``vggish_pca``, its name in the catalog. Anything else is a
        `WeightsError`, or a `UsageError` if it is the name of something else.
        """
        path, _ = locate(file, "vggish", "postprocessing")
        parameters = _read(path)
        return cls(parameters.arrays["pca_eigen_vectors"], parameters.arrays["pca_means"], parameters.sha256)

    def project(self, embeddings: NDArray[Any]) -> NDArray[Any]:
        """Project embeddings, [batch, 128], on the components; a `UsageError` for another shape."""
        if embeddings.ndim != 2 or embeddings.shape[1] != UNITS:
            raise UsageError(f"embeddings have shape [batch, {UNITS}], not {list(embeddings.shape)}")
        projected: NDArray[Any] = np.dot(self.eigen_vectors, embeddings.T - self.means).T
        return projected

    def __call__(self, embeddings: NDArray[Any]) -> NDArray[np.uint8]:
        """Compute 8-bit features, uint8 [batch, 128], of ``embedding`` or ``embedding/relu``.

        A `UsageError` for embeddings of another shape, or not finite.
        """
        return quantise(self.project(embeddings))


def quantise(projected: NDArray[Any]) -> NDArray[np.uint8]:
    """Clip to -2 to 2 and quantise to 8 bits, by truncation as the original does.

    -2 and all below becomes 0, 2 and all above 255; a value that is not finite is a `UsageError`.
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
