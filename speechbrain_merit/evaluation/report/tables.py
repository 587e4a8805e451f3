"""The rows of an evaluation as strict JSON, CSV, Markdown and the tables of the HTML report."""

import csv
import io
import json
import math

import numpy as np

# key, title, decimals; the first table of a report
HEADLINE = (
    ("f1_macro", "F1-macro", 3),
    ("uar", "UAR", 3),
    ("ccc", "CCC", 3),
    ("pesq", "PESQ", 2),
    ("stoi", "STOI", 3),
    ("si_sdr", "SI-SDR (dB)", 1),
    ("ssnr", "SSNR (dB)", 1),
)
# the second one, before the recall of each class and the concordance of each attribute
DETAIL = (
    ("f1_micro", "F1-micro", 3),
    ("ece", "ECE", 3),
    ("ssnr_sb", "SSNR-SB (dB)", 1),
    ("pesq_failed", "PESQ failed", 0),
)
# keys of a row that hold a value for each class or attribute
NAMED = {"recall": "Recall", "ccc_by_attribute": "CCC"}
ABSENT = "–"


def strict(value):
    """Turn a nested value into what strict JSON can hold: NaN and infinity become None.

    Arguments
    ---------
    value : object
        Dicts, lists, tuples, numpy arrays and scalars, strings, numbers, None.

    Returns
    -------
    object
        The same of plain Python types.

    Example
    -------
    >>> strict({"si_sdr": float("inf"), "recall": {"sad": np.float32(0.5)}})
    {'si_sdr': None, 'recall': {'sad': 0.5}}
    """
    if isinstance(value, dict):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return strict(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_json(rows):
    """Rows as strict JSON: a list of objects.

    Arguments
    ---------
    rows : list of dict or dict
        One for each condition; of several corpora a list for each.

    Returns
    -------
    str
        Text with a newline at its end.

    Example
    -------
    >>> to_json([{"noise_set": None, "ssnr": float("nan")}]).split()
    ['[', '{', '"noise_set":', 'null,', '"ssnr":', 'null', '}', ']']
    """
    return json.dumps(strict(rows), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def to_csv(rows):
    r"""Rows as CSV with flat columns, such as `recall_angry` and `confusion_angry_as_sad`.

    Arguments
    ---------
    rows : list of dict
        One for each condition.

    Returns
    -------
    str
        Text; absent values are empty.

    Example
    -------
    >>> to_csv([{"n": 2, "f1_macro_ci": (0.25, 0.5), "recall": {"sad": None, "happy": 1.0}}])
    'n,f1_macro_ci_low,f1_macro_ci_high,recall_sad,recall_happy\n2,0.25,0.5,,1.0\n'
    """
    flat, file = [_flat(row) for row in strict(rows)], io.StringIO()
    columns = dict.fromkeys(name for row in flat for name in row)
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return file.getvalue()


def headline(rows):
    """The main table: a row for each condition, a column for each metric that any row has.

    Arguments
    ---------
    rows : list of dict
        One for each condition.

    Returns
    -------
    tuple
        Titles (list of str) and body: a list of rows of cells (text, aside), the aside being the
        interval of F1 or the score of the noisy input, empty where there is none.

    Example
    -------
    >>> headline([{"noise_set": "street", "snr_db": -5, "n": 9, "pesq": 2.0, "pesq_noisy": 1.2}])
    (['Condition', 'n', 'PESQ'], [[('street, −5 dB', ''), ('9', ''), ('2.00', '1.20')]])
    """
    shown = [column for column in HEADLINE if _any(rows, column[0])]
    body = [
        [(condition(row), ""), (number(row.get("n"), 0), "")]
        + [
            (number(row.get(key), decimals), _aside(row, key, decimals))
            for key, _, decimals in shown
        ]
        for row in rows
    ]
    return ["Condition", "n", *(title for _, title, _ in shown)], body


def detail(rows):
    """The second table: what `headline` leaves out, with the recall of each class.

    Arguments
    ---------
    rows : list of dict
        One for each condition.

    Returns
    -------
    tuple
        Titles and body, as `headline`.

    Example
    -------
    >>> detail([{"noise_set": None, "snr_db": None, "recall": {"sad": 0.5}}])
    (['Condition', 'Recall sad'], [[('clean', ''), ('0.500', '')]])
    """
    shown = [column for column in DETAIL if _any(rows, column[0])]
    classes = [
        (key, title, list(dict.fromkeys(name for row in rows for name in row.get(key) or {})))
        for key, title in NAMED.items()
    ]
    body = [
        [(condition(row), "")]
        + [
            (number(row.get(key), decimals), _aside(row, key, decimals))
            for key, _, decimals in shown
        ]
        + [
            (number((row.get(key) or {}).get(name), 3), "")
            for key, _, names in classes
            for name in names
        ]
        for row in rows
    ]
    titles = [title for _, title, _ in shown]
    titles += [f"{title} {name}" for _, title, names in classes for name in names]
    return ["Condition", *titles], body


def to_markdown(rows, by_corpus=None):
    """The main table as Markdown, of several corpora below it one each.

    Arguments
    ---------
    rows : list of dict
        One for each condition.
    by_corpus : dict, optional
        `{corpus: rows}`, where `rows` hold several corpora taken together.

    Returns
    -------
    str
        Table and a note on how to read it.

    Example
    -------
    >>> print(to_markdown([{"noise_set": "street", "snr_db": 0, "pesq": 2, "pesq_noisy": 1.5}]))
    | Condition | n | PESQ |
    | --- | --- | --- |
    | street, 0 dB | – | 2.00 (1.50) |
    <BLANKLINE>
    After F1-macro, its 95 % interval over speakers; in round brackets, the noisy input.
    <BLANKLINE>
    """
    lines = _markdown_table(rows)
    for name, own in (by_corpus or {}).items():
        lines += ["", f"## {_markdown(name)}", "", *_markdown_table(own)]
    note = "After F1-macro, its 95 % interval over speakers; in round brackets, the noisy input."
    if reasons := why_no_interval(rows, by_corpus):
        note += f" [{ABSENT}], no interval: {'; '.join(reasons)}."
    if by_corpus:
        note = f"The first table takes {', '.join(map(_markdown, by_corpus))} together. {note}"
    return "\n".join([*lines, "", note, ""])


def why_no_interval(rows, by_corpus=None):
    """The reasons, each once, why rows give no interval of their F1-macro.

    Arguments
    ---------
    rows : list of dict
        One for each condition.
    by_corpus : dict, optional
        `{corpus: rows}`.

    Returns
    -------
    list of str
        Empty where every F1-macro has its interval.

    Example
    -------
    >>> why_no_interval([{"f1_macro": 1.0, "f1_macro_ci_reason": "all speakers score alike"}])
    ['all speakers score alike']
    """
    every = [row for own in [rows, *(by_corpus or {}).values()] for row in own]
    return list(dict.fromkeys(filter(None, (row.get("f1_macro_ci_reason") for row in every))))


def condition(row):
    """Name of the condition of a row or example: `clean`, `clipping 2` or `street, −5 dB`.

    Arguments
    ---------
    row : dict
        With `noise_set` and `snr_db`, which a distortion has not.

    Returns
    -------
    str
        Text.

    Example
    -------
    >>> condition({"noise_set": "street", "snr_db": -5.0})
    'street, −5 dB'
    """
    if row.get("noise_set") is None:
        return "clean"
    if row.get("snr_db") is None:
        return row["noise_set"]
    return f"{row['noise_set']}, {decibel(row['snr_db'])}"


def decibel(value):
    """A level such as `−5 dB`, with a minus sign and no needless decimals.

    Arguments
    ---------
    value : float
        In dB.

    Returns
    -------
    str
        Text.

    Example
    -------
    >>> decibel(-2.5), decibel(10.0)
    ('−2.5 dB', '10 dB')
    """
    return f"{value:g} dB".replace("-", "−")


def number(value, decimals):
    """A number for a table; a dash where it is absent, NaN or infinite.

    Arguments
    ---------
    value : float or None
        Any number.
    decimals : int
        Digits after the point.

    Returns
    -------
    str
        Text.

    Example
    -------
    >>> number(-0.125, 2), number(None, 2)
    ('−0.12', '–')
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:.{decimals}f}".replace("-", "−")


def _any(rows, key):
    """Whether a row has a value of this key."""
    return any(row.get(key) is not None for row in rows)


def _aside(row, key, decimals):
    """What stands beside a value: the interval of F1, or the score of the noisy input."""
    if key == "f1_macro" and row.get("f1_macro_ci") is not None:
        low, high = row["f1_macro_ci"]
        return f"[{number(low, 2)}, {number(high, 2)}]"
    if key == "f1_macro" and row.get("f1_macro_ci_reason"):
        return f"[{ABSENT}]"
    noisy = row.get(f"{key}_noisy")
    return "" if noisy is None else number(noisy, decimals)


def _flat(row):
    """One row with nested values spread over columns."""
    flat = {}
    labels = list(row.get("recall") or {})
    for key, value in row.items():
        if value is None and key in ("f1_macro_ci", "confusion", *NAMED):
            continue
        if key == "f1_macro_ci":
            flat["f1_macro_ci_low"], flat["f1_macro_ci_high"] = value
        elif key in NAMED:
            flat.update({f"{NAMED[key].lower()}_{name}": score for name, score in value.items()})
        elif key == "confusion":
            for label, counts in zip(labels, value, strict=True):
                named = zip(labels, counts, strict=True)
                flat.update({f"confusion_{label}_as_{other}": count for other, count in named})
        elif key == "snr_db" and value is not None:
            flat[key] = float(value)  # one type in the column, whole numbers or not
        else:
            flat[key] = value
    return flat


def _markdown_table(rows):
    """The lines of one table."""
    titles, body = headline(rows)
    lines = [[_markdown(title) for title in titles], ["---"] * len(titles)]
    lines += [[_markdown_cell(*cell) for cell in cells] for cells in body]
    return [f"| {' | '.join(line)} |" for line in lines]


def _markdown_cell(text, aside):
    """A value and, in brackets, what stands beside it."""
    if aside and not aside.startswith("["):
        aside = f"({aside})"
    return f"{_markdown(text)} {aside}".strip()


def _markdown(text):
    """Escape what would end a cell or become markup."""
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return " ".join(escaped.split())
