"""Packaging of speechbrain_merit: ``pip install .``, with its tests ``pip install ".[test]"``."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
README = ROOT / "README.md"

# Read, not imported: the dependencies are not there yet.
VERSION = re.search(
    r'^__version__ = "(.+)"$',
    (ROOT / "speechbrain_merit" / "__init__.py").read_text(encoding="utf-8"),
    flags=re.MULTILINE,
).group(1)

REQUIRED = [
    "speechbrain>=1.1.2,<1.2",  # its Brain and Pretrained are taken from the inside
    "sentencepiece>=0.2",  # SpeechBrain imports it
    # torchaudio 2.11 is its last release. It goes with a later torch as long as both are built with
    # the same CUDA, 13.0, and refuses to be imported beside 2.15, which has 13.2.
    "torch>=2.11,<2.15",
    "torchaudio>=2.11,<2.12",
    "transformers>=5,<6",  # hidden states, masks and Whisper's encoder are taken from its internals
    "safetensors>=0.4.3",
    "huggingface_hub>=1.0",  # writes the head of a model card
    "hyperpyyaml>=1.2.2",
    "pyyaml>=6.0",
    "ruamel.yaml>=0.18",  # reads for hyperpyyaml, which calls what 0.17 does not have
    "numpy>=2.0",
    "scipy>=1.13",
    "scikit-learn>=1.5",
    "threadpoolctl>=3.1",
    "joblib>=1.3",  # counts the cores that a process may use, quotas of containers among it
    "pesq>=0.0.4",  # compiled on installation: needs a C compiler and Python's headers
    "pystoi>=0.4.1",
    "soundfile>=0.13",  # compression_level, with which codecs are applied in training
    "soxr>=0.5",  # resampling of a stream of blocks
    "silero-vad>=6,<7",  # whether anyone speaks; its weights travel in its package
    "matplotlib>=3.9",
    "jinja2>=3.1",
    "tqdm>=4.65",
]
PANDAS = ["pandas>=2.2"]  # to_frame
ONNX = ["onnx>=1.17", "onnxruntime>=1.20"]
SERVE = [
    "fastapi>=0.115",
    "pydantic>=2.7",
    "uvicorn>=0.30",
    "python-multipart>=0.0.18",
    "websockets>=13.0",  # with which uvicorn speaks them
]
DEMO = ["gradio>=6.0,<7", "websockets>=13.0"]
TEST = [
    *PANDAS,
    *ONNX,
    *SERVE,
    "httpx>=0.27",
    "pytest>=8.0",
    "hypothesis>=6.100",
    "packaging>=23.0",
    "setuptools>=64",  # tests/test_package.py reads this file through it
    "tensorboard>=2.16",  # train_logger: tensorboard
]
LIVE = ["sounddevice>=0.4.6"]  # merit listen with a microphone
# The models that travel with the package lie in a folder of their own in the repository.
PRETRAINED = "speechbrain_merit.pretrained"
DEV = [
    *DEMO,
    "playwright>=1.50",  # steers the browser that looks at the demo; the browser is Debian's
    "schemathesis>=4.0,<5",
    "ruff>=0.12",
    "yamllint>=1.35",
    "codespell[toml]>=2.3",
]

setup(
    name="speechbrain_merit",
    version=VERSION,
    description="Sparse MERIT for SpeechBrain: joint speech enhancement and emotion recognition",
    long_description=README.read_text(encoding="utf-8") if README.is_file() else "",
    long_description_content_type="text/markdown",
    # the code; and the weights that ship, whose training data allow no commercial use
    license="Apache-2.0 AND CC-BY-NC-SA-4.0",
    license_files=["LICENSE", "pretrained/*/README.md"],
    classifiers=[
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Topic :: Multimedia :: Sound/Audio :: Speech",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=find_packages(include=["speechbrain_merit", "speechbrain_merit.*"]) + [PRETRAINED],
    package_dir={PRETRAINED: "pretrained"},
    package_data={
        "speechbrain_merit.evaluation.report": ["report.html.j2"],
        "speechbrain_merit.live": ["live.js"],
        "speechbrain_merit.data.exact": ["taps.npy"],
        PRETRAINED: ["*/*.yaml", "*/*.ckpt", "*/*.txt", "*/*.py", "*/*.md"],
    },
    entry_points={"console_scripts": ["merit = speechbrain_merit.__main__:main"]},
    python_requires=">=3.10,<3.15",
    install_requires=REQUIRED,
    extras_require={
        "live": LIVE,
        "pandas": PANDAS,
        "onnx": ONNX,
        "serve": SERVE,
        "demo": DEMO,
        "test": TEST,
        "dev": TEST + DEV,
    },
)
