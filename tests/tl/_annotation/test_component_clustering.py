import numpy as np
import pytest

import scatacworks as sca
from scatacworks._core.label_clustering import _shuffle, permuted


def test_observed_distance_equals_a_loop(make_index):
    index = make_index(n=300)
    sca.tl.component_clustering(index, n_permutations=20)
    table = index.uns["component_clustering"]["components"].set_index("component")
    for component in "ABCD":
        distances = []
        for chrom in ("chr1", "chr2"):
            rows = index.var[(index.var["chrom"] == chrom) & (index.var["component"] == component)]
            gaps = np.diff(np.sort(rows["summit"]))
            distances.extend(np.minimum(np.append(gaps, np.inf), np.insert(gaps.astype(float), 0, np.inf)))
        assert table.loc[component, "mean_distance"] == pytest.approx(np.mean(distances))


def test_independent_labels_are_not_clustered_and_planted_ones_are(make_index):
    index = make_index()
    sca.tl.component_clustering(index, n_permutations=199)
    stored = index.uns["component_clustering"]
    assert (stored["components"]["p_value"] > 0.005).all()
    assert stored["components"]["ratio"].between(0.97, 1.03).all()
    # of n labels drawn from shares f, an adjacent pair agrees with probability sum f^2
    share = index.var["component"].value_counts(normalize=True)
    assert stored["same_neighbour"]["expected"] == pytest.approx((share**2).sum(), abs=0.005)
    index.var.loc[(index.var["chrom"] == "chr1") & (index.var["start"] < 100_000), "component"] = "A"
    sca.tl.component_clustering(index, n_permutations=199)
    stored = index.uns["component_clustering"]
    assert stored["same_neighbour"]["p_value"] == 1 / 200
    index.var["component"] = np.repeat(np.random.default_rng(1).choice(list("ABCD"), 800), 5)  # runs of five
    sca.tl.component_clustering(index, n_permutations=199)
    stored = index.uns["component_clustering"]
    assert (stored["components"]["p_value"] == 1 / 200).all()
    assert stored["same_neighbour"]["p_value"] == 1 / 200


def test_elements_of_one_component_all_share_it_and_are_not_clustered(make_index):
    index = make_index(n=40, components=("A",))  # on two chromosomes: the last of one is not adjacent to the next one's
    sca.tl.component_clustering(index, n_permutations=9)
    stored = index.uns["component_clustering"]
    assert stored["same_neighbour"] == {"observed": 1.0, "expected": 1.0, "p_value": 1.0}
    assert stored["components"]["p_value"].tolist() == [1.0]


def test_threads_change_nothing(make_index):
    tables = [
        sca.tl.component_clustering(make_index(), n_permutations=30, n_jobs=n, copy=True).uns["component_clustering"]
        for n in (1, 2)
    ]
    assert tables[0]["components"].equals(tables[1]["components"])


def test_shuffles_are_permutations_and_uniform():
    labels = np.arange(5, dtype=np.int32)
    seeds = np.random.default_rng(0).integers(1, 2**62, 20_000)
    shuffled = np.array([_shuffle(labels, seed) for seed in seeds])
    assert (np.sort(shuffled, axis=1) == labels).all()
    for place in range(5):
        assert np.abs(np.bincount(shuffled[:, place]) / len(seeds) - 0.2).max() < 0.012
    same = np.zeros(5, np.int32)  # of chromosomes and labels
    assert permuted(same, np.arange(5) * 10, same, 1, seeds[:3])[1].tolist() == [4, 4, 4]
