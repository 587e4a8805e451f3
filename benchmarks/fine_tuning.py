"""What starting from merit-tiny is worth on 60 recordings: F1-macro with and without the start.

> python benchmarks/fine_tuning.py --recordings EmoTale/wav --encoder openai/whisper-tiny.en

EmoTale (English and Danish), which merit-tiny has not heard, stands for one's own recordings: five
speakers train, three choose the checkpoint, all others are tested, clean and in MiniMERIT's noise.
All trainings take the same steps; one starts from all of merit-tiny, one from its encoder alone,
and one, with --encoder, from an encoder that has heard no emotion.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EMOTIONS = {"A": "angry", "H": "happy", "N": "neutral", "S": "sad"}
TRAIN, VALID = ("001", "003", "004", "005", "006"), ("007", "008", "009")
EACH = 3  # recordings of an emotion of a training speaker


def main():
    """Trains both ways and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recordings", required=True, help="EmoTale's folder wav")
    parser.add_argument("--start", default=str(ROOT / "pretrained" / "merit-tiny"))
    parser.add_argument("--encoder", help="that merit-tiny grew from: a third row")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1234)
    options = parser.parse_args()
    ways = {
        "from merit-tiny": ["--start_from", options.start, "--lr", "0.0001"],
        "its encoder, fresh heads": ["--encoder", options.start, "--lr", "0.0005"],
    }
    if options.encoder:
        ways["the encoder it grew from"] = ["--encoder", options.encoder, "--lr", "0.0005"]
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(options.recordings), Path(folder) / "speech")
        print("| training | seconds | F1-macro, clean | mean over −5 … 10 dB |\n|---|---|---|---|")
        for name, more in ways.items():
            output = Path(folder) / name.split()[0]
            seconds = train(Path(folder) / "speech", output, more, options)
            rows = json.loads((output / "evaluation" / "metrics.json").read_text("utf-8"))
            noisy = [row["f1_macro"] for row in rows if row["snr_db"] is not None]
            clean = next(row["f1_macro"] for row in rows if row["snr_db"] is None)
            mean = sum(noisy) / len(noisy)
            print(f"| {name} | {seconds:.0f} | {clean:.3f} | {mean:.3f} |", flush=True)


def write_table(recordings, folder):
    """Links the recordings into a folder, with the table of docs/own_corpus.md beside them."""
    folder.mkdir()
    taken, rows = Counter(), []
    paths = sorted(recordings.glob("*.flac")) or sorted(recordings.glob("*.wav"))
    for path in sorted(paths, key=lambda path: path.stem[::-1]):  # emotions and sentences in turn
        _, speaker, emotion, _ = path.stem.split("_")
        if emotion not in EMOTIONS or taken[speaker, emotion] >= EACH:
            continue
        taken[speaker, emotion] += speaker in TRAIN
        split = "train" if speaker in TRAIN else "valid" if speaker in VALID else "test"
        (folder / path.name).symlink_to(path.resolve())
        rows.append([path.name, EMOTIONS[emotion], speaker, split])
    with open(folder / "labels.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["file", "emotion", "speaker", "split"], *rows])


def train(speech, output, more, options):
    """Runs train.py; returns the seconds it took, without those of the scoring."""
    command = [sys.executable, ROOT / "train.py", ROOT / "hparams" / "ser_only.yaml"]
    command += ["--corpus", "TEMPLATE", "--data_folder", speech, "--output_folder", output, *more]
    command += ["--number_of_epochs", options.epochs, "--unfreeze_epoch", 1, "--batch_size", 8]
    command += ["--seed", options.seed]
    folder = ["--noise_folder", output.parent / "noise"]
    start = time.perf_counter()
    for last in (["--skip_test", "True"], []):
        subprocess.run([*map(str, command + folder + last)], check=True, capture_output=True)
        if last:
            seconds = time.perf_counter() - start
    return seconds


if __name__ == "__main__":
    main()
