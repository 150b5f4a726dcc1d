"""captum, on the same network and weights in PyTorch, gives the same attributions (extra ``bench``)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from actprobe.models import load_model

pytest.importorskip("captum", reason="the extra bench is not installed")
METHODS = (
    "gradient", "gradient_x_input", "guided_backprop", "grad_cam", "integrated_gradients", "occlusion", "lime"
)  # fmt: skip


@pytest.fixture(scope="module")
def calls() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        from attribution import calls

        return calls


@pytest.mark.parametrize("name", METHODS)
def test_equal_to_captum(name: str, calls: Any) -> None:
    ours, theirs = (call() for call in calls(load_model("svd", checkpoint="svd-open"), name, 2, 64))
    assert np.abs(theirs).max() > 0
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
