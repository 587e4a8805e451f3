"""What a NoisyEmo benchmark costs: files made and utterances scored a second, and its size.

> python benchmarks/noisyemo.py                                   # MiniMERIT
> python benchmarks/noisyemo.py --yaml ravdess.yaml --data_folder /path/to/RAVDESS
"""

import argparse
import tempfile
import time
from itertools import islice

from speechbrain_merit.data.corpora import RECIPES
from speechbrain_merit.data.noisyemo import build as building
from speechbrain_merit.data.noisyemo.listing import utterances
from speechbrain_merit.data.noisyemo.reading import Benchmark
from speechbrain_merit.data.noisyemo.settings import read_settings
from speechbrain_merit.evaluation.enhancement import score_utterances
from speechbrain_merit.training.probes import Features

UTTERANCES = 12  # built; a corpus's cost is told from theirs
SCORED = 120


def processor_time(work):
    """Seconds of processor time of some work in this process, and what it gives."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def main():
    """Builds and scores a few utterances, prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--yaml", default="minimerit.yaml")
    parser.add_argument("--data_folder", default=None)
    given = parser.parse_args()
    settings = read_settings(RECIPES / "NoisyEmo" / given.yaml, given.data_folder)
    listed = utterances(settings)["test"]
    step = max(1, len(listed) // UTTERANCES)
    few = [row.id for row in listed[::step]]
    with tempfile.TemporaryDirectory() as folder:
        noise, _ = processor_time(lambda: building.build(settings, f"{folder}/b", 0, only=()))
        # once more, now that the voices of the babble are read
        again, _ = processor_time(lambda: building.build(settings, f"{folder}/b", 0, only=()))
        both, _ = processor_time(lambda: building.build(settings, f"{folder}/c", 0, only=few))
        benchmark = Benchmark(f"{folder}/c")
        total = sum((benchmark.folder / i.file).stat().st_size for i in benchmark.items)
        size = total / len(few) * len(listed) / 1e9
        items = benchmark.items[:: max(1, len(benchmark.items) // SCORED)]
        waves = [(benchmark.clean(i), benchmark.noisy(i), benchmark.noisy(i)) for i in items]
        scoring, _ = processor_time(lambda: list(score_utterances(waves, 16000, 0, False)))
        hear = Features()
        hearing, _ = processor_time(lambda: list(islice(hear(w for _, w, _ in waves), len(waves))))
    each = (both - again) / len(few)
    print(f"{settings.corpus}: {len(listed)} utterances, {len(listed) * 52} files")
    print()
    print("| what | processor time | a second of it |")
    print("| --- | --- | --- |")
    print(f"| noise, once | {noise:.0f} s | |")
    files = len(benchmark.items) / len(few)
    print(f"| one utterance, {files:.0f} files | {each:.2f} s | {files / each:.0f} files |")
    print(f"| the whole | {noise + each * len(listed):.0f} s, {size:.2f} GB | |")
    print(
        f"| all five scores of an output | {scoring:.1f} s | {len(waves) / scoring:.1f} outputs |"
    )
    print(f"| both probes | {hearing:.1f} s | {len(waves) / hearing:.1f} outputs |")


if __name__ == "__main__":
    main()
