"""What the page shows of a recording."""

import numpy as np
import pytest
import soundfile as sf

from speechbrain_merit.errors import AudioError
from speechbrain_merit.inference import MeritInterface
from speechbrain_merit.inference.analysis import Analysis
from speechbrain_merit.inference.timeline import Segment
from speechbrain_merit.live import shown
from speechbrain_merit.live.samples import RATE, SAMPLES, sample
from tests.live.service import small_model, voice


@pytest.fixture(scope="module")
def merit(tmp_path_factory):
    folder = small_model(tmp_path_factory.mktemp("model") / "small")
    return MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})


def test_both_players_have_one_gain_and_neither_clips(merit, tmp_path):
    path = tmp_path / "loud.wav"
    wave = 3 * voice(2)
    sf.write(path, wave, RATE, subtype="FLOAT")
    job = shown.analysed(merit, path, tmp_path)
    (rate, before), (_, after) = shown.players(job)
    expected = merit.enhance_file(path).numpy()
    assert rate == RATE and before.dtype == np.int16 and 0 < abs(before).max() < 2**15 - 1
    gain = np.abs(before).max() / np.abs(wave).max()
    assert np.allclose(before, wave * gain, atol=2)
    assert np.allclose(after, expected * gain, atol=2)
    assert [file.name for file in tmp_path.iterdir()] == ["loud.wav"]  # its copy is gone


def test_what_cannot_be_heard_is_told_under_its_own_name(merit, tmp_path, monkeypatch):
    (tmp_path / "text.wav").write_text("dear diary")
    with pytest.raises(AudioError, match="^text.wav: no recording"):
        shown.analysed(merit, tmp_path / "text.wav", tmp_path)
    monkeypatch.setattr(shown, "KEPT_SECONDS", 1)
    sf.write(tmp_path / "long.wav", voice(2), RATE)
    with pytest.raises(AudioError, match="^long.wav: lasts longer than the 1 s"):
        shown.analysed(merit, tmp_path / "long.wav", tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["long.wav", "text.wav"]


def test_a_line_says_what_there_is_to_say():
    analysis = Analysis(3.0, "no_speech", snr_db=4.6, warnings=["<b>odd</b>"])
    text = shown.sentence(analysis)
    assert "no speech" in text and "SNR about 5 dB" in text and "&lt;b&gt;odd" in text


def test_a_long_timeline_is_cut_and_says_so():
    segments = [Segment(2 * n, 2 * n + 2, "sad", 0.5) for n in range(130)]
    table = shown.timeline(segments)
    assert len(table.splitlines()) == 2 + 100 + 2 and table.endswith("… and 30 more")


def test_experts_are_drawn_for_each_task():
    experts = {"se": np.array([0, 0, 2, 1], np.uint8), "ser": np.array([1, 1, 1, 1], np.uint8)}
    figure = shown.expert_figure(Analysis(0.1, "sad", experts=experts))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "experts of enhancement (0: 50%, 1: 25%, 2: 25%)" in titles
    assert "experts of emotion (0: 0%, 1: 100%, 2: 0%)" in titles
    assert shown.expert_figure(Analysis(0.1, "sad")) is None


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_the_same_each_time_and_in_range(name):
    one, other = sample(name), sample(name)
    assert np.array_equal(one, other) and one.dtype == np.float32
    assert 0.01 < np.sqrt(np.mean(one**2)) and np.abs(one).max() <= 1


@pytest.mark.parametrize("head", ["enhancement", "emotion"])
def test_a_model_without_one_of_the_heads_shows_what_it_has(tmp_path, head):
    folder = small_model(tmp_path / "small")
    merit = MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})
    setattr(merit.model, head, None)
    sf.write(tmp_path / "a.wav", voice(2), RATE)
    job = shown.analysed(merit, tmp_path / "a.wav", tmp_path)
    (analysis,) = job.analyses()
    before, after = shown.players(job)
    assert before is not None and (after is None) == (head == "enhancement")
    assert shown.sentence(analysis).startswith("## cleaned") == (head == "emotion")
    assert shown.expert_figure(analysis) is not None
    assert job.picture.figure([analysis]) is not None
