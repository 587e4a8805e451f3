"""The report: strict files, one page that needs nothing else, and systems with one task only."""

import csv
import io
import json
import math
import re
from html.parser import HTMLParser

import matplotlib
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from speechbrain_merit.evaluation.report import figures, spectrograms, tables
from speechbrain_merit.evaluation.report import page as report
from speechbrain_merit.evaluation.report.curves import read_curves
from speechbrain_merit.evaluation.report.examples import Example
from speechbrain_merit.evaluation.report.page import listening_copy, write_report

RATE = 16000
LABELS = ("angry", "sad")
EMOTION = {
    "f1_macro": 0.75,
    "f1_macro_ci": (0.6, 0.85),
    "ccc": 0.6,
    "ccc_by_attribute": {"arousal": 0.7, "valence": 0.5},
    "f1_micro": 0.74,
    "uar": 0.73,
    "ece": 0.1,
    "recall": {"angry": 0.5, "sad": 1.0},
    "confusion": np.array([[1, 1], [0, 2]]),
}
ENHANCEMENT = {
    "pesq": 2.0,
    "pesq_noisy": 1.25,
    "stoi": 0.9,
    "stoi_noisy": 0.8,
    "si_sdr": 9.0,
    "si_sdr_noisy": -5.0,
    "ssnr": 4.0,
    "ssnr_noisy": -2.0,
    "ssnr_sb": 3.0,
    "ssnr_sb_noisy": -1.0,
    "pesq_failed": 0,
}


def a_row(noise_set, snr_db, **changes):
    """A row with both tasks."""
    return {"noise_set": noise_set, "snr_db": snr_db, "n": 4, **EMOTION, **ENHANCEMENT, **changes}


def some_rows(**changes):
    """Clean and a noise set at two SNRs."""
    clean = a_row(None, None, **{"si_sdr_noisy": math.inf, **changes})
    return [clean, *(a_row("street", snr, **changes) for snr in (-5, 5))]


