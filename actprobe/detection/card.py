"""The model card of a trained detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def figures_table(figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Write what `actprobe.detection.evaluation.report` gives as a table in Markdown."""
    lines = [
        "| recordings | counted with | frames | sung | AUC | threshold | accuracy | precision | recall | F |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, ways in figures.items():
        for way, s in ways.items():
            cells = [s["auc"], s["threshold"], s["accuracy"], s["precision"], s["recall"], s["f"]]
            numbers = " | ".join(map(_three_digits, cells))
            lines.append(f"| {name} | {way} | {s['frames']} | {100 * s['sung']:.0f} % | {numbers} |")
    return "\n".join(lines)


def _three_digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def model_card(metrics: Mapping[str, Any]) -> str:
    """Write the card of a training, in Markdown, from what its metrics.json holds."""
    data, numbers = metrics["data"], metrics["settings"]
    sets = ", ".join(f"{name} {count}" for name, count in metrics["recordings"].items())
    sets += " (valid: held out by the seed)" if metrics.get("held_out") else ""
    best = "No recording was for validation: the last epoch is kept, and `valid` are the training recordings."
    if metrics["recordings"]["valid"]:
        best = f"Epoch {metrics['best_epoch']} was best on validation (every ninth frame)."
    songs = "\n".join(
        f"- {name}: AUC {_three_digits(value)}" for name, value in metrics["auc_of_each"].items()
    )
    hours = data["frames"] * 315 / 22050 / 3600
    return f"""# A singing voice detector (network svd)

Weights `svd.npz` (float32, the layout of f0k/ismir2015: param0 to param13) and `meanstd.npz` for the front
end. Made by

    {metrics["command"]}

- Recordings: {sets}; {hours:.2f} hours of stems to train on, {100 * data["sung"]:.0f} % of the frames sung.
- Licence: that of the recordings decides; weights trained on a corpus for research are for research.
- Training: {metrics["epochs"]} epochs of {numbers["steps_per_epoch"]} steps of
  {numbers["batch_size"]} segments with {data["excerpts_per_segment"]} excerpts each,
  seed {numbers["seed"]}, {numbers["precision"]};
  {metrics["training_hours"]:.2f} hours, {metrics["excerpts_per_second"]:.0f} excerpts a second.
  {best}

## Figures

Every frame (hop 1) of all recordings together; the threshold is tuned on the validation recordings.

{figures_table(metrics["figures"])}

{songs}
"""
