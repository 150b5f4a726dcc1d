"""Names that changed: for one release the old one works, too, and says what it is called now."""

from __future__ import annotations

from typing import Any

__all__ = ["COLUMNS", "renaming", "with_old_columns"]

# Table -> old name of a column -> its name now. A table is written with both, the old ones last.
COLUMNS: dict[str, dict[str, str]] = {
    "layers.csv": {"level": "null_95", "above_level": "above_null"},
    "alignment.csv": {"level": "null_95"},
}


def renaming(kind: str, old: str, new: str) -> str:
    """Give the one sentence for every name that changed.

    Parameters
    ----------
    kind : str
        What it names, such as ``flag`` or ``column``.
    old, new : str
        The name that was used, and what takes its place.

    Returns
    -------
    str
        The warning.

    Examples
    --------
    >>> renaming("column", "level", "null_95")
    'the column level is deprecated and will go in the next release: use null_95'
    """
    return f"the {kind} {old} is deprecated and will go in the next release: use {new}"


def with_old_columns(name: str, table: Any) -> Any:
    """Add the old columns of a table that is to be written.

    Parameters
    ----------
    name : str
        Its file name.
    table : pandas.DataFrame
        With the names of today.

    Returns
    -------
    pandas.DataFrame
        The same, the old columns after the others.
    """
    return table.assign(**{old: table[new] for old, new in COLUMNS.get(name, {}).items()})
