"""Arrays of HDF5 files by h5py: Keras 1 and 2 (``.h5``), Keras 3 (``.weights.h5``, and within ``.keras``).

Nothing is followed that could lead out of the file, and the types, shapes and places of all arrays are
checked before the first number is read.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

from actprobe.formats.arrays import Arrays, Found, RefusalError, Wanted, printable

SIGNATURE = b"\x89HDF\r\n\x1a\n"
IN_KERAS_FILE = "model.weights.h5"
SUFFIX = ":0"  # of TensorFlow's names
MAX_LINKS = 20_000  # of a file whose arrays are not known by name
MAX_GROUPS = 256  # beside the arrays of one that is


def read_h5(images: Mapping[str, bytes], wanted: Wanted) -> Arrays:
    """Read arrays by name without ``:0``, each with the layer that its group names, as Keras 3 writes it."""
    import h5py

    if not images[""].startswith(SIGNATURE):
        raise RefusalError("", "is not an HDF5 file")
    with h5py.File(h5py.h5f.open_file_image(images[""])) as file:
        walk = _Walk(h5py, wanted)
        top = walk.visited_once(file, "")
        if wanted.root:
            top = walk.member(file, wanted.root, wanted.root)
        if not isinstance(top, h5py.Group):
            raise RefusalError(wanted.root, "is not a group")
        walk.all_below(top)
        wanted.check_complete(walk.found)
        return {key: Found(entry, data[()], layer) for key, (entry, data, layer) in walk.found.items()}


def read_keras(images: Mapping[str, bytes], wanted: Wanted) -> Arrays:
    """Read the arrays of a ``.keras`` file, a zip file with an HDF5 file of weights in it."""
    most = len(images[""]) + 4 * wanted.most
    with zipfile.ZipFile(io.BytesIO(images[""])) as archive, archive.open(IN_KERAS_FILE) as file:
        weights = file.read(most + 1)
    if len(weights) > most:
        raise RefusalError(IN_KERAS_FILE, "has more bytes than this network can need")
    return read_h5({"": weights}, wanted)


class _Walk:
    """Visits every group and array below a group once."""

    def __init__(self, h5py: Any, wanted: Wanted) -> None:
        self.h5py, self.wanted = h5py, wanted
        self.found: dict[str, tuple[str, Any, str]] = {}
        self.visited: set[int] = set()
        self.links_left = MAX_LINKS if wanted.shapes is None else len(wanted.shapes) + MAX_GROUPS

    def visited_once(self, thing: Any, entry: str) -> Any:
        address = self.h5py.h5o.get_info(thing.id).addr
        if address in self.visited:
            raise RefusalError(entry, "is a second link to one object, or a cycle")
        self.visited.add(address)
        return thing

    def all_below(self, top: Any) -> None:
        pending = [(top, "")]
        while pending:
            group, prefix = pending.pop(0)
            try:
                pending += self.groups_in(group, prefix)
            except RefusalError:
                raise
            except Exception as error:  # h5py has one for each kind of damage
                raise RefusalError(prefix.rstrip("/"), f"is damaged: {error.args[0]}") from error

    def groups_in(self, group: Any, prefix: str) -> Iterator[tuple[Any, str]]:
        if not self.wanted.surplus and group.id.get_create_plist().get_link_creation_order():
            raise RefusalError(prefix.rstrip("/"), "tracks the order of its links, as Keras never did")
        for name in group:
            self.links_left -= 1
            if self.links_left < 0:
                raise RefusalError("", "holds too many groups and arrays")
            entry = prefix + printable(name.encode("utf-8", "surrogateescape"))
            member = self.member(group, name, entry)
            if isinstance(member, self.h5py.Group):
                yield member, f"{entry}/"
            else:
                self.array(member, entry, group)

    def member(self, group: Any, name: str, entry: str) -> Any:
        """Open what a link leads to, if it is a hard link to something not seen before."""
        link = group.get(name, getlink=True)
        if link is None:
            raise RefusalError(entry, "this group is missing")
        if not isinstance(link, self.h5py.HardLink):
            kinds = {self.h5py.SoftLink: "a soft link", self.h5py.ExternalLink: "an external link"}
            raise RefusalError(entry, f"is {kinds.get(type(link), 'a link of unknown kind')}")
        try:
            member = self.visited_once(group[name], entry)
        except RefusalError:
            raise
        except Exception as error:
            raise RefusalError(entry, f"is damaged: {error.args[0]}") from error
        if not isinstance(member, self.h5py.Group | self.h5py.Dataset):
            raise RefusalError(entry, "is neither a group nor an array")
        return member

    def array(self, data: Any, entry: str, group: Any) -> None:
        """Take an array that is wanted, if its numbers are in the file."""
        key, h5d, known = entry.removesuffix(SUFFIX), self.h5py.h5d, self.wanted.shapes is not None
        if not self.wanted.takes(key, entry) or not (known or data.dtype.str in self.wanted.dtypes):
            return  # counters of the optimizer and the like
        suffixes = {other.endswith(SUFFIX) for other, *_ in self.found.values()} | {entry.endswith(SUFFIX)}
        if known and len(suffixes) > 1:
            raise RefusalError(entry, "names with and without ':0' are mixed in one file")
        if data.shape is None or data.id.get_type().committed():
            raise RefusalError(entry, "has no shape, or a committed datatype")
        plain = not (data.dtype.hasobject or data.dtype.subdtype or data.dtype.metadata)
        self.wanted.check(key, entry, data.dtype.str if plain else "something else", data.shape)
        if data.external or data.is_virtual:
            raise RefusalError(entry, "keeps its numbers in an external file")
        if data.id.get_create_plist().get_layout() == h5d.COMPACT:
            raise RefusalError(entry, "is stored as compact, as h5py does not store arrays")
        if data.size and data.id.get_space_status() != h5d.SPACE_STATUS_ALLOCATED:
            raise RefusalError(entry, f"its {data.nbytes} bytes of numbers were never written")
        self.found[key] = entry, data, "" if known else str(group.attrs.get("name", ""))
