"""Builds a NoisyEmo benchmark of a corpus, or tells whether one is the same test as another.

> python noisyemo.py minimerit.yaml --out DIR
> python noisyemo.py ravdess.yaml --data_folder /path/to/RAVDESS --out DIR --jobs 2
> python noisyemo.py ravdess.yaml --data_folder … --out DIR --noise speech_commands=/path/to/it
> python noisyemo.py ravdess.yaml --out DIR --verify
> python noisyemo.py ravdess.yaml --out DIR --verify OTHER/manifest.csv

Interrupted, the same command goes on. `--verify` compares with the committed hashes in `hashes/`.
"""

import argparse
import sys
from pathlib import Path

from speechbrain_merit.data.noisyemo.build import build
from speechbrain_merit.data.noisyemo.settings import read_settings
from speechbrain_merit.data.noisyemo.verify import alone, verify, write_hashes
from speechbrain_merit.errors import MeritError, ends_in_a_line

HASHES = Path(__file__).resolve().parent / "hashes"
COMMITTED = "committed"


def arguments(given=None):
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("yaml", help="the corpus: minimerit.yaml, ravdess.yaml, …")
    parser.add_argument("--data_folder", help="the corpus as published")
    parser.add_argument("--out", required=True, help="folder of the benchmark")
    parser.add_argument("--jobs", type=int, default=-1, help="processes; −1: all cores")
    parser.add_argument(
        "--noise",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="a further noise set as published; may be repeated",
    )
    parser.add_argument(
        "--also", nargs="+", default=[], metavar="CODEC", help="opus, mp3: rows beside the test"
    )
    parser.add_argument(
        "--verify", nargs="?", const=COMMITTED, metavar="MANIFEST", help="compare, build nothing"
    )
    parser.add_argument("--write_hashes", metavar="FILE", help="hashes to commit, of a whole one")
    found = parser.parse_args(given)
    if any("=" not in noise for noise in found.noise):
        parser.error("--noise takes NAME=DIR, such as --noise esc50=/data/ESC-50/audio")
    names = [noise.split("=", 1)[0] for noise in found.noise]
    if twice := {name for name in names if names.count(name) > 1}:
        parser.error(f"--noise {min(twice)}: two folders have this name; give each its own")
    if found.jobs < -1:
        parser.error("--jobs takes a number of processes, or −1 for all cores")
    found.out = Path(found.out).expanduser()  # no shell does it in --out=~/DIR
    return found


def main(given=None):
    """Does what the command line asks for; returns the exit status."""
    asked = arguments(given)
    yaml = Path(asked.yaml)
    yaml = yaml if yaml.is_file() else Path(__file__).resolve().parent / yaml
    if asked.verify is not None:
        expected = asked.verify
        if expected == COMMITTED:
            expected = HASHES / f"{yaml.stem}.csv.xz"
            if not expected.is_file():
                raise MeritError(
                    f"No hashes of {yaml.stem} are committed: compare with the manifest of another "
                    "machine, --verify OTHER/manifest.csv"
                )
        file, found = verify(asked.out, expected, asked.jobs)
        if file is not None:
            print(f"{file}: {found}")
            return 1
        lacking, more, part = alone(asked.out, expected)
        print(f"the same {'as far as it goes' if part else 'test'} ({found} files)")
        for names, place in ((lacking, expected), (more, asked.out)):
            if names:
                print(f"not compared, as only {place} holds it: {', '.join(names)}")
        return int(part)
    if asked.write_hashes is not None:
        write_hashes(asked.out, asked.write_hashes)
        return 0
    folders = dict(noise.split("=", 1) for noise in asked.noise)
    more = {"also": asked.also} if asked.also else {}
    build(read_settings(yaml, asked.data_folder, folders), asked.out, asked.jobs, **more)
    print(f"{asked.out} is complete; whether it is the same test says --verify")
    return 0


if __name__ == "__main__":
    with ends_in_a_line("noisyemo.py"):
        sys.exit(main())
