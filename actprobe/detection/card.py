"""The model card of a trained detector."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from actprobe.detection.listening import FIGURE

AIM = 0.05  # of false alarms: below that


def figures_table(figures: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Write what `actprobe.detection.evaluation.report` gives as a table in Markdown.

    Sets in which nobody sings are left out: of these there are only false alarms.
    """
    shown = {"AUC": "auc", **{key: key for key in ("threshold", "accuracy", "precision", "recall")}, "F": "f"}
    rows = [
        [
            name,
            way,
            s["frames"],
            f"{100 * s['sung']:.0f} %",
            *(_three_digits(s[key]) for key in shown.values()),
        ]
        for name, ways in figures.items()
        for way, s in ways.items()
        if s["sung"]
    ]
    return _table(["recordings", "counted with", "frames", "sung", *shown], rows)


def listening_section(found: Mapping[str, Any]) -> str:
    """Write what `actprobe.detection.listening.judge` gives, a table and a sentence for each question.

    What was not measured is left out.
    """
    written: dict[str, Callable[[Any], str]] = {
        "voice_level": _voice_level,
        "loudness": _loudness,
        "false_alarms": _false_alarms,
        "close_sounds": _close_sounds,
        "voices": _voices,
    }
    parts = [write(found[key]) for key, write in written.items() if key in found]
    if not parts:
        return ""
    opening = (
        "## Voices and other sounds\n\nRecordings that were not trained on, labels as they are, "
        f"threshold {found['threshold']:.2f}."
    )
    return "\n\n".join([opening, *parts])


def _voice_level(found: Mapping[str, Any]) -> str:
    as_recorded = f"as recorded (median {found['recorded_db']:+.1f})"
    rows = [
        [
            as_recorded if s["voice_db"] is None else _decibels(s["voice_db"]),
            *(_three_digits(s["auc"]), _percent(s["recall"]), _percent(s["false_alarms"])),
        ]
        for s in found["levels"]
    ]
    return f"""### By level of the voice

The voice of {found["recordings"]} test recordings is set to a level against the accompaniment, which stays as
recorded: RMS of the voice where it is sung, against that of the accompaniment.

{_table(["voice (dB)", "AUC", "recall", "false alarms"], rows)}

![AUC, recall and false alarms by the level of the voice]({FIGURE})"""


def _loudness(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        [
            _decibels(s["gain_db"]),
            *(_three_digits(s["auc"]), _percent(s["changed"]), _three_digits(s["mean_change"])),
        ]
        for s in found
    ]
    return f"""### Loudness

The same recordings as a whole, softer and louder, compared with the output for them as recorded.

{_table(["gain (dB)", "AUC", "decisions that change", "mean absolute change of the output"], rows)}"""


def _false_alarms(found: Mapping[str, Any]) -> str:
    return f"""### False alarms

Share of the time that is at or above the threshold in recordings in which nobody sings; the aim is under
{100 * AIM:.0f} % of all of them together.

{_shares(found, "called sung")}"""


def _close_sounds(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [[s["name"], s["recordings"] or "none: not tested", *_time(s)] for s in found]
    return f"""### Sounds close to singing

Those of the recordings above that are named after a sound which is easily mistaken for singing.

{_table(["sound", "recordings", "seconds", "called sung"], rows)}"""


def _voices(found: Mapping[str, Any]) -> str:
    return f"""### Voices alone

Share of the sung frames that are found where nothing accompanies the voice.

{_shares(found, "found")}"""


def _shares(found: Mapping[str, Any], share: str) -> str:
    totals = [[f"**{s['set']}, {s['recordings']} together**", "", *_time(s)] for s in found["together"]]
    rows = [[s["name"], s["set"], *_time(s)] for s in found["recordings"]]
    return _table(["recording", "set", "seconds", share], [*rows, *totals])


def _time(row: Mapping[str, Any]) -> list[str]:
    return [f"{row['seconds']:.1f}", _percent(row["share"])]


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head, *body = (f"| {' | '.join(map(str, row))} |" for row in (columns, *rows))
    return "\n".join([head, "|---" * len(columns) + "|", *body])


def _decibels(level: float) -> str:
    return f"{level:+.0f}" if level else "0"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


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
        f"- {name}: AUC {value:.3f}" for name, value in metrics["auc_of_each"].items() if value is not None
    )
    hours = {name: seconds / 3600 for name, seconds in data["seconds"].items() if seconds}
    trained_on = ", ".join(f"{name} {value:.2f}" for name, value in hours.items())
    return f"""# A singing voice detector (network svd)

Weights `svd.npz` (float32, the layout of f0k/ismir2015: param0 to param13) and `meanstd.npz` for the front
end. Made by

    {metrics["command"]}

- Recordings: {sets}. {sum(hours.values()):.2f} hours to train on: {trained_on}.
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

{listening_section(metrics["listening"])}
"""
