"""Arrays of HDF5 files by h5py: Keras 1 and 2 (``.h5``), Keras 3 (``.weights.h5``, in ``.keras``).

Damaged files make the HDF5 library loop or end the process; unknown files are read in a child process
(`actprobe.weights.guarded`). Nothing is followed that could lead out of the file, and the types, shapes and
places of all arrays are checked before the first number is read.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

from actprobe.weights.file_image import RefusalError, printable
from actprobe.weights.wanted import Found, Wanted

SIGNATURE = b"\x89HDF\r\n\x1a\n"
IN_KERAS_FILE = "model.weights.h5"
SUFFIX = ":0"  # of TensorFlow's names
MAX_GROUPS = 256  # beside the arrays that are wanted
MAX_LINKS = 20_000  # of a file whose arrays are not known by name


def read_h5(image: bytes, wanted: Wanted) -> dict[str, Found]:
    """Read arrays by name without ``:0``, each with the layer that its group names, as Keras 3 writes it."""
    import h5py

    if not image.startswith(SIGNATURE):
        raise RefusalError("", "is not an HDF5 file")
    with h5py.File(h5py.h5f.open_file_image(image)) as file:
        walk = _Walk(h5py, wanted)
        top = file
        if wanted.root:
            if wanted.root not in file:
                raise RefusalError(wanted.root, "this group is missing")
            walk.visit(file.id, "")
            top = walk.member(file, wanted.root, wanted.root)
            if not isinstance(top, h5py.Group):
                raise RefusalError(wanted.root, "is not a group")
        else:
            walk.visit(file.id, "")
        walk.group(top)
        wanted.check_complete(walk.found, "array")
        return {
            key: Found(entry, array[()], walk.layers.get(key, ""))
            for key, (entry, array) in walk.found.items()
        }


def read_keras(image: bytes, wanted: Wanted) -> dict[str, Found]:
    """Read the arrays of a ``.keras`` file, a zip file with an HDF5 file of weights in it."""
    with zipfile.ZipFile(io.BytesIO(image)) as archive:
        if IN_KERAS_FILE not in archive.namelist():
            raise RefusalError("", f"has no {IN_KERAS_FILE}")
        with archive.open(IN_KERAS_FILE) as file:
            weights = file.read(len(image) + wanted.most + 1)
    if len(weights) > len(image) + wanted.most:
        raise RefusalError(IN_KERAS_FILE, "has more bytes than this network can need")
    return read_h5(weights, wanted)


class _Walk:
    """Visits every group and array below a group once."""

    def __init__(self, h5py: Any, wanted: Wanted) -> None:
        self.h5py, self.wanted = h5py, wanted
        self.found: dict[str, tuple[str, Any]] = {}
        self.layers: dict[str, str] = {}
        self.visited: set[int] = set()
        self.links_left = MAX_LINKS if wanted.shapes is None else len(wanted.shapes) + MAX_GROUPS

    def visit(self, identifier: Any, entry: str) -> None:
        address = self.h5py.h5o.get_info(identifier).addr
        if address in self.visited:
            raise RefusalError(entry, "is a second link to one object, or a cycle")
        self.visited.add(address)

    def group(self, top: Any) -> None:
        pending = [(top, "")]
        while pending:
            group, prefix = pending.pop(0)
            if not self.wanted.surplus and group.id.get_create_plist().get_link_creation_order():
                raise RefusalError(prefix.rstrip("/"), "tracks the order of its links, as Keras never did")
            for name in group:
                self.links_left -= 1
                if self.links_left < 0:
                    raise RefusalError("", "holds too many groups and arrays")
                entry = prefix + printable(name.encode("utf-8", "surrogateescape"))
                member = self.member(group, name, entry)
                if isinstance(member, self.h5py.Group):
                    pending.append((member, f"{entry}/"))
                else:
                    self.array(member, entry, group)

    def member(self, group: Any, name: str, entry: str) -> Any:
        """Open what a link leads to, if it is a hard link to something not seen before."""
        link = group.get(name, getlink=True)
        if not isinstance(link, self.h5py.HardLink):
            kinds = {self.h5py.SoftLink: "a soft link", self.h5py.ExternalLink: "an external link"}
            raise RefusalError(entry, f"is {kinds.get(type(link), 'a link of unknown kind')}")
        try:
            member = group[name]
        except Exception as error:
            raise RefusalError(entry, f"is damaged: {error}") from error
        self.visit(member.id, entry)
        if not isinstance(member, self.h5py.Group | self.h5py.Dataset):
            raise RefusalError(entry, "is neither a group nor an array")
        return member

    def array(self, array: Any, entry: str, group: Any) -> None:
        key = entry.removesuffix(SUFFIX)
        if not self.wanted.takes(key, entry, "array"):
            return
        if key in self.found or (
            self.wanted.shapes is not None
            and any(other.endswith(SUFFIX) != entry.endswith(SUFFIX) for other, _ in self.found.values())
        ):
            raise RefusalError(entry, "names with and without ':0' are mixed in one file")
        if self.wanted.shapes is None and array.dtype.str not in self.wanted.dtypes:
            return  # counters of the optimizer and the like
        self.check(array, key, entry)
        self.found[key] = entry, array
        if self.wanted.shapes is None and "name" in group.attrs:
            self.layers[key] = str(group.attrs["name"])

    def check(self, array: Any, key: str, entry: str) -> None:
        """Refuse an array that is not wanted, or whose numbers are not in the file."""
        h5d = self.h5py.h5d
        if array.shape is None:
            raise RefusalError(entry, "has no shape")
        if array.id.get_type().committed():
            raise RefusalError(entry, "has a committed datatype")
        if array.dtype.hasobject or array.dtype.subdtype or array.dtype.metadata:
            raise RefusalError(entry, "holds something else than numbers")
        self.wanted.check(key, entry, array.dtype.str, array.shape)
        if array.external:
            raise RefusalError(entry, "keeps its numbers in an external file")
        layout = array.id.get_create_plist().get_layout()
        if layout not in (h5d.CONTIGUOUS, h5d.CHUNKED):
            raise RefusalError(entry, f"is stored as {'compact' if layout == h5d.COMPACT else 'virtual'}")
        if array.id.get_space_status() != h5d.SPACE_STATUS_ALLOCATED and array.size:
            raise RefusalError(entry, f"its {array.size * array.dtype.itemsize} bytes were never written")
