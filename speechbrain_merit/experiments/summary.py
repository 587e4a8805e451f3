"""What an experiment leaves of its finished runs: tables, figures and one page."""

import base64
import functools
import html
import io
from pathlib import Path

from speechbrain_merit.errors import OtherRunError, PredictionsError, SettingsError
from speechbrain_merit.evaluation.report.curves import read_curves
from speechbrain_merit.experiments.expert_use import table_of_use
from speechbrain_merit.experiments.figures import against_snr, gradient_cosines
from speechbrain_merit.experiments.keeping import check_kept
from speechbrain_merit.experiments.plan import slug
from speechbrain_merit.experiments.results import EXPERTS, KEPT, METRICS, Results, read_scored
from speechbrain_merit.experiments.tables import (
    all_tables,
    markdown,
    named,
    never_heard,
    number,
    put,
)
from speechbrain_merit.training.loggers import TRAIN_LOG
from speechbrain_merit.writing import write_bytes, write_text

DPI = 110
DOCUMENT = Path("RESULTS.md")  # where the command is called, as experiments/ is
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; }}
table {{ border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }}
td, th {{ padding: .2rem .7rem; border-bottom: 1px solid #ddd; text-align: left; }}
img {{ max-width: 100%; }}
</style></head><body>
<h1>{name}</h1>
{body}
</body></html>
"""


def summarise(plan, places, document=DOCUMENT):
    """Writes ``tables.md``, ``figures/`` and ``summary.html``, and the tables in RESULTS.md.

    Arguments
    ---------
    plan : Plan
        The experiment.
    places : Places
        Where its runs are kept.
    document : pathlib.Path
        Tables are put between their marks there, where it is.

    Returns
    -------
    list of str
        What is missing or broken, a line each.
    """
    texts, pictures, wanting, broken = {}, {}, [], set()
    changed, others = {}, {}
    read = functools.cache(read_scored)  # a run may be in several tables
    for name, run in plan.runs.items():
        try:
            check_kept(places, run, plan)
        except OtherRunError as error:
            others[name] = str(error)
        except SettingsError as error:
            changed[name] = str(error)
    wanting += [*changed.values(), *others.values()]
    for table in plan.tables:
        results = Results(plan, table, places.kept, changed, others, read)
        wanting += [f"{name} is not there yet" for name in results.missing]
        wanting += [f"{n}: {why}" for n, why in results.problems.items() if n not in others]
        wanting += [
            f"{table['title']}: no run that is there was scored under {named(condition)}"
            for condition in never_heard(results, table)
        ]
        broken |= {*results.problems, *others}
        texts[table["title"]] = all_tables(results, table) or "No run is finished yet.\n"
        systems = list(dict.fromkeys([*table["systems"], *(table.get("baselines") or [])]))
        noise_sets = dict.fromkeys(c[0] for c in table["conditions"] if c != "clean")
        for metric in table["metrics"]:
            for noise_set in noise_sets:
                name = slug(f"{table['title']} {metric} {noise_set}")
                pictures[name] = against_snr(results, systems, metric, noise_set)
    there = [n for n in plan.runs if (places.kept(n) / KEPT).is_file() and n not in broken]
    finished, uses, curves = [], {}, {}
    for name in there:
        try:
            found = read(places.kept(name) / KEPT).uses
        except PredictionsError as error:  # of a run that is in no table
            wanting.append(f"{name}: {error}")
            continue
        finished.append(name)
        if found:
            uses.setdefault(plan.runs[name].system, []).append(found)
    for name in finished:
        curves.setdefault(plan.runs[name].system, []).append(
            read_curves(places.kept(name) / TRAIN_LOG)
        )
    pictures["gradient_cosine"] = gradient_cosines(curves)
    texts[EXPERTS] = experts_text(uses)
    write_text(places.folder / "tables.md", "\n".join(f"## {t}\n\n{x}" for t, x in texts.items()))
    images = {}
    for name, figure in pictures.items():
        if figure is not None:
            file = io.BytesIO()
            figure.savefig(file, dpi=DPI, metadata={"Software": None})
            images[name] = file.getvalue()
            write_bytes(places.folder / "figures" / f"{name}.png", images[name])
    write_text(places.folder / "summary.html", page(plan.name, texts, images, finished))
    put(Path(document), plan.name, texts)
    return list(dict.fromkeys(wanting))


def experts_text(uses):
    """A table: system × factor, its effect on the use of the experts, and p by permutation.

    ``uses``: system → the `Use` of each of its runs.
    """
    rows = [
        [system, factor, number(effect, 3), number(p, 3)]
        for system, runs in uses.items()
        for factor, (effect, p) in table_of_use(runs).items()
    ]
    if not rows:
        return "No finished run has experts.\n"
    return markdown(["system", "factor", "largest difference in an expert's share", "p"], rows)


def page(name, texts, images, finished):
    """The page: tables, figures and the runs they are of."""
    parts = []
    for title, text in texts.items():
        parts.append(f"<h2>{html.escape(title)}</h2>{as_html(text)}")
        parts += [image(key, images[key]) for key in images if key.startswith(slug(title) + "_")]
    if "gradient_cosine" in images:
        parts.append(image("gradient_cosine", images["gradient_cosine"]))
    runs = "".join(f"<li>runs/{html.escape(run)}</li>" for run in finished)
    metrics = ", ".join(metric.title for metric in METRICS.values())
    parts.append(f"<h2>Runs</h2><p>Metrics: {metrics}.</p><ul>{runs}</ul>")
    return PAGE.format(name=html.escape(name), body="\n".join(parts))


def image(name, data):
    """A picture in the page itself."""
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img alt="{html.escape(name)}" src="data:image/png;base64,{encoded}">'


def as_html(text):
    r"""Tables of Markdown, and lines between them, as HTML.

    Example
    -------
    >>> as_html("| a |\n| --- |\n| 1 |\n")
    '<table><tr><th>a</th></tr><tr><td>1</td></tr></table>'
    """
    parts, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([html.escape(cell.strip()) for cell in line.strip("|").split("|")])
            continue
        if rows:
            head, _, *body = rows
            cells = ["".join(f"<th>{cell}</th>" for cell in head)]
            cells += ["".join(f"<td>{cell}</td>" for cell in row) for row in body]
            parts.append(f"<table>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>")
            rows = []
        if line.strip():
            parts.append(f"<p>{html.escape(line)}</p>")
    return "".join(parts)
