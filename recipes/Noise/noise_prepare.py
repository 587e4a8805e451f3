"""Turns folders of noise recordings into noise manifests, to check folders before a long run.

python recipes/Noise/noise_prepare.py --train DIR --valid DIR --test unseen=DIR --save_folder DIR
"""

import argparse
import logging
import os

from speechbrain_merit.audio.inspection import MIN_SECONDS, SECTION_SECONDS
from speechbrain_merit.data.noise_folders import prepare_noise
from speechbrain_merit.errors import MeritError


def main():
    """Reads the command line and writes the manifests."""
    parser = argparse.ArgumentParser(
        description="Writes noise manifests for folders of recordings (wav, flac, ogg, mp3, …): "
        f"cut into sections of at most {SECTION_SECONDS:g} s; silent recordings and those shorter "
        f"than {MIN_SECONDS} s are left out and listed in skipped.csv."
    )
    parser.add_argument("--train", required=True, metavar="DIR", help="noises to train with")
    parser.add_argument("--valid", required=True, metavar="DIR", help="noises to validate with")
    parser.add_argument(
        "--test",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="a test set and its folder; may be repeated",
    )
    parser.add_argument("--save_folder", required=True, metavar="DIR", help="for the manifests")
    given = parser.parse_args()
    if any("=" not in test for test in given.test):
        parser.error("--test takes NAME=DIR, such as --test unseen=noise/esc10")
    tests = {}
    for name, folder in (test.split("=", 1) for test in given.test):
        if name in tests:
            parser.error(f"--test {name}: two folders have this name; give each its own")
        tests[name] = os.path.expanduser(folder)  # behind a "=", no shell does
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        prepare_noise(given.train, given.valid, tests, given.save_folder)
    except (OSError, MeritError) as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
