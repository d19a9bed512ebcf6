import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core import motif_scan as ms

UNIFORM = np.full(4, 0.25)


def random_scores(length, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.dirichlet(np.full(4, 0.4), length)
    return ms.log_odds(matrix, UNIFORM, pseudocount=1.0, n_sites=50)


def brute_force(sequence, scores, cutoff):
    found = (None, -1, False)
    complement = str.maketrans("ACGT", "TGCA")
    for reverse in (False, True):
        for start in range(len(sequence) - len(scores) + 1):
            piece = sequence[start : start + len(scores)].upper()
            if set(piece) - set("ACGT"):
                continue
            if reverse:
                piece = piece.translate(complement)[::-1]
            total = sum(int(scores[k, "ACGT".index(base)]) for k, base in enumerate(piece))
            if total >= cutoff and (found[0] is None or total > found[0]):
                found = (total, start, reverse)
    return found


@given(
    st.lists(st.text("ACGTNacgt", max_size=60), min_size=1, max_size=6),
    st.integers(1, 17),
    st.integers(0, 100),
    st.sampled_from([0.3, 0.02, 1e-4]),
)
def test_scan_equals_the_obvious_loop(sequences, length, seed, p):
    scores = random_scores(length, seed)
    cutoff = ms.threshold(scores, UNIFORM, p)
    codes, bounds = ms.encode(sequences)
    best, position, reverse = ms.scan(codes, bounds, ms.words_of(codes, bounds), scores, cutoff)
    for i, sequence in enumerate(sequences):
        total, start, strand = brute_force(sequence, scores, cutoff)
        if total is None:
            assert position[i] == -1
        else:
            assert (best[i], position[i], reverse[i]) == (total, start, strand)


@pytest.mark.parametrize("background", [UNIFORM, np.array([0.3, 0.2, 0.2, 0.3]), np.array([0.1, 0.5, 0.2, 0.2])])
def test_tail_equals_all_words(background):
    scores = random_scores(6, 1)
    words = np.array(list(itertools.product(range(4), repeat=6)))
    totals = scores[np.arange(6), words].sum(1)
    weight = background[words].prod(1)
    lowest, tail = ms.score_tail(scores, background)
    for score in np.unique(totals):
        np.testing.assert_allclose(tail[score - lowest], weight[totals >= score].sum(), rtol=1e-9)
    for p in (0.5, 0.01, 1e-3):
        cutoff = ms.threshold(scores, background, p)
        assert weight[totals >= cutoff].sum() <= p * (1 + 1e-12)
        lower = np.unique(totals[totals < cutoff])
        if len(lower):
            assert weight[totals >= lower[-1]].sum() > p


def test_unreachable_p_value_gives_no_match():
    scores = random_scores(3, 2)
    cutoff = ms.threshold(scores, UNIFORM, 1e-9)
    codes, bounds = ms.encode(["ACGT" * 50])
    assert ms.scan(codes, bounds, ms.words_of(codes, bounds), scores, cutoff)[1].tolist() == [-1]


def test_rate_of_matches_in_random_sequence():
    rng = np.random.default_rng(3)
    sequence = "".join(rng.choice(list("ACGT"), 2_000_000))
    scores = random_scores(9, 3)
    cutoff = ms.threshold(scores, UNIFORM, 1e-3)
    pieces = [sequence[i : i + 9] for i in range(0, len(sequence) - 9, 9)]
    codes, bounds = ms.encode(pieces)
    _, position, _ = ms.scan(codes, bounds, ms.words_of(codes, bounds), scores, cutoff)
    lowest, tail = ms.score_tail(scores, UNIFORM)
    expected = 2 * tail[cutoff - lowest]
    assert (position >= 0).mean() == pytest.approx(expected, rel=0.2)


def test_log_odds_are_those_of_the_counts_with_the_background_added():
    matrix, background = np.array([[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.5, 0.0]]), np.array([0.3, 0.2, 0.2, 0.3])
    for n_sites, known in ((20.0, 20), (0.0, 100)):  # unknown: 100 are assumed
        counts = matrix * known + 2 * background
        expected = 100 * np.log2(counts / counts.sum(1, keepdims=True) / background)
        found = ms.log_odds(matrix, background, pseudocount=2.0, n_sites=n_sites)
        assert np.abs(found - expected).max() <= 0.5
