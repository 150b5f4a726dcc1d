"""The methods by name."""

from __future__ import annotations

from collections.abc import Sequence

from actprobe.analyses.attribution.explained import Explained
from actprobe.analyses.attribution.methods.components import Components
from actprobe.analyses.attribution.methods.grad_cam import GradCam
from actprobe.analyses.attribution.methods.gradient import Gradient, GradientTimesInput, SmoothGrad
from actprobe.analyses.attribution.methods.guided_backprop import GuidedBackprop
from actprobe.analyses.attribution.methods.integrated_gradients import IntegratedGradients
from actprobe.analyses.attribution.methods.lime import Lime
from actprobe.analyses.attribution.methods.method import Method, MethodSettings
from actprobe.analyses.attribution.methods.occlusion import Occlusion

METHODS: dict[str, type[Method]] = {
    each.name: each
    for each in (
        Gradient, GradientTimesInput, SmoothGrad, GuidedBackprop, IntegratedGradients, GradCam, Occlusion,
        Lime, Components,
    )
}  # fmt: skip


def open_methods(names: Sequence[str], explained: Explained, settings: MethodSettings) -> dict[str, Method]:
    """Open methods for a network and a target; UsageError where one cannot explain them."""
    return {name: METHODS[name](explained, settings) for name in names}
