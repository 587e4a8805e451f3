"""The use of experts: what a router tells apart is found, and chance is called chance."""

import numpy as np

from speechbrain_merit.evaluation.frame_levels import frame_levels, use_by_level
from speechbrain_merit.experiments.expert_use import (
    Use,
    table_of_use,
    within_speakers,
    within_utterances,
)

SNRS = (-5, 5)


def uses(chance, by_emotion=0.0, by_snr=0.0, n=120):
    """Made-up use of three experts, which may depend on the emotion and on the SNR."""
    found = []
    for number in range(n):
        for snr in SNRS:
            label, speaker = "angry" if number % 2 else "sad", f"s{number // 20}"
            tilt = by_emotion * (label == "angry") + by_snr * (snr > 0)
            shares = chance.dirichlet([6, 6, 6]) * (1 - tilt) + np.array([tilt, 0, 0])
            found.append(Use(f"u{number}", speaker, label, ("street", snr), {"ser": shares}, None))
    return found


def test_what_a_router_tells_apart_is_found_and_nothing_else():
    found = table_of_use([uses(np.random.default_rng(1), by_emotion=0.2)])
    assert found["ser: emotion"][0] > 0.08 and found["ser: emotion"][1] < 0.01
    assert found["ser: SNR"][1] > 0.01
    found = table_of_use([uses(np.random.default_rng(1), by_snr=0.2)])
    assert found["ser: SNR"][0] > 0.08 and found["ser: SNR"][1] < 0.01
    assert found["ser: emotion"][1] > 0.01


def test_the_experts_of_two_networks_are_not_one():
    one = uses(np.random.default_rng(1), by_emotion=0.2, by_snr=0.2)
    other = uses(np.random.default_rng(2), by_emotion=0.2)  # the SNR is all the same to it
    other = [use._replace(shares={"ser": use.shares["ser"][::-1]}) for use in other]
    alone, both = table_of_use([one]), table_of_use([one, other])
    assert both["ser: emotion"][0] > 0.8 * alone["ser: emotion"][0]
    assert both["ser: emotion"][1] < 0.01
    # of two seeds on the same utterances each counts, whichever was read last
    assert both["ser: SNR"][0] > 0.4 * alone["ser: SNR"][0]
    assert both["ser: SNR"][1] < 0.01


def test_an_utterance_under_many_conditions_is_one():
    chance, small = np.random.default_rng(0), 0
    for _ in range(40):  # what an utterance sends to an expert it sends there at every SNR
        shares = {name: chance.dirichlet([6, 6], size=(2, 20)) for name in ("se", "ser")}
        rows = [
            Use(f"u{u}", "s", "sad", (noise, snr), {t: s[0, u] for t, s in shares.items()}, None)
            for u in range(20)
            for noise in ("street", "rain")
            for snr in (-5, 0, 5, 10)
        ]
        small += table_of_use([rows])["task"][1] <= 0.05
    assert small <= 7  # 0.05 · 40 and what chance allows


def test_many_groups_are_permuted_as_few_are():
    chance = np.random.default_rng(0)
    shares = chance.dirichlet([5, 5], size=(80, 6))
    assert within_utterances([shares])[1] > 0.05
    shares[:, 0] += [0.2, -0.2]
    assert within_utterances([shares])[1] < 0.01


def test_speakers_who_differ_are_no_emotion():
    chance = np.random.default_rng(0)
    # one speaker is angry mostly, the other sad mostly, and each has experts of its own
    speakers = np.repeat(["a", "b"], 40)
    labels = np.where(np.arange(80) % 8 == 0, "sad", "angry")
    labels[40:] = np.where(labels[40:] == "sad", "angry", "sad")
    shares = chance.dirichlet([9, 9], size=80) * 0.2
    shares[:40, 0] += 0.8
    shares[40:, 1] += 0.8
    effect, p = within_speakers([(shares, labels, speakers)])
    assert effect > 0.3 and p > 0.05


def test_frames_by_level_add_up_to_the_shares():
    chance = np.random.default_rng(0)
    clean = chance.standard_normal(16000) * np.repeat([0.001, 0.2, 1.0, 1.0], 4000)
    levels = frame_levels(clean, 52)
    assert set(levels[:12]) == {0} and set(levels[-2:]) == {0}  # faint, and behind the end
    assert np.mean(levels[25:49] == 2) > 0.6
    chosen = chance.integers(3, size=(52, 2))
    shares = np.array(use_by_level(chosen, 3, levels))
    expected = np.bincount(chosen.ravel(), minlength=3) / 52
    np.testing.assert_allclose(shares.sum(axis=0), expected, atol=1e-5)
    assert frame_levels(np.zeros(320), 2).tolist() == [0, 0]
