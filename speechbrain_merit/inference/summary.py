"""The summary of ``merit analyse``: a row for each recording, of this call and of earlier ones."""

import csv
import io
import os
import re
import shutil
import sys

from speechbrain_merit.audio.containers import converted
from speechbrain_merit.errors import SettingsError
from speechbrain_merit.inference.results import ESCAPED
from speechbrain_merit.writing import write_text

SUMMARY = "summary.csv"
FIRST = ("file", "channel", "duration", "sample_rate", "emotion", "probability", "snr_db",
         "speech_seconds", "segments")  # fmt: skip
LAST = ("enhanced", "warnings", "error")
NUMBERS = ("duration", "probability", "snr_db", "speech_seconds")
#: Of the terminal's table.
COLUMNS = ("file", "seconds", "emotion", "probability", "SNR (dB)", "speech (s)", "over time")
SEGMENTS_SHOWN = 3
LONGEST_NAME = 40
LONGEST_FIELD = 2**31 - 1  # characters; csv's own limit is below the segments of a day


def rows(path, about):
    """The lines of a recording, one a channel, from what its JSON says.

    Example
    -------
    >>> about = {"duration": 2.0, "sample_rate": 8000, "emotion": "sad", "snr_db": None}
    >>> about |= {"probabilities": {"sad": 0.9}, "attributes": {}, "speech_seconds": 1.5}
    >>> about |= {"segments": [{"start": 0, "end": 2.0, "emotion": "sad", "score": 0.9}]}
    >>> about |= {"channel": None, "enhanced_path": None, "warnings": []}
    >>> (line,) = rows("a.wav", about)
    >>> line["probability"], line["segments"], line["snr_db"]
    (0.9, '0.0-2.0 sad', '')
    """
    return [row(path, {**about, **channel}) for channel in about.get("channels", [{}])]


def row(path, about):
    """One line of the summary."""
    probabilities = about["probabilities"] or {}
    segments = [f"{s['start']:.1f}-{s['end']:.1f} {s['emotion']}" for s in about["segments"]]
    filled = {
        "file": str(path),
        **{key: about[key] for key in ("channel", "duration", "sample_rate", "emotion", "snr_db")},
        "probability": probabilities.get(about["emotion"]),
        "speech_seconds": about["speech_seconds"],
        "segments": "; ".join(segments),
        **{f"p_{name}": value for name, value in probabilities.items()},
        **{f"a_{name}": value for name, value in about["attributes"].items()},
        "enhanced": about["enhanced_path"],
        "warnings": "; ".join(about["warnings"]),
        "error": None,
    }
    return {key: "" if value is None else value for key, value in filled.items()}


def earlier(path):
    """The rows of a summary that earlier calls left, none where there is none.

    Raises
    ------
    SettingsError
        The file there is no summary: it is not written over.
    """
    limit = csv.field_size_limit(LONGEST_FIELD)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            file.seek(0)
            between = max(",;\t", key=head.count)
            table = csv.DictReader(file, restkey="", restval="", delimiter=between)
            found = [{key: text for key, text in r.items() if key} for r in table]
            if between != ",":  # saved where decimals have a comma
                found = [{key: pointed(key, text) for key, text in r.items()} for r in found]
            if table.fieldnames and not {*FIRST, *LAST} <= set(table.fieldnames):
                raise ValueError("other columns")
    except FileNotFoundError:
        return []
    except (ValueError, csv.Error) as error:  # no UTF-8, among others
        raise SettingsError(
            f"{path}: is no summary of merit analyse in UTF-8 ({error}): move it, or give another "
            "--out."
        ) from error
    finally:
        csv.field_size_limit(limit)
    return found


def pointed(column, text):
    """A number of ours with the point that it was written with.

    Example
    -------
    >>> pointed("p_sad", "0,25"), pointed("note", "1,5")
    ('0.25', '1,5')
    """
    ours = column in NUMBERS or column[:2] in ("p_", "a_")
    return text.replace(",", ".") if ours and re.fullmatch(r"-?\d+,\d+", text) else text


