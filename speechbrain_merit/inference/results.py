"""The results of a recording in a folder: whose they are, what made them, whether all are there.

They are the files that start with one path, the ``base``: its JSON, which is written last but for
the picture, the enhanced recording, the picture.
"""

import hashlib
import json
import os
import re

import torch

from speechbrain_merit import __version__
from speechbrain_merit.audio.reading import fingerprint
from speechbrain_merit.writing import write_text

JSON, ENHANCED, PICTURE = ".json", "_enhanced.wav", ".png"
ESCAPED = "backslashreplace"  # names of files that are no UTF-8; JSON knows the same escapes
LABELLED = ("labels", "attributes")
END = 8192  # bytes of a JSON's beginning, where its path stands, and of its end, with its maker
STRING = r'"(?:[^"\\]|\\.)*"'  # of JSON


def place(base, ending):
    """The path of one of the results."""
    return base.with_name(base.name + ending)


def same(one, other):
    """Whether two texts name one file, seen from where the program runs."""
    return os.path.abspath(one) == os.path.abspath(other)


def owner(base):
    """The recording whose results lie at a base: its absolute path, of older ones as it was given.

    None where no JSON lies there; empty where it is no result, but somebody's own.

    Example
    -------
    >>> from pathlib import Path
    >>> base = Path(getfixture("tmpdir")) / "a"
    >>> owner(base)
    >>> write(base, {"path": "calls/a.wav"})
    >>> owner(base)
    'calls/a.wav'
    """
    try:
        with open(place(base, JSON), "rb") as file:
            head = file.read(END)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - END))
            end = file.read()
    except OSError:
        return None
    if not head.strip(b"\0 \n"):  # what a crash of the machine leaves
        return None
    found = re.match(rf'\{{\s*"path": ({STRING})', head.decode(errors="replace"))
    if found is None:
        return ""
    exact = re.search(rf'\n "made_by": {{.*"recording": ({STRING})', end.decode(errors="replace"))
    return json.loads((exact or found)[1])


def weights_mark(merit):
    """A mark of all that decides what an interface says: weights, labels, temperature, window."""
    names = [list(map(str, getattr(merit.hparams, key, None) or ())) for key in LABELLED]
    facts = [names, float(merit.hparams.temperature), float(merit.window_seconds)]
    digest = hashlib.sha256(repr(facts).encode())
    for name, value in sorted(merit.model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]


def maker(merit, channels, keep_rate):
    """What makes results what they are, beside the recording: plain values for the JSON."""
    return {
        "speechbrain_merit": __version__,
        "model": weights_mark(merit),
        "channels": channels,
        "keep_rate": keep_rate,
    }


def described(analyses, channels):
    """A recording as JSON has it: of separate channels, a list of what each says."""
    about = analyses[0].to_dict()
    if channels != "separate":
        return about
    shared = {key: about[key] for key in ("path", "duration", "sample_rate")}
    return {**shared, "channels": [analysis.to_dict() for analysis in analyses]}


def made_of(state):
    """What tells a recording from an earlier state of it, of its ``fingerprint``: size and time."""
    return dict(zip(("bytes", "modified_ns"), state))


def whose(path):
    """Which recording it is, wherever the program runs from."""
    return {"recording": os.path.abspath(path)}


def write(base, about):
    """Writes the JSON of a recording."""
    write_text(place(base, JSON), laid_out(about) + "\n", errors=ESCAPED)


def laid_out(value, depth=0):
    """JSON with a line for each entry that holds no others: a segment, the runs of one task.

    Example
    -------
    >>> print(laid_out({"emotion": "sad", "segments": [{"end": 2}], "experts": {"se": [[0, 9]]}}))
    {
     "emotion": "sad",
     "segments": [
      {"end": 2}
     ],
     "experts": {
      "se": [[0, 9]]
     }
    }
    """
    parts = list(value.values()) if isinstance(value, dict) else value
    if not isinstance(parts, list) or not any(isinstance(part, (dict, list)) for part in parts):
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    if isinstance(value, list) and all(isinstance(part, list) for part in parts):  # runs
        return json.dumps(value, allow_nan=False)
    lines = [laid_out(part, depth + 1) for part in parts]
    ends = "[]"
    if isinstance(value, dict):
        lines = [
            f"{json.dumps(key, ensure_ascii=False)}: {line}" for key, line in zip(value, lines)
        ]
        ends = "{}"
    indent = "\n" + " " * depth
    return ends[0] + indent + " " + f",{indent} ".join(lines) + indent + ends[1]


def finished(base, path, made, endings):
    """The JSON of a recording whose results are all there, or None.

    Arguments
    ---------
    base : Path
        Where they lie.
    path : Path
        The recording; it must be as it was.
    made : dict
        From :func:`maker`; what made them must be the same.
    endings : list of str
        The files that are wanted beside the JSON.
    """
    try:
        about = json.loads(place(base, JSON).read_text(encoding="utf-8"))
        wanted = {**made, **made_of(fingerprint(path))}
        parts = [one["enhanced_path"] for one in about.get("channels", [about])]
        here = all(part is None or same(part, place(base, ENHANCED)) for part in parts)
        found = {**whose(about["path"]), **about["made_by"]}  # older ones know the path alone
        whole = here and found == {**whose(path), **wanted}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):  # of another kind, cut off
        return None
    return about if whole and all(place(base, e).is_file() for e in endings) else None
