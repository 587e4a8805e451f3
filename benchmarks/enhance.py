"""Runs a public enhancer over a benchmark; its files then go to ``evaluate.py --enhanced``.

> python benchmarks/enhance.py RNNoise BENCHMARK OUT

Enhancers are those of ``benchmarks/peers.py``, which says how each is installed. Each hears all
recordings at one level; what it delays is found and removed where its files are scored. None of
them is needed for anything else, so they are no dependencies of the project.
"""

import argparse
from pathlib import Path

import numpy as np
from peers import PEERS, installed, levelled
from tqdm import tqdm

from speechbrain_merit.data.noisyemo.build import read_flac, write_flac
from speechbrain_merit.data.noisyemo.reading import Benchmark
from speechbrain_merit.errors import ends_in_a_line


def int16(wave):
    """Samples of full scale 1 as int16, cut at its ends.

    Example
    -------
    >>> int16(np.array([0.5, -2.0])).tolist()
    [16384, -32768]
    """
    return np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16)


def main():
    """Enhances every file that is not there yet, or was built again since."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = {name.lower(): name for name in PEERS}
    parser.add_argument("tool", type=str.lower, choices=names)
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("out", type=Path)
    given = parser.parse_args()
    items = Benchmark(given.benchmark).items
    peer = installed(names[given.tool], PEERS[names[given.tool]])
    for item in tqdm(items, names[given.tool]):
        path, source = given.out / item.file, given.benchmark / item.file
        if not path.is_file() or path.stat().st_mtime_ns < source.stat().st_mtime_ns:
            samples = read_flac(source)
            write_flac(path, int16(levelled(peer, samples / 32768))[: len(samples)])


if __name__ == "__main__":
    with ends_in_a_line("enhance.py"):
        main()
