import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scatacworks._core.landscapes import count_labels, landscapes

gene = st.tuples(st.integers(0, 1), st.integers(0, 150), st.integers(1, 40), st.booleans())


@given(st.lists(gene, min_size=1, max_size=12), st.integers(0, 30), st.integers(0, 30))
def test_landscapes_equal_the_double_loop(genes, upstream, downstream):
    chrom = np.array([g[0] for g in genes])
    start = np.array([g[1] for g in genes])
    end = start + np.array([g[2] for g in genes])
    minus = np.array([g[3] for g in genes])
    lengths = np.array([200, 170])
    end = np.minimum(end, lengths[chrom])
    left, right = landscapes(chrom, start, end, minus, upstream=upstream, downstream=downstream, lengths=lengths)
    for i in range(len(genes)):
        before, after = (downstream, upstream) if minus[i] else (upstream, downstream)
        for j in range(len(genes)):
            if chrom[j] == chrom[i] and end[j] <= start[i]:
                before = min(before, (start[i] - end[j]) // 2)
            if chrom[j] == chrom[i] and start[j] >= end[i]:
                after = min(after, (start[j] - end[i]) // 2)
        assert left[i] == max(start[i] - before, 0)
        assert right[i] == min(end[i] + after, lengths[chrom[i]])


def test_landscapes_of_a_real_scale_chromosome_pair():
    """Genes at the far end of one chromosome and the start of the next do not limit each other."""
    left, right = landscapes(
        np.array([0, 1]),
        np.array([248_000_000, 3_000]),
        np.array([248_900_000, 9_000]),
        np.array([False, False]),
        upstream=5000,
        downstream=1000,
        lengths=np.array([248_900_500, 10**6]),
    )
    assert left.tolist() == [247_995_000, 0]
    assert right.tolist() == [248_900_500, 10_000]


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 80), st.integers(1, 30)), min_size=1, max_size=8),
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 100), st.integers(1, 20), st.integers(-1, 2)),
        min_size=1,
        max_size=20,
    ),
)
def test_counts_equal_the_double_loop(windows, elements):
    window = tuple(np.array(x) for x in zip(*[(c, s, s + n) for c, s, n in windows], strict=True))
    element = tuple(np.array(x) for x in zip(*[(c, s, s + n) for c, s, n, _ in elements], strict=True))
    labels = np.array([e[3] for e in elements])
    found = count_labels(window, element, labels, 3)
    for row, (c, s, n) in enumerate(windows):
        for label in range(3):
            expected = sum(1 for d, t, m, own in elements if own == label and d == c and t < s + n and t + m > s)
            assert found[row, label] == expected
