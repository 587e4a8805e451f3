"""The leaderboard: tables in README.md, made of committed predictions alone.

> python leaderboard.py                                             # writes the tables anew
> python leaderboard.py --add EVALUATION --name "RNNoise + probe"   # adds a row and writes them

EVALUATION is a folder with predictions on a benchmark, or a file of them. What is committed is
rounded and compressed: ``leaderboard/CORPUS/NAME.jsonl.xz``. Corruption errors are relative to
``baseline``, the noisy input heard by the probe trained on clean speech.
"""

import argparse
import re
import sys
from pathlib import Path

from speechbrain_merit.errors import MeritError, PredictionsError
from speechbrain_merit.evaluation.predictions import (
    find_predictions,
    read_predictions,
    write_predictions,
)
from speechbrain_merit.evaluation.summary import (
    baseline_f1,
    same_samples,
    summary,
    tested,
    to_markdown,
)
from speechbrain_merit.writing import write_text

HERE = Path(__file__).resolve().parent
ROWS, README = HERE / "leaderboard", HERE / "README.md"
START, END = "<!-- leaderboard -->\n", "<!-- end -->"
BASELINE, BASELINE_TITLE = "baseline", "noisy input, probe clean (baseline)"
DIGITS = {"probabilities": 4, "scores": 3}  # what no figure of a table needs more of


def add(source, name):
    """Adds the predictions of a system, rounded; returns the file.

    Raises
    ------
    PredictionsError
        They are of no benchmark, of another version of it than the baseline's, or of probes on
        another encoder; or the name is that of another row.
    """
    stem = BASELINE if name == BASELINE else re.sub(r"\W+", "-", name.lower()).strip("-_")
    if not stem or stem == BASELINE != name or "|" in name or "\n" in name:
        raise PredictionsError(f"No row can be named {name!r}: give another --name.")
    source = Path(source)
    found = read_predictions(find_predictions(source) if source.is_dir() else source)
    header, rows = tested(*found)
    corpus = header["summary"].get("corpus") or ""
    if not corpus.startswith("NoisyEmo-"):
        raise PredictionsError(f"{source} was not scored with evaluate.py --benchmark.")
    folder = ROWS / corpus.removeprefix("NoisyEmo-")
    first = folder / f"{BASELINE}.jsonl.xz"
    if first.is_file() and not _same_test(read_predictions(first)[0], header):
        raise PredictionsError(
            f"{source} was scored on other samples than the rows of {folder.name} here: build the "
            "benchmark without further noise, and see what noisyemo.py --verify says."
        )
    known = read_predictions(first)[0]["settings"] if first.is_file() else {}
    for key, what in (("probes", "probes on another encoder"), ("probe_weights", "other probes")):
        own, others = (settings.get(key) for settings in (header["settings"], known))
        if name != BASELINE and own and others and own != others:
            raise PredictionsError(
                f"{source} was scored by {what} ({own}) than the baseline's ({others}): score it "
                "again with this version."
            )
    said = {key: header["summary"][key] for key in ("system", "corpus")}
    header = {**header, "attributes": [], "n_experts": None}
    title = BASELINE_TITLE if name == BASELINE else name
    header["summary"] = {**said, "system": title, "command": None}
    path = folder / f"{stem}.jsonl.xz"
    if path.is_file() and (other := read_predictions(path)[0]["summary"]["system"]) != title:
        raise PredictionsError(f"{path} is the row of {other}: give another --name.")
    return write_predictions(path, header, map(rounded, rows))


def _same_test(baseline, header):
    """Whether two scored the same samples under the same conditions."""
    same = same_samples(baseline["sources"], header["sources"])
    return header["ids"] == baseline["ids"] and same


def rounded(row):
    """A row in as many digits as tables need, without what they do not show."""
    row = {**row, **dict.fromkeys(("attributes", "experts", "measured_snr_db"))}
    row.pop("experts_by_level", None)
    if row["probabilities"]:
        row["probabilities"] = [round(p, DIGITS["probabilities"]) for p in row["probabilities"]]
    if row["scores"]:
        digits = DIGITS["scores"]
        row["scores"] = {k: v if v is None else round(v, digits) for k, v in row["scores"].items()}
    return row


def tables():
    """A table for each corpus, best mean F1 first, as Markdown."""
    text = ""
    for folder in sorted(path for path in ROWS.iterdir() if path.is_dir()):
        found = {}
        for path in sorted(folder.glob("*.jsonl.xz")):
            header, rows = read_predictions(path)
            base = baseline_f1(folder / f"{BASELINE}.jsonl.xz", header["ids"])
            found[header["summary"]["system"]] = summary(header, rows, base)
        order = sorted(found, key=lambda name: -(found[name]["f1_mean"] or 0))
        text += f"\n### {folder.name}\n\n{to_markdown({name: found[name] for name in order})}"
    return text + "\n"


def write_tables():
    """Puts the tables into README.md."""
    before, rest = README.read_text(encoding="utf-8").split(START)
    write_text(README, before + START + tables() + END + rest.split(END, 1)[1])


def main():
    """Does what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--add", metavar="EVALUATION")
    parser.add_argument("--name", help="of the system, in the table")
    given = parser.parse_args()
    if (given.add is None) != (given.name is None):
        parser.error("--add and --name go together")
    if given.add is not None:
        print(add(given.add, given.name))
    write_tables()


if __name__ == "__main__":
    try:
        main()
    except MeritError as error:
        print(f"leaderboard.py: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
