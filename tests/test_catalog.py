"""The catalog: every known file is described, recognised by whatever digest is known, and opened by name."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT

from actprobe import checkpoints
from actprobe.checkpoints import catalog
from actprobe.errors import UsageError, WeightsError
from actprobe.models import load_model
from actprobe.weights.cache import cached_path, digests_of, identify, locate, mismatch
from actprobe.weights.fetch import copy_in

ENTRIES = checkpoints.entries()
HEXADECIMAL = {"sha256": 64, "md5": 32, "git_blob_sha1": 40}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ACTPROBE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_entry_says_all_that_a_reader_needs(entry: Any) -> None:
    for kind, length in HEXADECIMAL.items():
        digest = getattr(entry, kind)
        assert digest is None or (len(digest) == length and set(digest) <= set("0123456789abcdef"))
    assert entry.licence
    assert entry.origin
    assert entry.purpose
    assert entry.size_limit > 0
    assert entry.url is None or entry.url.startswith("https://")
    assert bool(entry.layer) == bool(entry.inverts) == (entry.role == "inverter")
    if entry.inverts:
        other = checkpoints.find(entry.inverts)
        assert other is not None
        assert (other.model, other.role) == (entry.model, "weights")
    if entry.replaced_by:
        other = checkpoints.find(entry.replaced_by)
        assert other is not None
        assert other.packaged
        assert not entry.packaged
        assert (other.inverts, other.layer) == (entry.inverts, entry.layer)
    if entry.normalization:
        other = checkpoints.find(entry.normalization)
        assert other is not None
        assert (other.model, other.role) == (entry.model, "normalization")


def test_files_of_entries_never_meet_in_the_cache() -> None:
    assert len({(entry.model, entry.filename) for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize(
    "entry",
    [entry for entry in ENTRIES if entry.wheel is None and not entry.replaced_by],
    ids=lambda entry: entry.name,
)
def test_digests_are_those_of_the_published_file(assets: Path, entry: Any) -> None:
    path = assets / "originals" / entry.model / entry.filename
    if entry.packaged:
        path = ROOT / "checkpoints" / entry.filename
    elif not path.exists():
        pytest.skip("this file is not among the test assets")
    content = path.read_bytes()
    assert len(content) == entry.size_bytes
    assert hashlib.sha256(content).hexdigest() == entry.sha256
    assert hashlib.md5(content).hexdigest() == entry.md5
    assert hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == entry.git_blob_sha1
    assert mismatch(path, entry) == ""


def test_every_original_file_is_in_the_catalog(assets: Path) -> None:
    known = {(entry.model, entry.filename) for entry in ENTRIES}
    found = {(path.parent.name, path.name) for path in (assets / "originals").glob("*/*")}
    assert found <= known


def test_the_networks_of_the_papers_are_there_with_what_belongs_to_them() -> None:
    assert [entry.name for entry in checkpoints.entries("mm_cnn")] == [
        "mm_cnn_irmas_single",
        "mm_cnn_irmas_mean",
    ]
    inverters = checkpoints.entries("svd", "inverter")
    assert {entry.layer for entry in inverters} == {
        "conv1", "conv2", "mp3", "conv4", "conv5", "mp6", "fc7", "fc8",
    }  # fmt: skip
    assert checkpoints.find("svd_jamendo").git_blob_sha1 == "0141abb1d0eb62bb2a2385ab98bd94a83c197179"
    assert checkpoints.find("vggish_audioset").md5 == "d1c7011e6366aa34176bb05c705e31a8"
    assert checkpoints.find("vggish_pca").md5 == "c80cae691033abe7c7ecd11ea39fc834"
    assert checkpoints.find("vggish") is None


def test_digests_of_a_file_are_what_the_tools_say(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"what is up, doc?")
    digests = digests_of(tmp_path / "file")
    assert digests.size_bytes == 16
    # Pro Git, chapter 10.2, works this very example.
    assert digests.git_blob_sha1 == "bd9dbf5aae1a3862dd1526723246b20206e5fc37"
    assert digests.md5 == hashlib.md5(b"what is up, doc?").hexdigest()


def test_lookup_by_digest_takes_what_is_known_and_no_contradiction() -> None:
    first = ENTRIES[0]
    assert checkpoints.find_by_digest(md5=first.md5.upper()) is first
    assert checkpoints.find_by_digest(git_blob_sha1=first.git_blob_sha1) is first
    assert checkpoints.find_by_digest(sha256=first.sha256, md5=first.md5) is first
    assert checkpoints.find_by_digest(sha256="0" * 64, md5=first.md5) is None
    assert checkpoints.find_by_digest() is None
    vggish = checkpoints.find("vggish_audioset")
    assert checkpoints.find_by_digest(sha256="0" * 64, md5=vggish.md5) is vggish


@pytest.mark.parametrize("kind", ["md5", "git_blob_sha1"])
def test_weights_known_by_another_digest_than_sha256_are_original(
    tensorflow_weights: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    first = ENTRIES[0]
    digests = {name: getattr(first, name) if name == kind else None for name in HEXADECIMAL}
    for size in ({}, {"size_bytes": None, "at_most_bytes": 4_000_000}):
        monkeypatch.setattr(catalog, "_ENTRIES", (replace(first, **digests, **size),))
        weights = load_model("cnn_at", tensorflow_weights).weights
        assert weights.kind == "original"
        assert weights.catalog_name == first.name
        assert weights.sha256 == first.sha256


def test_file_that_changed_since_it_was_read_is_not_recognised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ENTRIES[0]
    (tmp_path / "weights").write_bytes(b"what is up, doc?")
    digests = digests_of(tmp_path / "weights")
    entry = replace(first, sha256=None, md5=digests.md5, git_blob_sha1=None, size_bytes=16)
    monkeypatch.setattr(catalog, "_ENTRIES", (entry,))
    assert identify(tmp_path / "weights", digests.sha256, "cnn_at") is entry
    assert identify(tmp_path / "weights", "0" * 64, "cnn_at") is None
    assert identify(tmp_path / "weights", digests.sha256, "svd") is None
    assert identify(tmp_path / "gone", digests.sha256, "cnn_at") is None


def test_file_of_another_size_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(ENTRIES[0], sha256=None, size_bytes=17)
    monkeypatch.setattr(catalog, "_ENTRIES", (entry,))
    monkeypatch.setattr("actprobe.weights.cache.digests_of", lambda _: pytest.fail("was read"))
    (tmp_path / "weights").write_bytes(b"what is up, doc?")
    assert identify(tmp_path / "weights", "0" * 64, "cnn_at") is None


def test_model_opens_by_the_name_of_its_entry(cache: Path, tensorflow_weights: Path) -> None:
    with pytest.raises(WeightsError, match="actprobe-fetch --model=cnn_at --name=cnn_at_msd_tensorflow"):
        load_model("cnn_at", "cnn_at_msd_tensorflow")
    copy_in(checkpoints.find("cnn_at_msd_tensorflow"), tensorflow_weights)
    model = load_model("cnn_at", "cnn_at_msd_tensorflow")
    assert model.weights.kind == "original"
    assert model.weights.path == str(cache / "cnn_at/music_tagger_cnn_weights_tensorflow.h5")


def test_well_formed_stranger_in_the_cache_is_not_opened_by_name(
    cache: Path, tensorflow_weights: Path
) -> None:
    """One bit of one bias differs."""
    content = bytearray(tensorflow_weights.read_bytes())
    content[-1] ^= 1
    path = cached_path(checkpoints.find("cnn_at_msd_tensorflow"))
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert load_model("cnn_at", path).weights.kind == "unverified"
    with pytest.raises(WeightsError, match=r"is not the file of cnn_at_msd_tensorflow; actprobe-fetch"):
        load_model("cnn_at", "cnn_at_msd_tensorflow")


def test_names_that_do_not_fit_list_those_that_do(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match=r"weights of mm_cnn; weights of cnn_at: cnn_at_msd_tensorflow, "):
        load_model("cnn_at", "mm_cnn_irmas_single")
    with pytest.raises(UsageError, match=r"inverter of svd; weights of svd: svd_jamendo"):
        load_model("svd", "svd_inverter_fc8")
    with pytest.raises(UsageError, match="neither a file nor in the catalog"):
        load_model("cnn_at", "cnn_at_msd")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "svd_jamendo").touch()
    assert locate("./svd_jamendo", "svd", "weights")[1] is None


def test_checkpoint_by_name_brings_its_normalization(
    cache: Path, assets: Path, caplog: pytest.LogCaptureFixture
) -> None:
    originals = assets / "originals/mm_cnn"
    weights, mean = checkpoints.entries("mm_cnn")
    copy_in(weights, originals / weights.filename)
    with pytest.raises(WeightsError, match="--name=mm_cnn_irmas_mean"):
        load_model("mm_cnn", weights.name)
    copy_in(mean, originals / mean.filename)
    samples = np.random.default_rng(0).standard_normal(80_000).astype(np.float32)
    by_name = load_model("mm_cnn", weights.name)
    by_path = load_model("mm_cnn", originals / weights.filename, originals / mean.filename)
    assert not caplog.records
    without = load_model("mm_cnn", originals / weights.filename)
    assert "normalised by mm_cnn_irmas_mean" in caplog.text
    examples = by_name.frontend(samples, 12000)
    assert np.array_equal(examples, by_path.frontend(samples, 12000))
    assert not np.allclose(examples, without.frontend(samples, 12000))
    cached_path(mean).write_bytes(bytes(mean.size_bytes))
    with pytest.raises(WeightsError, match="has the sha256"):
        load_model("mm_cnn", weights.name)


def test_cache_folder_is_the_users_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    assert cached_path(ENTRIES[0]).is_relative_to(cache)
    monkeypatch.delenv("ACTPROBE_CACHE")
    assert cached_path(ENTRIES[0]).parent.name == "cnn_at"
    assert "actprobe" in cached_path(ENTRIES[0]).parts
