"""From recordings to results: batches, files, windows, channels, rates, and what is refused."""

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain_merit.audio import containers, speech_presence
from speechbrain_merit.audio.files import AudioReader, AudioWriter
from speechbrain_merit.audio.windows import cut
from speechbrain_merit.errors import AudioError
from speechbrain_merit.export.folder import write_pretrained
from speechbrain_merit.inference import MeritInterface, hearing
from speechbrain_merit.inference.jobs import FileJob
from speechbrain_merit.inference.timeline import NO_SPEECH, segments
from tests.tiny import pad, tiny_merit

LABELS = ["angry", "sad", "happy", "neutral"]
RATE = 16000


def build(folder, **facts):
    torch.manual_seed(0)
    model = tiny_merit()
    write_pretrained(folder, model, LABELS, "# tiny", temperature=2.0, facts=facts)
    return MeritInterface.from_hparams(folder, run_opts={"device": "cpu"})


@pytest.fixture(scope="module")
def merit(tmp_path_factory):
    """A tiny network with random weights, exported and loaded."""
    return build(tmp_path_factory.mktemp("pretrained") / "tiny", window_seconds=4)


@pytest.fixture
def all_speech(monkeypatch):
    """Whatever is heard counts as speech, as far as the detector goes."""

    def speech(wavs, lengths=None):
        return torch.ones(len(wavs), -(-wavs.shape[1] // speech_presence.FRAME), dtype=torch.bool)

    monkeypatch.setattr(hearing, "speech_frames", speech)
    monkeypatch.setattr(speech_presence, "LOWEST_SNR", -1000.0)


def wave(seconds, seed=0, rate=RATE):
    """Noise under a slow envelope, peaking below full scale."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    return (0.05 * rng.standard_normal(len(time)) * (1.2 + np.sin(5 * time))).astype(np.float32)


def batch(*seconds):
    return pad([torch.from_numpy(wave(s, seed)) for seed, s in enumerate(seconds)])


def count_calls(module, monkeypatch):
    calls = []
    forward = module.forward
    monkeypatch.setattr(module, "forward", lambda *a, **k: calls.append(1) or forward(*a, **k))
    return calls


@pytest.mark.parametrize("seconds", [(1.0, 0.6, 0.33), (6.5, 2.0)])
def test_batched_equals_single(merit, all_speech, seconds):
    wavs, lengths = batch(*seconds)
    enhanced = merit.enhance_batch(wavs, lengths)
    probabilities = merit.classify_batch(wavs, lengths)[0]
    analyses = merit.analyse_batch(wavs, lengths)
    assert enhanced.shape == wavs.shape
    for row, s in enumerate(seconds):
        single = torch.from_numpy(wave(s, row))[None]
        n = single.shape[1]
        alone = merit.enhance_batch(single)[0]
        torch.testing.assert_close(enhanced[row, :n], alone, atol=1e-5, rtol=0)
        assert not enhanced[row, n:].any()
        torch.testing.assert_close(
            probabilities[row], merit.classify_batch(single)[0][0], atol=1e-5, rtol=0
        )
        torch.testing.assert_close(analyses[row].enhanced, alone, atol=1e-5, rtol=0)
        assert analyses[row].duration == n / RATE
        of_it = list(analyses[row].probabilities.values())
        np.testing.assert_allclose(of_it, probabilities[row], atol=1e-5)
        (other,) = merit.analyse_batch(single)
        assert other.segments == analyses[row].segments
        for task in ("se", "ser"):
            assert (other.experts[task] == analyses[row].experts[task]).mean() > 0.99


def test_classify_returns_what_speechbrain_returns(merit):
    wavs, lengths = batch(1.0, 0.6)
    out_prob, score, index, text_lab = merit.classify_batch(wavs, lengths)
    assert torch.allclose(out_prob.sum(dim=1), torch.ones(2))
    assert torch.equal(score, out_prob.max(dim=1).values)
    assert text_lab == [LABELS[i] for i in index]
    logits = merit.model(wavs, lengths, ("ser",)).logits
    torch.testing.assert_close(out_prob, (logits / 2.0).softmax(dim=1))  # the exported temperature


def test_a_task_alone_computes_nothing_of_the_other(merit, monkeypatch):
    heads = {
        name: count_calls(getattr(merit.model, name), monkeypatch)
        for name in ("enhancement", "emotion")
    }
    routers = {t: count_calls(r, monkeypatch) for t, r in merit.model.integration.routers.items()}
    wavs, _ = batch(1.0)
    merit.classify_batch(wavs)
    assert not heads["enhancement"] and not routers["se"] and heads["emotion"]
    heads["emotion"].clear(), routers["ser"].clear()
    merit.enhance_batch(wavs)
    assert not heads["emotion"] and not routers["ser"] and heads["enhancement"]


def test_an_analysis_is_one_encoder_pass(merit, monkeypatch, tmp_path):
    calls = count_calls(merit.model.encoder, monkeypatch)
    merit.analyse_batch(batch(1.0, 0.5)[0])
    assert len(calls) == 1
    sf.write(tmp_path / "a.wav", wave(2), RATE)
    merit.analyse_file(tmp_path / "a.wav")
    assert len(calls) == 2


def test_an_analysis_says_what_it_should(merit, all_speech):
    (analysis,) = merit.analyse_batch(torch.from_numpy(wave(3.6))[None])
    noisy, clean = torch.from_numpy(wave(3.6)), analysis.enhanced
    ratio = clean.square().sum() / (noisy - clean).square().sum()
    assert analysis.snr_db == pytest.approx(10 * float(ratio.log10()), abs=1e-3)
    assert analysis.emotion == max(analysis.probabilities, key=analysis.probabilities.get)
    assert [len(e) for e in analysis.experts.values()] == [180, 180]  # 50 a second
    routing = merit.model(noisy[None]).routing
    for task, chosen in analysis.experts.items():
        assert (chosen == routing[task].experts[0, :, 0].numpy()).all()
    assert analysis.segments[0].start == 0 and analysis.segments[-1].end == 3.6
    assert analysis.to_dict()["experts"]["se"][0][0] == analysis.experts["se"][0]


def test_silence_has_no_emotion_but_a_class(merit):
    (analysis,) = merit.analyse_batch(torch.zeros(1, RATE))
    assert analysis.emotion == NO_SPEECH and analysis.probabilities is None
    assert analysis.snr_db is None and not analysis.enhanced.any()
    assert [s.emotion for s in analysis.segments] == [NO_SPEECH]
    assert merit.classify_batch(torch.zeros(1, RATE))[3][0] in LABELS


def test_files_equal_batches(merit, tmp_path, all_speech):
    x = wave(3)
    sf.write(tmp_path / "a.wav", x, RATE, subtype="FLOAT")
    wavs = torch.from_numpy(x)[None]
    torch.testing.assert_close(merit.enhance_file(tmp_path / "a.wav"), merit.enhance_batch(wavs)[0])
    ours, theirs = merit.classify_file(tmp_path / "a.wav"), merit.classify_batch(wavs)
    torch.testing.assert_close(ours[0], theirs[0])
    assert ours[3] == theirs[3] and ours[0].shape == (1, 4)
    analysis = merit.analyse_file(tmp_path / "a.wav", tmp_path / "b.wav")
    torch.testing.assert_close(analysis.enhanced, merit.enhance_batch(wavs)[0])
    written, rate = sf.read(tmp_path / "b.wav", dtype="float32")
    assert rate == RATE and np.array_equal(written, analysis.enhanced.numpy())


@pytest.mark.parametrize("suffix, rate", [("wav", 8000), ("flac", 44100), ("ogg", 48000)])
def test_any_rate_and_format(merit, tmp_path, suffix, rate):
    path, out = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    sf.write(path, wave(1.5, rate=rate), rate)
    enhanced = merit.enhance_file(path, out, keep_rate=True)
    assert abs(len(enhanced) - 24000) <= 1
    info = sf.info(str(out))
    assert (info.samplerate, info.frames) == (rate, round(1.5 * rate))
    merit.enhance_file(path, out)  # over the earlier one
    assert sf.info(str(out)).samplerate == RATE


@pytest.mark.parametrize("rate", [44100, 48000, 192000])
def test_a_format_that_cannot_be_shortened_keeps_the_length(tmp_path, rate):
    for n_frames in range(rate // 4, rate // 4 + 12):
        tone = 0.5 * np.sin(2 * np.pi * 100 * np.arange(n_frames) / rate)
        sf.write(tmp_path / "a.wav", tone, rate)
        reader = AudioReader(tmp_path / "a.wav")
        writer = AudioWriter(tmp_path / "b.flac", 1, rate)
        for block in reader.blocks():
            writer.write(block)
        writer.finish(n_frames)
        written = sf.read(str(tmp_path / "b.flac"))[0]
        assert len(written) == n_frames
        assert np.abs(written - tone)[n_frames // 3 : -n_frames // 3].max() < 1e-3


@pytest.mark.parametrize("as_float, hours, form", [(False, 34, "WAV"), (True, 34, "RF64")])
def test_what_is_too_long_for_a_wav_file_is_written_as_rf64(tmp_path, as_float, hours, form):
    samples = wave(1)
    with AudioWriter(tmp_path / "b.wav", 1, RATE, as_float, seconds=3600 * hours) as writer:
        writer.write(samples[None])
    assert sf.info(str(tmp_path / "b.wav")).format == form
    np.testing.assert_allclose(sf.read(str(tmp_path / "b.wav"))[0], samples, atol=1e-4)


def test_channels_are_mixed_or_kept_apart(merit, tmp_path, all_speech):
    left, right = wave(2, 1), wave(2, 2)
    sf.write(tmp_path / "a.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    mixed = merit.analyse_file(tmp_path / "a.wav")
    expected = merit.enhance_batch(torch.from_numpy((left + right) / 2)[None])[0]
    torch.testing.assert_close(mixed.enhanced, expected, atol=1e-5, rtol=0)
    both = merit.analyse_file(tmp_path / "a.wav", tmp_path / "b.wav", channels="separate")
    assert [analysis.channel for analysis in both] == [0, 1]
    for analysis, alone in zip(both, (left, right)):
        alone = merit.enhance_batch(torch.from_numpy(alone)[None])[0]
        torch.testing.assert_close(analysis.enhanced, alone, atol=1e-5, rtol=0)
    assert sf.info(str(tmp_path / "b.wav")).channels == 2


def test_windows_cover_a_recording_once():
    x = np.random.default_rng(0).normal(size=(2, 33 * RATE + 123)).astype(np.float32)
    blocks = np.array_split(x, 17, axis=1)
    windows = list(cut(blocks, seconds=8))
    ends = [0]
    for window in windows:
        start, stop = window.start, window.start + window.wavs.shape[1]
        assert np.array_equal(window.wavs, x[:, start:stop])
        assert window.start + window.begin == ends[-1]
        ends.append(window.start + window.end)
        assert window.start == 0 or window.begin >= RATE  # real context before
        assert window.last or window.wavs.shape[1] - window.end >= RATE
    assert ends[-1] == x.shape[1] and [w.last for w in windows] == [False] * 5 + [True]
    assert windows[-1].wavs.shape[1] > 7 * RATE  # the last one is no stump
    with pytest.raises(ValueError, match="window_seconds"):
        list(cut(blocks, seconds=2))


def test_windows_join_without_a_seam(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seams")
    whole, windowed = (build(folder / str(s), window_seconds=s) for s in (30, 8))
    x = torch.from_numpy(wave(30))[None]
    one_pass = whole.enhance_batch(x)[0]
    (analysis,) = windowed.analyse_batch(x)
    error = (analysis.enhanced - one_pass).square()
    near = torch.zeros(len(error), dtype=torch.bool)
    assert len(analysis.joints) == 4
    for joint in analysis.joints:
        near[round((joint - 0.05) * RATE) : round((joint + 0.05) * RATE)] = True
    assert error[near].mean().sqrt() <= 1.5 * error[~near].mean().sqrt()
    steps = analysis.enhanced.diff().abs()
    assert steps[near[1:]].max() <= steps.max()
    assert [len(e) for e in analysis.experts.values()] == [1500, 1500]


def test_memory_does_not_grow_with_the_recording(merit, tmp_path):
    held = []

    class Watched(FileJob):
        def take(self, window, heard):
            super().take(window, heard)
            tail = self.assembler.enhanced.tail
            held.append((window.wavs.shape[1], 0 if tail is None else tail.shape[1]))

    with sf.SoundFile(tmp_path / "long.wav", "w", RATE, 1) as file:
        for part in range(12):
            file.write(wave(5, part))
    job = Watched(tmp_path / "long.wav", tmp_path / "out.wav", keep=False)
    (done,) = merit.listen([job], ("se",), over_time=False)
    assert done.error is None and done.enhanced() is None and len(held) == 29
    assert max(w for w, _ in held) == 4 * RATE and max(t for _, t in held) < 2 * RATE
    assert sf.info(str(tmp_path / "out.wav")).frames == 60 * RATE


def test_batches_of_windows_of_several_recordings_change_nothing(merit, tmp_path, all_speech):
    paths = []
    for index, seconds in enumerate((5.5, 1.0, 9.3)):
        paths.append(tmp_path / f"{index}.wav")
        sf.write(paths[-1], wave(seconds, index), RATE)
    one = [merit.analyse_file(path) for path in paths]
    many = [job.analyses()[0] for job in merit.analyse_jobs(map(FileJob, paths), batch_size=3)]
    for a, b in zip(one, many):
        torch.testing.assert_close(a.enhanced, b.enhanced, atol=1e-5, rtol=0)
        assert a.probabilities == pytest.approx(b.probabilities, abs=1e-5)
        assert [s.emotion for s in a.segments] == [s.emotion for s in b.segments]


def test_segments_follow_the_rule():
    sad, happy = [0.9, 0.1], [0.2, 0.8]
    speech = np.array([True] * 8 + [False] * 3)
    cells = np.array([sad] * 3 + [happy] + [sad] + [happy] * 3 + [happy] * 3)
    found = segments(cells, speech, 10.5, ["sad", "happy"])
    assert [(s.start, s.end, s.emotion) for s in found] == [
        (0, 5, "sad"),  # the happy second between is taken for an error
        (5, 8, "happy"),
        (8, 10.5, NO_SPEECH),
    ]
    assert found[0].score == pytest.approx((4 * 0.9 + 0.2) / 5) and found[2].score is None
    alone = segments(np.array([happy]), np.array([True]), 0.7, ["sad", "happy"])
    assert [(s.start, s.end, s.emotion) for s in alone] == [(0, 0.7, "happy")]


def write_bad(folder, kind):
    path = folder / f"{kind}.wav"
    x = wave(1)
    if kind == "text":
        path.write_text("hello")
    elif kind == "empty":
        sf.write(path, x[:0], RATE)
    elif kind == "short":
        sf.write(path, x[:160], RATE)
    elif kind == "nan":
        x[8000] = np.nan
        sf.write(path, x, RATE, subtype="FLOAT")
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    "kind, message",
    [
        ("text", "no recording that can be read"),
        ("empty", "is empty"),
        ("short", "lasts 10 ms"),
        ("nan", "from 0.50 s on"),
        ("folder", "is no file"),
        ("missing", "No such file"),
    ],
)
def test_what_cannot_be_analysed_is_refused_and_leaves_nothing(merit, tmp_path, kind, message):
    path = write_bad(tmp_path, kind)
    before = path.read_bytes() if path.is_file() else None
    names = {p.name for p in tmp_path.iterdir()}
    for attempt in (merit.analyse_file, merit.enhance_file):
        with pytest.raises(AudioError, match=message) as raised:
            attempt(path, tmp_path / "out.wav")
        assert str(path) in str(raised.value)
    assert {p.name for p in tmp_path.iterdir()} == names
    assert before is None or path.read_bytes() == before


def test_a_recording_that_may_not_be_read_is_told_from_a_broken_one(merit, tmp_path, monkeypatch):
    sf.write(tmp_path / "a.wav", wave(1), RATE)

    def denied(path, *rest, **more):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(containers, "open", denied, raising=False)  # root may read anything
    with pytest.raises(AudioError, match="a.wav: no recording that can be read: Permission denied"):
        merit.classify_file(tmp_path / "a.wav")


def test_a_file_that_changes_while_it_is_read_is_refused(merit, tmp_path, monkeypatch):
    path = tmp_path / "a.wav"

    def spoil(change):
        sf.write(path, wave(9), RATE)
        decoded = AudioReader.decoded

        def reading(reader):
            for block in decoded(reader):
                yield block
                change()

        monkeypatch.setattr(AudioReader, "decoded", reading)
        with pytest.raises(AudioError) as raised:
            merit.enhance_file(path, tmp_path / "out.wav")
        monkeypatch.setattr(AudioReader, "decoded", decoded)
        assert sorted(p.name for p in tmp_path.iterdir()) == [path.name] * path.exists()
        return str(raised.value)

    def grow():
        with open(path, "ab") as file:
            file.write(b"\0" * 1000)

    assert "changed while it was read" in spoil(grow)
    assert "No such file" in spoil(lambda: path.unlink(missing_ok=True))


def test_samples_that_no_recording_has_are_named(merit, tmp_path):
    sf.write(tmp_path / "a.wav", 1e30 * wave(1), RATE, subtype="FLOAT")
    analysis = merit.analyse_file(tmp_path / "a.wav")
    assert analysis.enhanced.isfinite().all()  # a gain changes nothing


def test_an_output_that_cannot_be_written_is_refused(merit, tmp_path):
    path = tmp_path / "a.wav"
    sf.write(path, wave(1), RATE)
    before = path.read_bytes()
    for out, message in (
        (tmp_path / "nowhere" / "b.wav", "cannot be written: No such file or directory"),
        (path / "b.wav", "cannot be written: Not a directory"),
        (tmp_path / "b.raw", "cannot be written"),
        (tmp_path / "b.xyz", "no format"),
        (path, "the recording itself"),
    ):
        with pytest.raises(AudioError, match=message):
            merit.enhance_file(path, out)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_waves_that_are_none_are_refused(merit):
    with pytest.raises(ValueError, match="NaN"):
        merit.enhance_batch(torch.full((1, RATE), float("nan")))
    with pytest.raises(ValueError, match="shape"):
        merit.classify_batch(torch.zeros(RATE))
    with pytest.raises(ValueError, match="25 ms"):
        merit.classify_batch(torch.zeros(1, 160))
    with pytest.raises(ValueError, match=r"Lengths of shape \(1,\) for 2 waves"):
        merit.analyse_batch(torch.zeros(2, RATE), torch.ones(1))


def music(seconds, chord):
    """Chords, or a melody, of decaying harmonics."""
    rng = np.random.default_rng(int(chord))
    x, step = np.zeros(round(seconds * RATE)), RATE // 2
    time = np.arange(step) / RATE
    for start in range(0, len(x) - step + 1, step):
        for _ in range(3 if chord else 1):
            pitch = 220 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
            x[start : start + step] += sum(
                np.sin(2 * np.pi * pitch * h * time) / h for h in range(1, 7)
            ) * np.exp(-3 * time)
    return (0.1 * x / np.abs(x).max()).astype(np.float32)


def test_neither_silence_nor_noise_nor_music_is_speech():
    kinds = [np.zeros(3 * RATE, np.float32), wave(3), music(3, True), music(3, False)]
    wavs = torch.from_numpy(np.stack(kinds))
    frames = speech_presence.speech_frames(wavs)
    assert not any(speech_presence.holds_speech(row, 0, 3) for row in frames)


def test_speech_is_speech_at_any_level(shared_data):
    rng = np.random.default_rng(0)
    files = sorted((shared_data / "speech" / "RAVDESS" / "Actor_17").glob("*.flac"))[::12]
    for path in files:
        x, _ = sf.read(path, dtype="float32")
        x = x + np.sqrt((x**2).mean()) * rng.standard_normal(len(x)).astype(np.float32)  # 0 dB
        for gain in (0.01, 1.0):
            frames = speech_presence.speech_frames(gain * torch.from_numpy(x)[None])[0]
            assert speech_presence.holds_speech(frames, 0, len(x) / RATE), path.name


def test_what_the_network_removes_is_no_speech():
    frames = torch.ones(94, dtype=torch.bool)
    noisy = torch.from_numpy(wave(3))
    assert speech_presence.holds_speech(frames, 0, 3, noisy, 0.3 * noisy)
    assert not speech_presence.holds_speech(frames, 0, 3, noisy, 0.1 * noisy)
