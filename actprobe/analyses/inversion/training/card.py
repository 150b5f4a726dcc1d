"""The card of a trained inverter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actprobe.analyses.inversion.training.losses import Objective


def file_name(model: str, layer: str) -> str:
    """Name the file of an inverter, without its ending: ``NETWORK-inverter-LAYER``."""
    return f"{model}-inverter-{layer}".replace("/", "_")


def inverter_card(metrics: Mapping[str, Any]) -> str:
    """Write the card of a training, in Markdown, from what its metrics.json holds."""
    model, settings, objective = metrics["model"], metrics["settings"], metrics["objective"]
    data, inverter = metrics["data"], metrics["inverter"]
    weights = model["weights"]
    whose = weights["catalog_name"] or weights["sha256"][:12] or f"random weights, seed {weights['seed']}"
    compared = metrics["comparator"]
    comparator = "" if compared is None else f" against {compared['layer']} of {compared['name']}"
    variances = ""
    if objective["name"] == "balanced":
        variances = (
            f" (variances over the training set: excerpts {objective['input_variance']:.4g}, features "
            f"{objective['feature_variance']:.4g})"
        )
    loss = Objective(**objective)
    best = metrics["valid_input"]
    judged = "no validation recordings: the last epoch" if best is None else (
        f"epoch {metrics['best_epoch']} was best on validation: {loss.error} {best:.4f} of the excerpts"
    )  # fmt: skip
    held_out = ", held out by the seed" if metrics.get("held_out") else ""
    hop = inverter["hop"]
    apart = "as the front end cuts them" if hop is None else f"{hop} frames apart"
    nre = metrics.get("nre")
    file = f"{file_name(model['name'], model['layer'])}.npz"
    distance = ", euclidean distances" if loss.is_euclidean else ""
    of = ""
    if "mixes" in data:
        sizes = data["mixes"]["recordings"]
        of = f" that are mixes of {', '.join(f'{count} {name}' for name, count in sizes.items() if count)}"
    averaged = f", weights averaged by {settings['average']}" if settings["average"] else ""
    measured = "" if nre is None else f"\n- NRE: {nre}\n"
    return f"""# An inverter of {model["name"]} {model["layer"]} ({whose})

Weights `{file}` (float32, {metrics["parameters"]} parameters, the layout of
saum25/ISMIR-2018: param0 and so on, and `origin`, what they are for). Turns features of the layer back into
the excerpt, in the front end's normalised units. Made by

    {metrics["command"]}

- Recordings: {metrics["recordings"]["train"]}{of} to train on ({data["train"]} excerpts, {apart}),
  {metrics["recordings"]["valid"]} to validate on ({data["valid"]} excerpts){held_out}.
- Licence: that of the recordings decides; weights trained on a corpus for research are for research.
- Network: {inverter["architecture"]}, ends {inverter["ending"]}.
- Loss: {objective["name"]}{comparator}{distance}{variances}; squared weights times
  {loss.l2_weight}.
- Training: {metrics["epochs"]} epochs of {metrics["steps_per_epoch"]} steps of
  {settings["batch_size"]} excerpts, Adam, rate {settings["learning_rate"]}, schedule
  {settings["schedule"]}, {settings["precision"]}, seed {settings["seed"]}{averaged};
  {metrics["training_hours"]:.2f} hours, {metrics["examples_per_second"]:.0f} excerpts a second.
- Of its epochs, {judged}.
{measured}"""
