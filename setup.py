"""Packaging of actprobe; tool settings are in pyproject.toml."""

import os
import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (HERE / "actprobe/version.py").read_text("utf-8")).group(1)

# pyarrow 26 needs NumPy 2 when it runs, whatever its metadata says. tensorflow-io 0.37.1 loads with
# TensorFlow 2.16 and 2.17 only, and there is none for Python 3.13.
PROVEN = [
    'tensorflow>=2.17.1,<2.18; python_version < "3.13"',
    'tf-keras>=2.17,<2.18; python_version < "3.13"',
    'tensorflow-io==0.37.1; python_version < "3.13" and platform_machine == "x86_64"',
    'numpy>=1.26,<2; python_version < "3.13"',
    'pyarrow>=15,<26; python_version < "3.13"',
    'opencv-python>=4.9,<5; python_version < "3.13"',
    'tensorflow>=2.20; python_version >= "3.13"',
    'tf-keras>=2.20; python_version >= "3.13"',
    'numpy>=2; python_version >= "3.13"',
    'pyarrow>=18; python_version >= "3.13"',
    'opencv-python>=4.10; python_version >= "3.13"',
]
NEWEST = [
    "tensorflow>=2.20",
    "tf-keras>=2.20",
    "numpy>=2",
    "pyarrow>=18",
    "opencv-python>=4.10",
]
PROVEN_API = [
    'tensorflow-serving-api>=2.17,<2.18; python_version < "3.13"',
    'tensorflow-serving-api>=2.19; python_version >= "3.13"',
]
NEWEST_API = ["tensorflow-serving-api>=2.19"]

# bin/check --newest tries the newest set on any Python.
IS_NEWEST = os.environ.get("ACTPROBE_TENSORFLOW") == "newest"

SERVE = [
    *(NEWEST_API if IS_NEWEST else PROVEN_API),
    "grpcio>=1.62",
    "grpcio-health-checking>=1.62",
    "httptools>=0.6.3",
    "orjson>=3.10",
    "prometheus-client>=0.20",
    "urllib3>=2",
    "uvicorn>=0.30",
    "uvloop>=0.21; sys_platform != 'win32'",
]
CLUSTER = ["distributed>=2024.8"]
TORCH = ["torch>=2.5"]
BENCH = [*TORCH, "captum>=0.8"]  # the same networks and methods in PyTorch
TEST = [
    "hypothesis>=6.100",
    "pytest>=8",
    "pytest-xdist>=3.6",
    "pyyaml>=6",
    "selenium>=4.20",
    "setuptools>=68",  # builds the wheel that is tried; before 70.1 with wheel
    "wheel",
]
DOCS = [
    "ipykernel>=6.29",
    "mkdocs>=1.6,<2",
    "mkdocs-material>=9.5",
    "nbclient>=0.10",
]

setup(
    name="actprobe",
    version=VERSION,
    description="Opens audio CNNs and says what they learned.",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE", "NOTICE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Topic :: Multimedia :: Sound/Audio :: Analysis",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    keywords="music information retrieval, machine listening, interpretability, audio, CNN",
    python_requires=">=3.10,<3.14",
    # checkpoints/ stands at the top level and is installed as actprobe.checkpoints.
    packages=[*find_packages(include=["actprobe", "actprobe.*"]), "actprobe.checkpoints"],
    package_dir={"actprobe.checkpoints": "checkpoints"},
    package_data={
        "actprobe": ["py.typed", "explorer/static/*", "explorer/templates/*.html"],
        "actprobe.checkpoints": ["*.json", "*.md", "*/*"],
    },
    scripts=sorted(str(path.relative_to(HERE)) for path in (HERE / "bin").glob("actprobe-*")),
    install_requires=[
        *(NEWEST if IS_NEWEST else PROVEN),
        "absl-py>=2",
        "av>=12",
        "cloudpickle>=3",
        "essentia-tensorflow==2.1b6.dev1389",
        "h5py>=3.10",
        "jinja2>=3.1",
        "librosa>=0.11,<0.12",
        "matplotlib>=3.8",
        "numba>=0.60",  # what librosa is compiled with
        "pandas>=2.2",
        "pillow>=10",
        "plotly>=5.24",
        "pooch>=1.8",
        "scikit-learn>=1.5",
        "scipy>=1.14",
        "soundfile>=0.12",
        "soxr>=0.3.7",
        "threadpoolctl>=3",
        "tqdm>=4.60",
    ],
    extras_require={
        "bench": BENCH,
        "cluster": CLUSTER,
        "corpora": ["mirdata>=0.3.9"],
        "serve": SERVE,
        "torch": TORCH,
        "test": TEST,
        "docs": DOCS,
        "dev": [
            *SERVE,
            *CLUSTER,
            *TEST,
            *DOCS,
            "codespell>=2.3",
            "mypy>=1.11",
            "numpydoc>=1.8",
            "pandas-stubs>=2.2",
            "ruff>=0.6",
            "types-tqdm",
        ],
    },
)
