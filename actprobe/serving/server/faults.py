"""What TensorFlow raises, as one sentence and a status."""

from __future__ import annotations

from typing import Any

from actprobe.errors import ServingError

_LONGEST_REASON = 1024  # a status travels in the headers, which are small
_FULL_QUEUE = "batch scheduling queue"


def first_line(error: BaseException) -> str:
    """Find the sentence of a message that TensorFlow wraps in stack traces."""
    text = str(getattr(error, "message", None) or error).strip() or type(error).__name__
    if text.startswith("Graph execution error"):
        lines = text.split("\nOriginal stack trace")[0].strip().splitlines()
        marked = [i for i, line in enumerate(lines) if line.startswith("Node: ")]
        text = "\n".join(lines[marked[-1] + 1 :] if marked else lines[1:]).strip() or text
        text = text.removeprefix("{{function_node ").strip() or text
    return text.splitlines()[0][:_LONGEST_REASON]


def as_serving_error(error: Any) -> ServingError:
    """Give the error of the status that TensorFlow's error stands for."""
    from grpc import StatusCode

    reason = first_line(error)
    if _FULL_QUEUE in reason:
        return ServingError("RESOURCE_EXHAUSTED", reason)
    names = {code.value[0]: code.name for code in StatusCode}
    return ServingError(names.get(error.error_code, "UNKNOWN"), reason)
