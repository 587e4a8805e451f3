"""Writes the report of an evaluation: tables, figures, listening examples and one HTML page."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import soundfile
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from speechbrain_merit.evaluation.report import expert_figures, figures, tables
from speechbrain_merit.evaluation.report.spectrograms import example_figure
from speechbrain_merit.writing import write_bytes

LISTENING_PEAK = 0.9  # of full scale
DPI = 130


def listening_copy(waves):
    """Scale waves for listening, by one gain, so that the largest peak is 0.9 of full scale.

    Mixtures at low SNR peak far above full scale and some corpora are very quiet. One gain for all
    keeps what the ear compares: the level of noise and speech before and after.

    Arguments
    ---------
    waves : dict
        Name to wave (samples,).

    Returns
    -------
    tuple
        The scaled waves by name, float32, and the gain in dB (0 where all are silent).

    Raises
    ------
    ValueError
        If a wave holds NaN or infinite samples.

    Example
    -------
    >>> scaled, gain_db = listening_copy({"noisy": np.array([0.0, -9.0]), "clean": np.array([0.9])})
    >>> round(float(np.abs(scaled["noisy"]).max()), 3), round(gain_db, 3)
    (0.9, -20.0)
    """
    waves = {name: np.asarray(wave, dtype=np.float64) for name, wave in waves.items()}
    for name, wave in waves.items():
        if not np.isfinite(wave).all():
            raise ValueError(f"The {name} signal holds NaN or infinite samples: nothing to hear.")
    peak = max((np.abs(wave).max(initial=0.0) for wave in waves.values()), default=0.0)
    gain = LISTENING_PEAK / peak if peak > 0 else 1.0
    scaled = {name: (wave * gain).astype(np.float32) for name, wave in waves.items()}
    return scaled, float(20 * np.log10(gain))


def write_report(folder, rows, examples, expert_use, curves, summary, by_corpus=None):
    """Write the tables, figures, audio and HTML page of an evaluation into a folder.

    Writes `metrics.json` (strict JSON), `metrics.csv`, `metrics.md`, `figures/*.png`,
    `audio/*.wav` and `report.html`, which holds all figures and audio itself and needs no network;
    of several corpora `metrics_by_corpus.json` too.
    Each file is written under another name and then moved, so that an interrupt leaves the old one
    or the new one. PNG and WAV files of an earlier report in the two folders are removed.

    Arguments
    ---------
    folder : str or Path
        Made where it is missing.
    rows : list of dict
        One for each condition, with the keys of `metrics.json`; absent metrics None.
    examples : list of Example
        May be empty.
    expert_use : list of dict
        `task`, `noise_set`, `snr_db`, `emotion` (None for all), `shares` (E floats); may be empty.
    curves : list of dict
        One for each epoch: `epoch` and numbers by name (`train loss`, `valid si_sdr`); may be
        empty.
    summary : dict
        What was scored, shown at the top: `system`, `corpus`, `seed`, `command` and the like.
    by_corpus : dict, optional
        `{corpus: rows}`, where `rows` hold several corpora taken together.

    Returns
    -------
    Path
        The HTML page.

    Raises
    ------
    ValueError
        If there is no row.

    Example
    -------
    >>> import tempfile
    >>> row = {"noise_set": None, "snr_db": None, "n": 1, "stoi": 1.0, "stoi_noisy": 1.0}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_report(folder, [row], [], [], [], {"system": "identity"}).name
    'report.html'
    """
    if not rows:
        raise ValueError("There is no row to report: score one condition or more first.")
    folder = Path(folder)
    rows, by_corpus = tables.strict(rows), tables.strict(by_corpus or {})
    texts = {
        "metrics.json": tables.to_json(rows),
        "metrics.csv": tables.to_csv(rows),
        "metrics.md": tables.to_markdown(rows, by_corpus),
    }
    if by_corpus:
        texts["metrics_by_corpus.json"] = tables.to_json(by_corpus)
    for name, text in texts.items():
        write_bytes(folder / name, text.encode())
    pictures = _pictures(rows, expert_use, curves)
    shown, audio = [], {}
    n_experts = max((len(entry["shares"]) for entry in expert_use), default=None)
    for index, example in enumerate(examples, start=1):
        context, picture, sounds = _example(index, example, n_experts)
        shown.append(context)
        pictures[context["id"]] = picture
        audio.update(sounds)
    _write_all(folder / "figures", {f"{name}.png": data for name, data in pictures.items()})
    _write_all(folder / "audio", {f"{name}.wav": data for name, data in audio.items()})
    page = _page(rows, by_corpus, shown, expert_use, pictures, audio, summary)
    write_bytes(folder / "report.html", page.encode())
    return folder / "report.html"


def _pictures(rows, expert_use, curves):
    """PNG bytes of every figure but those of the examples, by file name without its ending."""
    drawn = {key: figures.metric_against_snr(rows, key) for key, _, _ in figures.METRICS}
    clean = [row for row in rows if row["noise_set"] is None]
    sets = figures.noise_sets(rows)
    for index, name in enumerate(sets or ["clean"], start=1):
        own = clean + [row for row in rows if row["noise_set"] == name]
        # The number keeps two names apart that differ only in what a file name cannot hold.
        drawn[f"confusion_{index}_{_slug(name)}"] = figures.confusion_matrices(own)
    drawn["expert_use_snr"] = expert_figures.expert_use_by_snr(expert_use)
    drawn["expert_use_emotion"] = expert_figures.expert_use_by_emotion(expert_use)
    drawn["learning_curves"] = figures.learning_curves(curves)
    return {name: _png(figure) for name, figure in drawn.items() if figure is not None}


def _example(index, example, n_experts):
    """What the page shows of an example, its PNG bytes, and its WAV bytes by file name."""
    waves = {name: getattr(example, name) for name in ("noisy", "enhanced", "clean")}
    scaled, gain_db = listening_copy({k: wave for k, wave in waves.items() if wave is not None})
    condition = tables.condition(vars(example))
    stem = f"example_{index}_{_slug(example.name)}_{_slug(condition)}"
    context = {
        "id": stem,
        "name": example.name,
        "condition": condition,
        "label": example.label,
        "predicted": example.predicted,
        "probabilities": {k: float(v) for k, v in (example.probabilities or {}).items()},
        "gain": ("+" if gain_db >= 0 else "") + tables.number(gain_db, 1) + " dB",
        "sounds": {name: f"{stem}_{name}" for name in scaled},
        "routed": bool(example.experts),
    }
    sounds = {f"{stem}_{name}": _wav(wave, example.sample_rate) for name, wave in scaled.items()}
    return context, _png(example_figure(example, n_experts)), sounds


def _page(rows, by_corpus, examples, expert_use, pictures, audio, summary):
    """The HTML page as text."""
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    summary = {str(name): value for name, value in summary.items() if value is not None}
    title = " on ".join(str(summary[k]) for k in ("system", "corpus") if k in summary)
    return environment.get_template("report.html.j2").render(
        title=title or "Evaluation",
        facts={name: value for name, value in summary.items() if name != "command"},
        command=summary.get("command"),
        headline=tables.headline(rows),
        by_corpus={name: tables.headline(own) for name, own in by_corpus.items()},
        no_interval=tables.why_no_interval(rows, by_corpus),
        detail=tables.detail(rows),
        metrics={key: title for key, title, _ in figures.METRICS if key in pictures},
        confusions=[name for name in pictures if name.startswith("confusion_")],
        examples=examples,
        has_emotion=any(row.get("f1_macro") is not None for row in rows),
        has_enhancement=any(row.get("si_sdr_noisy") is not None for row in rows),
        failures=[(tables.condition(r), r["pesq_failed"]) for r in rows if r.get("pesq_failed")],
        images={name: _data_uri("image/png", data) for name, data in pictures.items()},
        sounds={name: _data_uri("audio/wav", data) for name, data in audio.items()},
        peak=LISTENING_PEAK,
    )


def _write_all(folder, contents):
    """Write files by name; remove those of the same ending that are none of them."""
    for name, data in contents.items():
        write_bytes(folder / name, data)
    for ending in ("*.png", "*.wav"):
        for path in folder.glob(ending):
            if path.name not in contents:
                path.unlink()


def _png(figure):
    """A matplotlib Figure as PNG bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def _wav(wave, sample_rate):
    """A wave within full scale as the bytes of a 16-bit WAV file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, sample_rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _data_uri(kind, data):
    """Bytes as an address that needs no file."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _slug(text):
    """Letters, digits and dashes of a text, for a file name."""
    # The sign of an SNR must survive: −5 dB and 5 dB are two conditions.
    text = str(text).replace("−", "minus")
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:60] or "unnamed"