def merged(old, new, given=()):
    """Rows of earlier calls and of this one: recordings that are new take the place of their old.

    Arguments
    ---------
    old, new : list of dict
        Rows.
    given : list
        Files and folders that this call looked into; what failed there before, and is no more, is
        left out.

    Example
    -------
    >>> old = [{"file": "a", "error": "", "enhanced": ""}, {"file": "b", "error": "empty"}]
    >>> new = [{"file": "b", "error": ""}, {"file": "c", "error": ""}]
    >>> [(r["file"], r["error"]) for r in merged(old, new)]
    [('a', ''), ('b', ''), ('c', '')]
    """
    given = [os.path.abspath(name) for name in given]
    replaced, taken = grouped(new), {r["enhanced"] for r in new if r.get("enhanced")}
    kept = {}
    for name, lines in grouped(old).items():
        if name in replaced:
            kept[name] = [line for line in lines if namesake(line, replaced[name])]
            kept[name] += replaced.pop(name)
        else:
            kept[name] = [line for line in lines if not past(line, given, taken)]
    return [line for lines in (kept | replaced).values() for line in lines]


def namesake(line, new):
    """Whether a row is of another recording, that was given by the same name from another folder.

    Example
    -------
    >>> one, other = ({"enhanced": f"out/{name}_enhanced.wav"} for name in ("a", "a_wav"))
    >>> namesake(one, [other]), namesake(one, [one]), namesake(one, [{"enhanced": ""}])
    (True, False, False)
    """
    own, *others = (row.get("enhanced") or "" for row in [line, *new])
    # in another place is what was moved since
    beside = all(os.path.dirname(own) == os.path.dirname(other) for other in others)
    return all([own, *others]) and beside and own not in others


def past(line, given, taken):
    """Whether a row of an earlier call holds no longer.

    It is of a recording that failed and is gone or was converted, of a folder that is looked into
    again, or its enhanced file is now another recording's.
    """
    if not line["error"]:
        return line["enhanced"] in taken
    name = os.path.abspath(line["file"])
    gone = not os.path.lexists(name) or converted(name).is_file()
    return any(name == one or (gone and name.startswith(one + os.sep)) for one in given)


def grouped(lines):
    """Rows by recording, whatever form its name has in a table."""
    found = {}
    for line in lines:
        name = os.path.abspath(line["file"]).encode("utf-8", ESCAPED)
        found.setdefault(name, []).append(line)
    return found


def failed(failures):
    """The rows of what could not be analysed."""
    return [{"file": name, "error": error} for name, error in failures.items()]


def columns(lines):
    """The columns of a table of rows, in their order: one's own are the last."""
    names = dict.fromkeys(name for line in lines for name in line)
    scores = [name for name in names if name[:2] in ("p_", "a_")]
    own = [name for name in names if name not in {*FIRST, *scores, *LAST}]
    return [*FIRST, *scores, *LAST, *own]


def write_summary(path, lines):
    """One CSV for all recordings, those that failed among them; columns of one's own stay."""
    text = io.StringIO()
    # a carriage return in a name would end the line for whoever reads it
    returns = any("\r" in str(value) for line in lines for value in line.values())
    quoting = csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL
    table = csv.DictWriter(text, columns(lines), "", lineterminator="\n", quoting=quoting)
    table.writeheader()
    table.writerows(lines)
    write_text(path, text.getvalue(), errors=ESCAPED)


def print_table(rows, failures, passed_over, out):
    """What was found, in the terminal; what failed, after it."""
    cells = [COLUMNS]
    for r in rows:
        spans = r["segments"].split("; ") if r["segments"] else []
        more = f" … ({len(spans)} segments)" if len(spans) > SEGMENTS_SHOWN else ""
        channel = "" if r["channel"] == "" else f" [{r['channel']}]"
        cells.append(
            (
                shorter(r["file"]) + channel,
                f"{r['duration']:.1f}",
                r["emotion"] or "–",
                "–" if r["probability"] == "" else f"{r['probability']:.2f}",
                "–" if r["snr_db"] == "" else f"{r['snr_db']:.1f}",
                f"{r['speech_seconds']:.1f}",
                "; ".join(spans[:SEGMENTS_SHOWN]) + more,
            )
        )
    if rows:
        widths = [max(len(line[i]) for line in cells) for i in range(len(COLUMNS))]
        for line in cells:
            text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths))
            print(text.rstrip())
    if failures:
        print(f"\n{len(failures)} could not be analysed:", file=sys.stderr)
        for name, error in failures.items():
            text = error if error.startswith(name) else f"{name}: {error}"
            print(f"  {text}", file=sys.stderr)
    if passed_over:
        print(f"\n{passed_over} passed over: their results are there.")
    print(f"\n{out / SUMMARY}")


def shorter(name):
    """A path for a table, its beginning left out where it is long."""
    longest = max(LONGEST_NAME, shutil.get_terminal_size().columns // 3)
    return name if len(name) <= longest else "…" + name[-longest + 1 :]