def an_example(**changes):
    """Half a second of noise that peaks above full scale, routed by two tasks."""
    noisy, enhanced, clean = np.random.default_rng(0).normal(size=(3, RATE // 2)).astype("float32")
    known = {
        "name": "utt",
        "label": "sad",
        "predicted": "angry",
        "probabilities": {"angry": 0.8, "sad": 0.2},
        "noise_set": "street",
        "snr_db": -5,
        "noisy": noisy,
        "enhanced": enhanced,
        "clean": clean,
        "sample_rate": RATE,
        "experts": {"se": np.arange(25) % 3, "ser": np.zeros(25, dtype=int)},
    }
    return Example(**{**known, **changes})


def some_use():
    """Expert use over all emotions and by emotion."""
    use = {"noise_set": "street", "snr_db": 5, "shares": [0.5, 0.3, 0.2]}
    return [{**use, "task": t, "emotion": e} for t in ("se", "ser") for e in (None, *LABELS)]


CURVES = [
    {"epoch": 1, "train loss": 2.0, "valid loss": 2.1, "valid f1_macro": 0.3},
    {"epoch": 2, "train loss": 1.0, "valid loss": math.nan, "valid f1_macro": 0.5},
]


class Page(HTMLParser):
    """Collects the tags of a page with their attributes, and its text."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module", autouse=True)
def coarse_figures():
    """Draws coarsely: no test looks at a pixel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "DPI", 30)
        yield


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The folder of a report with everything in it."""
    folder = tmp_path_factory.mktemp("full") / "evaluation"
    summary = {"system": "merit", "corpus": "Tiny", "seed": 7, "command": "python train.py x.yaml"}
    write_report(folder, some_rows(), [an_example()], some_use(), CURVES, summary)
    return folder


def refuse(constant):
    raise AssertionError(f"{constant} is not strict JSON")


def test_json_is_strict_and_keeps_the_rows(full):
    rows = json.loads((full / "metrics.json").read_text(), parse_constant=refuse)
    assert [(row["noise_set"], row["snr_db"]) for row in rows] == [
        (None, None),
        ("street", -5),
        ("street", 5),
    ]
    assert rows[0]["si_sdr_noisy"] is None  # was infinite
    assert rows[1]["confusion"] == [[1, 1], [0, 2]]
    assert rows[1]["recall"] == EMOTION["recall"]


@given(st.recursive(st.floats() | st.none() | st.text(), lambda x: st.lists(x), max_leaves=8))
@settings(max_examples=50, deadline=None)
def test_any_value_becomes_strict_json(value):
    rows = [{"value": value, "array": np.array([1.0, math.nan])}]
    json.loads(tables.to_json(rows), parse_constant=refuse)


def test_csv_has_a_flat_column_for_each_value(full):
    rows = list(csv.DictReader(io.StringIO((full / "metrics.csv").read_text())))
    assert len(rows) == 3
    assert float(rows[1]["recall_angry"]) == 0.5
    assert float(rows[1]["f1_macro_ci_low"]) == 0.6
    assert float(rows[1]["confusion_angry_as_sad"]) == 1
    assert rows[0]["si_sdr_noisy"] == "" and rows[0]["noise_set"] == ""


def test_csv_has_one_kind_of_number_in_a_column_and_quotes_what_needs_it():
    rows = [a_row(None, None, recall={"sad": None, "a,b": 1.0}), a_row('say "hi"', -5, pesq=None)]
    rows = [{**row, **dict.fromkeys(("confusion", "ccc_by_attribute", "ccc"))} for row in rows]
    rows[1]["recall"] = None
    head, clean, noisy = tables.to_csv(rows).splitlines()
    assert head.startswith("noise_set,snr_db,n,f1_macro,f1_macro_ci_low,f1_macro_ci_high,ccc,")
    assert 'ece,recall_sad,"recall_a,b",pesq' in head
    assert clean.startswith(",,4,0.75,0.6,0.85,,0.74,0.73,0.1,,1.0,2.0,")
    assert noisy.startswith('"say ""hi""",-5.0,4,0.75,0.6,0.85,,0.74,0.73,0.1,,,,')


def test_markdown_has_a_row_for_each_condition_with_noisy_values(full):
    lines = (full / "metrics.md").read_text(encoding="utf-8").splitlines()
    table = [line.split("|")[1:-1] for line in lines if line.startswith("|")]
    assert len(table) == 2 + 3 and len({len(cells) for cells in table}) == 1
    assert [cells[0].strip() for cells in table[2:]] == ["clean", "street, −5 dB", "street, 5 dB"]
    assert "0.750 [0.60, 0.85]" in lines[3] and "2.00 (1.25)" in lines[3]
    assert "−5.0" in lines[3] and "inf" not in "".join(lines)


def test_a_score_without_an_interval_shows_a_dash_and_the_reason(tmp_path):
    reason = "2 speakers do not tell how speakers differ"
    rows = some_rows()
    rows[1].update(f1_macro_ci=None, f1_macro_ci_reason=reason)
    text = tables.to_markdown(rows)
    assert "0.750 [–]" in text and "0.750 [0.60, 0.85]" in text
    assert f"[–], no interval: {reason}." in text
    assert reason not in tables.to_markdown(some_rows())
    assert reason in tables.to_markdown(some_rows(), {"one corpus": rows})
    line = list(csv.DictReader(io.StringIO(tables.to_csv(rows))))[1]
    assert line["f1_macro_ci_low"] == "" and line["f1_macro_ci_reason"] == reason
    page = write_report(tmp_path, rows, [], [], [], {}).read_text(encoding="utf-8")
    assert f"No interval of F1-macro: {reason}." in page
    band = figures.metric_against_snr(rows, "f1_macro").axes[0].collections[0]
    assert set(band.get_paths()[0].vertices[:, 0]) == {5}  # and not −5 dB


def test_a_bar_in_a_name_does_not_break_the_table():
    text = tables.to_markdown([a_row("a|b\nc", 0)])
    assert "a\\|b c, 0 dB" in text
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 3


def test_the_page_asks_for_nothing_outside_itself(full):
    page = Page(full / "report.html")
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action"):
            if name in attributes:
                assert attributes[name].startswith(("data:", "#")), (tag, attributes[name][:60])
    assert not page.all("script") and not page.all("link")
    assert "url(" not in (full / "report.html").read_text() and "@import" not in page.text
    anchors = {attributes["href"][1:] for attributes in page.all("a")}
    assert anchors == {attributes["id"] for attributes in page.all("section")}


def test_the_page_holds_every_figure_and_recording(full):
    page = Page(full / "report.html")
    assert len(page.all("img")) == len(list((full / "figures").glob("*.png")))
    assert all(image["alt"] for image in page.all("img"))
    assert len(page.all("audio")) == len(list((full / "audio").glob("*.wav"))) == 3
    for key, _, _ in figures.METRICS:
        assert (full / "figures" / f"{key}.png").read_bytes().startswith(b"\x89PNG")
    for name in ("confusion_1_street", "expert_use_snr", "expert_use_emotion", "learning_curves"):
        assert (full / "figures" / f"{name}.png").is_file()


def test_the_page_says_what_was_scored(full):
    text = " ".join(Page(full / "report.html").text.split())
    assert "merit on Tiny" in text and "python train.py x.yaml" in text
    assert text.index("Results") < text.index("Against SNR") < text.index("Definitions")
    assert "PESQ failed on no utterance" in text


def test_pesq_failures_are_told(tmp_path):
    rows = some_rows()
    rows[2]["pesq_failed"] = 3
    page = Page(write_report(tmp_path, rows, [], [], [], {}))
    assert "street, 5 dB: 3" in page.text


def test_recordings_keep_their_balance_and_stay_under_full_scale(full):
    example = an_example()
    waves = {p.stem.split("_")[-1]: soundfile.read(p)[0] for p in (full / "audio").glob("*.wav")}
    assert max(np.abs(wave).max() for wave in waves.values()) == pytest.approx(0.9, abs=1e-4)
    ratio = np.std(waves["noisy"]) / np.std(waves["clean"])
    assert ratio == pytest.approx(np.std(example.noisy) / np.std(example.clean), rel=1e-3)
    gain_db = listening_copy({k: getattr(example, k) for k in waves})[1]
    text = Page(full / "report.html").text
    assert f"Scaled for listening by {gain_db:.1f} dB".replace("-", "−") in text


@given(peak=st.floats(1e-4, 1e4))
def test_listening_copies_share_one_gain(peak):
    waves = {"noisy": np.array([peak, -peak / 2]), "clean": np.array([peak / 10, 0])}
    scaled, gain_db = listening_copy(waves)
    assert np.abs(scaled["noisy"]).max() == pytest.approx(0.9, rel=1e-5)
    for name, wave in waves.items():
        assert scaled[name] == pytest.approx(wave * 10 ** (gain_db / 20), rel=1e-5)


def test_silence_stays_silent_and_nan_is_an_error():
    scaled, gain_db = listening_copy({"clean": np.zeros(4)})
    assert gain_db == 0 and not scaled["clean"].any()
    with pytest.raises(ValueError, match="noisy"):
        listening_copy({"noisy": np.array([math.nan])})


def test_enhancement_alone(tmp_path):
    rows = some_rows(**dict.fromkeys(EMOTION))
    example = an_example(label=None, predicted=None, probabilities={}, experts={})
    page = Page(write_report(tmp_path, rows, [example], [], [], {"system": "se_only"}))
    names = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert {"pesq", "stoi", "si_sdr"} <= names
    assert not names & {"f1_macro", "uar", "ece", "learning_curves", "expert_use_snr"}
    assert "F1" not in page.text and "None" not in page.text
    assert len(page.all("audio")) == 3


def test_emotion_alone(tmp_path):
    rows = some_rows(**dict.fromkeys(ENHANCEMENT))
    page = Page(write_report(tmp_path, rows, [an_example(enhanced=None)], [], CURVES, {}))
    names = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert {"f1_macro", "uar", "confusion_1_street"} <= names
    assert not names & {"pesq", "stoi", "si_sdr", "ssnr", "ssnr_sb"}
    assert "PESQ" not in page.text and "None" not in page.text
    assert len(page.all("audio")) == 2


def test_hostile_text_is_shown_and_not_run(tmp_path):
    bad = "<script>alert(1)</script>\"' $\\frac{ ../../x"
    rows = [a_row(bad, 0, recall={bad: 1.0, "sad": None})]
    example = an_example(
        name=bad, label=bad, predicted=bad, probabilities={bad: 1.0}, noise_set=bad
    )
    use = [{**entry, "noise_set": bad, "emotion": bad, "task": bad} for entry in some_use()[:1]]
    summary = {bad: bad, "system": bad, "command": bad}
    folder = tmp_path / "inner"
    path = write_report(folder, rows, [example], use, [{"epoch": 1, f"train {bad}": 1.0}], summary)
    page = Page(path)
    assert not page.all("script") and "<script" not in path.read_text()
    assert page.text.count("alert(1)") > 5
    assert {p.name for p in tmp_path.iterdir()} == {"inner"}  # nothing beside the folder
    assert {p.suffix for p in (folder / "audio").iterdir()} == {".wav"}


def test_names_that_differ_in_signs_alone_keep_their_own_files(tmp_path):
    examples = [an_example(name=name, snr_db=snr) for name in ("a/b", "a b") for snr in (-5, 5)]
    write_report(tmp_path, [a_row("a/b", 0), a_row("a b", 0)], examples, [], [], {})
    assert len(list((tmp_path / "audio").iterdir())) == 4 * 3
    assert len(list((tmp_path / "figures").glob("confusion_*"))) == 2
    assert len(list((tmp_path / "figures").glob("example_*"))) == 4


def test_a_second_report_replaces_the_first(tmp_path):
    write_report(tmp_path, [a_row("old", 0)], [an_example()], some_use(), CURVES, {})
    (tmp_path / "figures" / "notes.txt").write_text("mine")
    write_report(tmp_path, [a_row("new", 0, pesq=None, pesq_noisy=None)], [], [], [], {})
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert "confusion_1_new.png" in names and "notes.txt" in names
    assert not names & {"confusion_1_old.png", "pesq.png", "learning_curves.png"}
    assert not list((tmp_path / "audio").glob("*"))


def test_no_rows_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no row"):
        write_report(tmp_path / "x", [], [], [], [], {})
    assert not (tmp_path / "x").exists()


def test_clean_alone_makes_a_report(tmp_path):
    page = Page(write_report(tmp_path, [a_row(None, None)], [], [], [], {}))
    assert "clean" in page.text
    assert (tmp_path / "figures" / "confusion_1_clean.png").is_file()


def test_metric_figure_draws_what_was_measured():
    axes = figures.metric_against_snr(some_rows(), "stoi").axes[0]
    solid, dashed, clean = axes.get_lines()
    assert list(solid.get_xdata()) == [-5, 5] and list(solid.get_ydata()) == [0.9, 0.9]
    assert list(dashed.get_ydata()) == [0.8, 0.8] and dashed.get_linestyle() == "--"
    assert list(clean.get_ydata()) == [0.9, 0.9] and clean.get_label() == "clean"


def test_expert_strips_are_drawn_frame_by_frame():
    example = an_example()
    strip = spectrograms.example_figure(example).axes[0].get_images()[0]
    assert np.array_equal(strip.get_array()[0], example.experts["se"])
    left, right, _, _ = strip.get_extent()
    assert (left, right) == (0, 0.5)  # 25 frames, 50 a second


def test_spectrograms_share_one_scale():
    quiet = an_example()
    quiet.clean = quiet.noisy / 100  # 40 dB
    images = [axes.get_images()[0] for axes in spectrograms.example_figure(quiet).axes[2:5]]
    assert {image.get_clim() for image in images} == {(-80, 0)}
    noisy, _, clean = (image.get_array() for image in images)
    assert np.allclose(noisy - clean, 40, atol=0.1)


def test_figures_leave_matplotlib_as_it_was(tmp_path):
    before = dict(matplotlib.rcParams)
    write_report(tmp_path, some_rows(), [an_example()], some_use(), CURVES, {})
    assert dict(matplotlib.rcParams) == before
    assert not re.search("pyplot", " ".join(vars(figures)) + " ".join(vars(spectrograms)))


def test_a_cut_line_of_the_log_costs_no_other(tmp_path):
    line = "epoch: {} - train loss: {}\n"
    text = line.format(1, 2.5) + "epoch: 2 - train lo" + line.format(2, 1.5) + line.format(3, 0.5)
    (tmp_path / "log.txt").write_text(text + "epoch: 4 - train loss: ")
    curves = read_curves(tmp_path / "log.txt")
    assert curves == [
        {"epoch": n, "train loss": loss} for n, loss in ((1, 2.5), (2, 1.5), (3, 0.5))
    ]


def test_learning_curves_share_a_panel_for_each_quantity():
    figure = figures.learning_curves(CURVES)
    panels = {axes.get_title(loc="left"): axes.get_lines() for axes in figure.axes}
    assert {name: len(lines) for name, lines in panels.items()} == {"loss": 2, "f1_macro": 1}
    valid = panels["loss"][1].get_ydata()
    assert valid[0] == 2.1 and math.isnan(valid[1])  # a gap, not a zero
