"""Components, scan, labels, projection, matching."""

from __future__ import annotations

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import mannwhitneyu
from sklearn.metrics import average_precision_score

import scatacworks as sca
from scatacworks.tl._vocabulary._saturation import expected_new
from scatacworks.tl._vocabulary._scan import summarize

NAMES = [
    "Tissue invariant",
    "Stromal A",
    "Primitive / embryonic",
    "Stromal B",
    "Lymphoid",
    "Renal / cancer",
    "Placental / trophoblast",
    "Neural",
    "Cardiac",
    "Organ devel. / renal",
    "Pulmonary devel.",
    "Musculoskeletal",
    "Digestive",
    "Vascular / endothelial",
    "Myeloid / erythroid",
    "Cancer / epithelial",
]
# facts of the published loadings: component with the highest score of every system
BEST = {
    "Hematopoietic": "Lymphoid",
    "Renal": "Organ devel. / renal",
    "Connective": "Stromal A",
    "Musculoskeletal": "Musculoskeletal",
    "Nervous": "Neural",
    "Digestive": "Digestive",
    "Cardiovascular": "Cardiac",
    "Respiratory": "Pulmonary devel.",
    "Embryonic": "Primitive / embryonic",
    "Integumentary": "Cancer / epithelial",
    "Epithelial": "Cancer / epithelial",
    "Genitourinary": "Cancer / epithelial",
    "Fetal Life Support": "Placental / trophoblast",
    "Endocrine": "Digestive",
    "Hepatic": "Digestive",
}


def planted(seed: int = 0, *, n: int = 40, m: int = 600, k: int = 4, fade: float = 0.9) -> anndata.AnnData:
    """Samples and elements of k kinds; an element is in the samples of its kind, mostly."""
    rng = np.random.default_rng(seed)
    kind, of = np.arange(n) % k, np.arange(m) % k
    present = (kind[:, None] == of) & (rng.random((n, m)) < fade)
    present |= rng.random((n, m)) < 0.02
    obs = pd.DataFrame({"kind": [f"kind {i}" for i in kind]}, index=[f"sample{i}" for i in range(n)])
    var = pd.DataFrame({"kind": of}, index=[f"e{i}" for i in range(m)])
    return anndata.AnnData(sp.csr_matrix(present.astype(np.uint8)), obs=obs, var=var)


@pytest.fixture(scope="module")
def index() -> anndata.AnnData:
    index = planted()
    sca.tl.vocabulary(index, n_components=4, progress=False)
    return index


@pytest.fixture(scope="module")
def published(shared_data) -> anndata.AnnData:
    folder = shared_data / "dhs_meuleman2020"
    with gzip.open(folder / "nmf16_basis_733x16.npy.gz") as file:
        loadings = np.load(file)
    obs = pd.read_csv(folder / "biosample_metadata_733.tsv", sep="\t").iloc[:733]
    obs = obs.set_axis(obs.index.astype(str))
    index = anndata.AnnData(np.zeros((733, 1)), obs=obs[["Vocabulary representative", "System"]])
    index.obsm["X_vocabulary"] = loadings
    index.uns["vocabulary"] = {"names": np.array(NAMES)}
    return index


def test_planted_components_are_found(index):
    assert index.obs.groupby("kind")["component"].nunique().tolist() == [1] * 4
    assert index.obs["component"].nunique() == 4
    assert pd.crosstab(index.var["kind"], index.var["component"]).max(axis=1).sum() > 0.95 * index.n_vars


def test_slots_agree_with_the_loadings(index):
    loadings = index.varm["X_vocabulary"]
    shares = loadings / loadings.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(index.var["component_proportion"], shares.max(axis=1), rtol=1e-5)
    assert index.var["component"].cat.codes.tolist() == loadings.argmax(axis=1).tolist()
    assert index.var["n_components"].tolist() == (loadings > 0).sum(axis=1).tolist()
    product = index.obsm["X_vocabulary"] @ loadings.T
    stored = index.uns["vocabulary"]
    assert stored["error"] == pytest.approx(np.linalg.norm(index.X.toarray() - product), rel=1e-5)
    assert stored["explained_variance"] == pytest.approx(1 - stored["error"] ** 2 / index.X.nnz)


def test_threads_storage_and_folder_change_nothing(index, tmp_path):
    for change in (
        {"n_jobs": 2},
        {"folder": tmp_path},
    ):
        other = sca.tl.vocabulary(index, n_components=4, progress=False, copy=True, **change)
        np.testing.assert_array_equal(other.obsm["X_vocabulary"], index.obsm["X_vocabulary"])
    for form in (sp.csc_matrix, lambda x: x.toarray().astype(float), lambda x: sp.csr_matrix(x) * 7):
        other = anndata.AnnData(form(index.X))
        sca.tl.vocabulary(other, n_components=4, progress=False)
        np.testing.assert_array_equal(other.obsm["X_vocabulary"], index.obsm["X_vocabulary"])


def test_a_backed_index_is_read_in_blocks(index, tmp_path):
    path = tmp_path / "index.h5ad"
    anndata.AnnData(index.X, obs=index.obs[["kind"]]).write_h5ad(path)
    backed = anndata.read_h5ad(path, backed="r")
    sca.tl.vocabulary(backed, n_components=4, progress=False)
    np.testing.assert_array_equal(backed.obsm["X_vocabulary"], index.obsm["X_vocabulary"])
    backed.file.close()


@pytest.mark.parametrize("step", [sca.tl.vocabulary, sca.tl.vocabulary_scan])
def test_a_gpu_whose_memory_is_too_small_is_explained(monkeypatch, step):
    torch = pytest.importorskip("torch")
    from scatacworks.models import _nmf
    from scatacworks.tl._vocabulary import _device

    def too_small(*_):
        message = "CUDA out of memory. Tried to allocate 20.00 GiB.\nGPU 0 has a total of …"
        raise torch.OutOfMemoryError(message)

    monkeypatch.setattr(_nmf, "_descend", too_small)  # the CPU stands in for the GPU
    monkeypatch.setattr("scatacworks.models._engine.pick_device", lambda _: torch.device("cpu"))
    monkeypatch.setattr(_device, "str", lambda _: "cuda:0", raising=False)
    index = planted()
    with pytest.raises(torch.OutOfMemoryError, match=r"'cuda:0' does not hold the loadings.* Give device='cpu'"):
        step(index, n_components=4 if step is sca.tl.vocabulary else [4], device="cuda:0", progress=False)
    assert list(index.uns) == []


def test_rows_and_columns_without_ones_have_no_component():
    index = planted()
    matrix = index.X.tolil()
    matrix[3], matrix[:, 5] = 0, 0
    index.X = matrix.tocsr()
    sca.tl.vocabulary(index, n_components=4, progress=False)
    assert pd.isna(index.obs["component"].iloc[3])
    assert pd.isna(index.var["component"].iloc[5])
    assert np.isfinite(index.obsm["X_vocabulary"]).all()


def test_components_beyond_the_rank_stay_empty(caplog):
    index = anndata.AnnData(np.kron(np.eye(2, dtype=int), np.ones((3, 4), int)))
    sca.tl.vocabulary(index, n_components=4, progress=False)
    assert (index.obsm["X_vocabulary"].sum(axis=0) > 0).sum() == 2
    assert "rank 2" in caplog.text


@pytest.mark.parametrize(
    ("matrix", "options", "match"),
    [
        (np.eye(3), {"n_components": 4}, "n_components is 4"),
        (-np.eye(3), {"n_components": 2}, "0 or more"),
        (np.zeros((3, 3)), {"n_components": 2}, "no non-zero"),
        (np.eye(3), {"n_components": 2, "init": "zero"}, "expected one of"),
        (np.eye(3), {"n_components": 2, "init": (np.ones((3, 2)), np.ones((2, 3)))}, "shapes"),
    ],
)
def test_impossible_matrices_are_refused(matrix, options, match):
    with pytest.raises(ValueError, match=match):
        sca.tl.vocabulary(anndata.AnnData(matrix), progress=False, **options)


def test_penalties_make_loadings_sparser():
    index, zeros = planted(fade=0.6), []
    for alpha in (0, 0.005, 0.02):
        sca.tl.vocabulary(index, n_components=6, alpha_H=alpha, l1_ratio=1, progress=False)
        zeros.append((index.varm["X_vocabulary"] == 0).mean())
    assert zeros[0] < zeros[1] < zeros[2]


def test_random_starts_depend_on_the_seed(index):
    runs = [
        sca.tl.vocabulary(index, n_components=4, init="random", seed=seed, progress=False, copy=True, max_iter=3)
        for seed in (1, 1, 2)
    ]
    first, again, other = (run.obsm["X_vocabulary"] for run in runs)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


# -- scan ------------------------------------------------------------------------------------------------------------


def test_published_scores_are_recomputed(shared_data):
    """F1, precision and recall at 0.35, F1 at 0.40, and the area, as recomputed from the published counts."""
    published = {
        4: (0.60400, 0.6974, 0.5327, 0.6559),
        8: (0.64649, 0.7079, 0.5949, 0.7107),
        10: (0.66148, 0.7149, 0.6155, 0.7278),
        12: (0.67296, 0.7168, 0.6342, 0.7418),
        14: (0.68557, 0.7217, 0.6529, 0.7562),
        15: (0.69085, 0.7232, 0.6613, 0.7623),
        16: (0.69619, 0.7255, 0.6692, 0.7683),
        17: (0.70069, 0.7277, 0.6757, 0.7736),
        20: (0.71135, 0.7337, 0.6903, 0.7866),
        28: (0.73138, 0.7389, 0.7240, 0.8153),
        36: (0.74555, 0.7449, 0.7462, 0.8341),
    }
    files = sorted((shared_data / "dhs_meuleman2020" / "total_pr").glob("k*.tsv"))
    tables = [pd.read_csv(file, sep="\t").assign(n_components=int(file.stem[1:])) for file in files]
    result = summarize(pd.concat(tables).rename(columns=str.lower), 0.35)
    summary = result["summary"].set_index("n_components")
    assert len(summary) == 17
    for k, (f1, precision, recall, auprc) in published.items():
        row = summary.loc[k]
        assert row["f1"] == pytest.approx(f1, abs=1e-5)
        assert row["precision"] == pytest.approx(precision, abs=1e-4)
        assert row["recall"] == pytest.approx(recall, abs=1e-4)
        assert row["auprc"] == pytest.approx(auprc, abs=1e-4)
    curve = result["curves"]
    np.testing.assert_allclose(curve["f1"], 2 * curve["tp"] / (2 * curve["tp"] + curve["fp"] + curve["fn"]), atol=1e-12)


def test_streamed_counts_equal_the_dense_product():
    index = planted(fade=0.5)
    sca.tl.vocabulary_scan(index, n_components=[2, 4], progress=False)
    sca.tl.vocabulary(index, n_components=4, progress=False)
    product = index.obsm["X_vocabulary"] @ index.varm["X_vocabulary"].T
    present = index.X.toarray() > 0
    curve = index.uns["vocabulary_scan"]["curves"].query("n_components == 4")
    for row in curve.itertuples():
        called = product > row.threshold
        assert row.tp == pytest.approx((called & present).sum(), abs=1)
        assert row.fp == pytest.approx((called & ~present).sum(), abs=1)
        assert row.tp + row.fp + row.tn + row.fn == present.size


def test_the_scan_sees_how_many_components_there_are():
    index = planted()
    sca.tl.vocabulary_scan(index, n_components=range(1, 8), progress=False)
    summary = index.uns["vocabulary_scan"]["summary"]
    gain = summary.set_index("n_components")["f1"].diff()
    assert gain[[2, 3, 4]].min() > 0.1
    assert gain[[5, 6, 7]].abs().max() < 0.01


@pytest.mark.parametrize(
    "options",
    [
        {"alpha_W": 0.002},
        {"alpha_H": 0.01, "l1_ratio": 1},
        {"alpha_W": 0.001, "alpha_H": 0.01, "l1_ratio": 0.5},
        {"init": "random", "max_iter": 3},
        {"init": "nndsvda", "max_iter": 3},
        {"dtype": "float64", "tol": 1e-9},
    ],
)
def test_a_scan_fits_as_the_vocabulary_does(options):
    index = planted(fade=0.5)
    sca.tl.vocabulary(index, n_components=4, progress=False, **options)
    sca.tl.vocabulary_scan(index, n_components=[4], progress=False, **options)
    found = index.uns["vocabulary_scan"]["summary"]["explained_variance"].to_list()
    assert found == [index.uns["vocabulary"]["explained_variance"]]
    product = index.obsm["X_vocabulary"] @ index.varm["X_vocabulary"].T
    curve = index.uns["vocabulary_scan"]["curves"]
    expected = [((product > threshold) & (index.X.toarray() > 0)).sum() for threshold in curve["threshold"]]
    np.testing.assert_allclose(curve["tp"], expected, atol=1)
    sca.tl.vocabulary(index, n_components=4, progress=False)
    assert found != [index.uns["vocabulary"]["explained_variance"]]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"alpha_W": -1}, "alpha_W is -1; expected a number of 0 or more"),
        ({"l1_ratio": 2}, "l1_ratio is 2; expected a number from 0 to 1"),
        ({"init": "svd"}, "init='svd' is unknown"),
        ({"dtype": "float16"}, "dtype='float16' is unknown"),
    ],
)
def test_a_scan_refuses_what_the_vocabulary_does(options, match):
    with pytest.raises(ValueError, match=match):
        sca.tl.vocabulary_scan(planted(), n_components=[4], progress=False, **options)


# -- labels ----------------------------------------------------------------------------------------------------------


def test_all_240_representative_samples(published):
    sca.tl.top_samples(published)
    table = published.uns["top_samples"]
    assert len(table) == 240
    labelled = published.obs["Vocabulary representative"].to_numpy()[table["sample"].astype(int)]
    assert (labelled == table["component"].astype(str)).sum() == 240


def test_without_the_winner_rule_fewer_agree(published):
    sca.tl.top_samples(published, winner_only=False)
    table = published.uns["top_samples"]
    labelled = published.obs["Vocabulary representative"].to_numpy()[table["sample"].astype(int)]
    assert (labelled == table["component"].astype(str)).sum() == 233


def test_systems_get_the_published_components(published):
    sca.tl.label_components(published, keys="System")
    labels = published.uns["component_labels"]
    best = labels[labels["best"]].set_index("category")["component"].astype(str).to_dict()
    assert best == BEST
    blood = labels[labels["category"] == "Hematopoietic"].set_index("component")["score"]
    assert blood["Lymphoid"] == pytest.approx(27.6, abs=0.05)
    assert blood["Myeloid / erythroid"] == pytest.approx(24.2, abs=0.05)


def test_tests_equal_scipy(index):
    sca.tl.label_components(index, keys="kind")
    labels = index.uns["component_labels"]
    loadings = index.obsm["X_vocabulary"]
    for row in labels.itertuples():
        inside = (index.obs["kind"] == row.category).to_numpy()
        column = loadings[:, int(row.component) - 1]
        expected = mannwhitneyu(column[inside], column[~inside], alternative="greater", method="asymptotic").pvalue
        assert row.p_value == pytest.approx(expected, rel=1e-9)
        assert row.score == pytest.approx(-np.log10((expected + 1e-30) * 16), rel=1e-9)


def test_labels_need_their_columns(index):
    with pytest.raises(KeyError, match="absent"):
        sca.tl.label_components(index, keys=["kind", "absent"])
    with pytest.raises(ValueError, match="keys is empty; name at least one column"):
        sca.tl.label_components(index, keys=[])
    empty = index.copy()
    empty.obs["nothing"] = ""
    with pytest.raises(ValueError, match="no category"):
        sca.tl.label_components(empty, keys="nothing")


@pytest.mark.parametrize(
    "values",
    [
        lambda n: np.linspace(0, 1, n),
        np.arange,
        lambda n: pd.array([*range(n - 1), None], dtype="Int64"),
        lambda n: np.array([*np.linspace(0, 1, n - 1), None], dtype=object),
    ],
    ids=["float", "int", "Int64", "object"],
)
def test_numbers_are_no_labels(index, values):
    index = index.copy()
    index.obs["depth"] = values(index.n_obs)
    with pytest.raises(ValueError, match=r"'depth'\] (is|looks like) a measurement.*astype\('category'\)"):
        sca.tl.label_components(index, keys=["kind", "depth"])
    assert "component_labels" not in index.uns or "depth" not in set(index.uns["component_labels"]["key"])


@pytest.mark.parametrize("kind", ["text", "category", "bool", "whole numbers"])
def test_numbers_given_as_labels_are_labels(index, kind):
    index = index.copy()
    half = np.arange(index.n_obs) % 2
    values = {"text": half.astype(str), "category": pd.Categorical(half), "bool": half == 1, "whole numbers": half}
    index.obs["cluster"] = values[kind]
    sca.tl.label_components(index, keys="cluster")
    assert index.uns["component_labels"]["category"].nunique() == 2


# -- projection --------------------------------------------------------------------------------------------------------


def test_projecting_the_samples_of_the_vocabulary_gives_their_loadings():
    index = planted(fade=0.7)
    sca.tl.vocabulary(index, n_components=4, tol=1e-8, max_iter=2000, progress=False)
    again = anndata.AnnData(index.X.copy(), var=index.var[[]])
    sca.tl.project_vocabulary(again, index, normalize=False)
    np.testing.assert_allclose(again.obsm["X_vocabulary"], index.obsm["X_vocabulary"], atol=1e-3)
    assert again.obs["component"].tolist() == index.obs["component"].tolist()


@pytest.mark.parametrize("method", ["nnls", "poisson"])
def test_thinned_samples_keep_their_component(index, method):
    rng = np.random.default_rng(0)
    thin = index.X.toarray() * (rng.random(index.shape) < 0.15)
    cells = anndata.AnnData(sp.csr_matrix(thin), var=index.var[[]])
    sca.tl.project_vocabulary(cells, index, method=method)
    assert (cells.obs["component"].to_numpy() == index.obs["component"].to_numpy()).mean() > 0.95
    np.testing.assert_allclose(cells.obsm["X_vocabulary"].sum(axis=1), 1)


def test_poisson_proportions_do_not_depend_on_depth(index):
    counts = sp.csr_matrix(index.X).astype(float)
    deep, shallow = (anndata.AnnData(counts * factor, var=index.var[[]]) for factor in (50, 1))
    for cells in (deep, shallow):
        sca.tl.project_vocabulary(cells, index, method="poisson", binarize=False)
    np.testing.assert_allclose(deep.obsm["X_vocabulary"], shallow.obsm["X_vocabulary"], atol=1e-9)


def test_cells_get_the_component_of_their_deep_pseudobulk(shared_data):
    """Blood: a vocabulary of 16 sorted populations, and pseudobulks of few and many bone-marrow cells."""
    folder = shared_data / "heme_scatac_peaks"
    cells = anndata.read_h5ad(folder / "bmmc_scatac_10k_peaks.h5ad")
    bulk = pd.read_csv(folder / "bulk_heme_signal_on_same_peaks.tsv.gz", sep="\t", index_col=0)
    present = sp.csr_matrix((bulk.to_numpy().T > 0).astype(np.uint8))
    reference = anndata.AnnData(present, var=pd.DataFrame(index=bulk.index))
    sca.tl.vocabulary(reference, n_components=6, progress=False)
    kind, rng = cells.obs["celltype"].astype(str), np.random.default_rng(0)
    kinds = [name for name, n in kind.value_counts().items() if n >= 200]

    def components(size: int | None) -> list[str]:
        rows = []
        for name in kinds:
            of = np.flatnonzero(kind == name)
            for _ in range(1 if size is None else 10):
                some = of if size is None else rng.choice(of, size, replace=False)
                rows.append(np.asarray(cells.X[some].sum(axis=0)).ravel())
        query = anndata.AnnData(sp.csr_matrix(np.array(rows, float)), var=reference.var[[]])
        sca.tl.project_vocabulary(query, reference, method="poisson")
        return query.obs["component"].astype(str).tolist()

    deep = np.repeat(components(None), 10)
    agreement = [(np.array(components(size)) == deep).mean() for size in (1, 10, 50, 200)]
    assert agreement[0] > 0.8
    assert agreement[1] > 0.9
    assert agreement[3] > 0.97


def test_missing_elements_are_left_out(index, caplog):
    part = anndata.AnnData(index.X[:, ::2].copy(), var=index.var.iloc[::2][[]])
    sca.tl.project_vocabulary(part, index)
    assert (part.obs["component"].to_numpy() == index.obs["component"].to_numpy()).mean() > 0.95
    assert "lacks 300 of 600" in caplog.text


def test_what_else_is_called_vocabulary_is_not_lost(index):
    samples = anndata.AnnData(index.X[:2].copy(), var=index.var[[]])
    samples.uns["vocabulary"] = words = {"words": 5}
    with pytest.raises(ValueError, match=r"\.uns\['vocabulary'\] holds something else .* key_added"):
        sca.tl.project_vocabulary(samples, index)
    assert not samples.obsm
    sca.tl.project_vocabulary(samples, index, key_added="X_mine")
    assert samples.uns["vocabulary"] is words


def test_projected_samples_keep_the_names_of_components_also_in_a_selection():
    reference = anndata.AnnData(np.kron(np.eye(2, dtype=int), np.ones((3, 4), int)))
    sca.tl.vocabulary(reference, n_components=2, progress=False)
    reference.uns["vocabulary"]["names"] = np.array(["Blood", "Brain"])
    samples = reference[:, :].copy()
    del samples.uns, samples.obs, samples.var
    sca.tl.project_vocabulary(samples, reference, progress=False)
    one_kind = samples[samples.obs["component"] == "Brain"].copy()
    sca.tl.top_samples(one_kind)
    assert one_kind.uns["top_samples"]["component"].tolist() == ["Brain"] * 3
    sca.tl.label_components(one_kind.copy(), keys="component")
    figure = sca.pl.component_bars(one_kind, show=False)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["Brain"]
    reference.uns["vocabulary"]["names"] = np.array(["B", "N"])
    sca.tl.project_vocabulary(samples, reference, progress=False)
    assert set(sca.tl.top_samples(samples, copy=True).uns["top_samples"]["component"]) == {"B", "N"}


def test_regions_are_projected_through_the_samples(index):
    reference = index.copy()
    reference.var["chrom"] = "chr1"
    reference.var["start"] = np.arange(index.n_vars) * 1000
    reference.var["end"] = reference.var["start"] + 200
    regions = reference.var.iloc[::3][["chrom", "start", "end"]] + np.array(["", 50, 250], dtype=object)
    regions.index = [f"r{i}" for i in range(len(regions))]
    cells = anndata.AnnData(index.X[:, ::3].copy(), var=regions)
    sca.tl.project_vocabulary(cells, reference)
    assert (cells.obs["component"].to_numpy() == index.obs["component"].to_numpy()).mean() > 0.95


def test_empty_cells_have_no_component(index):
    cells = anndata.AnnData(sp.csr_matrix((2, index.n_vars)), var=index.var[[]])
    for method in ("nnls", "poisson"):
        sca.tl.project_vocabulary(cells, index, method=method)
        assert cells.obs["component"].isna().all()
        assert (cells.obsm["X_vocabulary"] == 0).all()


def test_queries_that_share_nothing_are_refused(index):
    stranger = anndata.AnnData(np.ones((1, 3)), var=pd.DataFrame(index=["x", "y", "z"]))
    with pytest.raises(ValueError, match="coordinates"):
        sca.tl.project_vocabulary(stranger, index)
    with pytest.raises(KeyError, match=r"tl.vocabulary"):
        sca.tl.project_vocabulary(stranger, stranger)
    with pytest.raises(ValueError, match="share no element"):
        sca.tl.match_samples(stranger, index, layer=None)


# -- matching and saturation -------------------------------------------------------------------------------------------


def test_matching_equals_scikit_learn_and_finds_the_sample_itself(index):
    rng = np.random.default_rng(0)
    signal = np.round(index.X.toarray()[:6] * rng.random((6, index.n_vars)) + rng.random((6, index.n_vars)) / 2, 1)
    query = anndata.AnnData(signal, var=index.var[[]])
    sca.tl.match_samples(query, index, layer=None)
    areas = query.obsm["match_auprc"].to_numpy()
    expected = [[average_precision_score(sample, row) for sample in index.X.toarray()] for row in signal]
    np.testing.assert_allclose(areas, expected, atol=1e-12)
    assert query.obs["match"].astype(str).tolist() == index.obs_names[:6].tolist()


def test_reference_samples_of_one_name_are_refused(index):
    twice = index.copy()
    twice.obs_names = [index.obs_names[0], *index.obs_names[:-1]]
    with pytest.raises(ValueError, match=f"several samples of one name, such as {index.obs_names[0]!r}"):
        sca.tl.match_samples(index.copy(), twice, layer=None)


def test_what_has_no_signal_matches_no_sample(index):
    query = anndata.AnnData(np.vstack([np.zeros(index.n_vars), index.X.toarray()[2]]), var=index.var[[]])
    sca.tl.match_samples(query, index, layer=None)
    assert query.obs["match"].isna().tolist() == [True, False]
    assert query.obs["match"].iloc[1] == index.obs_names[2]
    assert np.isnan(query.obs["match_auprc"].iloc[0])


def test_matching_names_a_missing_layer(index):
    with pytest.raises(KeyError, match="no layer 'signal'"):
        sca.tl.match_samples(index, index)


def test_expected_new_elements_equal_the_mean_over_all_subsets():
    from itertools import combinations

    matrix = np.random.default_rng(3).random((6, 40)) < 0.3
    tally = np.bincount(matrix.sum(axis=0), minlength=7)
    for k, mean in enumerate(expected_new(tally), start=1):
        counts = [
            (matrix[one] & ~matrix[list(subset)].any(axis=0)).sum()
            for subset in combinations(range(6), k)
            for one in set(range(6)) - set(subset)
        ]
        assert mean == pytest.approx(np.mean(counts))


def test_sampled_saturation_is_close_to_the_exact_one():
    index = planted(fade=0.3)
    sca.tl.saturation(index, n_subsets=200, seed=1)
    stored = index.uns["saturation"]
    table = stored["table"]
    assert stored["total"][-1] == pytest.approx((index.X.sum(axis=0) > 0).sum())
    few = table[table["n_samples"] <= 10].dropna()
    np.testing.assert_allclose(few["median"], few["mean"], rtol=0.1)
    assert (few["min"] <= few["ci_low"]).all()
    assert (few["ci_high"] <= few["max"]).all()


def test_the_median_of_new_elements_lies_in_its_interval():
    rng = np.random.default_rng(0)
    frequency = rng.beta(0.15, 1.2, 2000)

    def samples(n):
        return rng.random((n, len(frequency))) < 1 - (1 - frequency) ** rng.lognormal(0, 0.7, (n, 1))

    new = [(drawn[-1] & ~drawn[:-1].any(axis=0)).sum() for drawn in (samples(7) for _ in range(1000))]
    inside = 0
    for _ in range(20):
        index = anndata.AnnData(samples(24).astype(np.uint8))
        sca.tl.saturation(index, sizes=[6], n_subsets=50, progress=False)
        row = index.uns["saturation"]["table"].set_index("n_samples").loc[6]
        inside += row["ci_low"] <= np.median(new) <= row["ci_high"]
    assert inside >= 18


def test_one_sample_has_no_saturation():
    with pytest.raises(ValueError, match="at least two"):
        sca.tl.saturation(anndata.AnnData(np.ones((1, 3))))


def test_meta_tracks_are_means_of_the_top_samples(index):
    genome = sca.Genome({"chr1": 5000}, name="toy")
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(index.n_obs):
        starts = np.sort(rng.choice(490, 20, replace=False)).astype(np.int32) * 10
        runs.append((starts, np.full(20, 10, np.int32), rng.random(20).astype(np.float32)))
    tracks = sca.Tracks.from_chromosomes(index.obs_names.tolist(), genome, [("chr1", runs)], fill=0.5)
    meta = sca.tl.meta_tracks(index, tracks, n=5)
    sca.tl.top_samples(index, n=5)
    for component, of in index.uns["top_samples"].groupby("component", observed=True):
        mean = np.mean([tracks.window(sample, "chr1", 0, 5000) for sample in of["sample"]], axis=0)
        np.testing.assert_allclose(meta.window(str(component), "chr1", 0, 5000), mean, atol=1e-6)
    partly = sca.Tracks.from_chromosomes(index.obs_names.tolist(), genome, [("chr1", runs)], fill=np.nan)
    with pytest.raises(ValueError, match="is known in some regions only"):
        sca.tl.meta_tracks(index, partly, n=5)


@pytest.fixture
def apart(peaks) -> tuple[anndata.AnnData, anndata.AnnData]:
    """Return two indexes made apart, with the same names for other places; the first has a vocabulary."""
    early = peaks["sample"] < "s06"
    reference, other = sca.tl.dhs_index(peaks[early]), sca.tl.dhs_index(peaks[~early])
    sca.tl.vocabulary(reference, n_components=3, progress=False)
    return reference, other


def test_names_of_an_index_made_apart_are_not_taken_for_its_elements(apart):
    reference, other = apart
    assert len(other.var_names.intersection(reference.var_names)) > other.n_vars / 2
    by_place = other.copy()
    by_place.var_names = [f"region {i}" for i in range(other.n_vars)]
    for query in (other, by_place):
        sca.tl.project_vocabulary(query, reference)
    np.testing.assert_array_equal(other.obsm["X_vocabulary"], by_place.obsm["X_vocabulary"])
    with pytest.raises(ValueError, match="share no element; use tl.presence"):
        sca.tl.match_samples(other, reference)


def test_regions_in_another_spelling_are_found(apart):
    reference, other = apart
    plain = other.copy()
    plain.var["chrom"] = plain.var["chrom"].astype(str).str.removeprefix("chr")
    for query in (other, plain):
        sca.tl.project_vocabulary(query, reference)
    np.testing.assert_array_equal(other.obsm["X_vocabulary"], plain.obsm["X_vocabulary"])


@pytest.mark.parametrize("function", [sca.tl.project_vocabulary, sca.tl.match_samples])
def test_a_query_of_another_genome_is_refused(peaks, function):
    reference, query = sca.tl.dhs_index(peaks, genome="hg19"), sca.tl.dhs_index(peaks, genome="hg38")
    sca.tl.vocabulary(reference, n_components=3, progress=False)
    with pytest.raises(ValueError, match="The query is of 'hg38'"):
        function(query, reference)


@pytest.mark.parametrize("size", [0, 12])
def test_saturation_refuses_sizes_that_leave_no_sample_or_none_out(peaks, size):
    with pytest.raises(ValueError, match=f"A size of subsets is {size}; expected a whole number from 1 to 11"):
        sca.tl.saturation(sca.tl.dhs_index(peaks), sizes=[1, size])


def test_rows_are_projected_part_by_part(index, monkeypatch, capsys):
    """So that an interrupt waits for one of them, and the bar moves."""
    from scatacworks.tl._vocabulary import _project

    rows = anndata.AnnData(index.X[np.arange(50) % index.n_obs], var=index.var[[]])
    whole = sca.tl.project_vocabulary(rows, index, method="poisson", progress=False, copy=True)
    assert capsys.readouterr().err == ""
    sizes = []
    poisson = _project.poisson
    monkeypatch.setattr(
        _project, "poisson", lambda indptr, *rest: sizes.append(len(indptr) - 1) or poisson(indptr, *rest)
    )
    monkeypatch.setattr(_project, "_PART", 8)
    sca.tl.project_vocabulary(rows, index, method="poisson", n_jobs=1)
    assert sizes == [8] * 6 + [2]
    np.testing.assert_array_equal(rows.obsm["X_vocabulary"], whole.obsm["X_vocabulary"])
    assert "0/50" in capsys.readouterr().err


def test_the_bar_of_saturation_counts_sizes(index, capsys):
    sca.tl.saturation(index, n_subsets=3, sizes=[1, 2, 5], progress=False)
    assert "saturation" not in capsys.readouterr().err
    sca.tl.saturation(index, n_subsets=3, sizes=[1, 2, 5])
    assert "0/3" in capsys.readouterr().err


def test_a_scan_starts_from_no_loadings():
    with pytest.raises(TypeError, match="init is a tuple; expected one of nndsvd"):
        sca.tl.vocabulary_scan(planted(), n_components=[4], init=(np.ones((4, 4)), np.ones((4, 4))), progress=False)


@pytest.mark.parametrize(
    "function",
    [
        sca.tl.saturation,
        lambda table: sca.tl.vocabulary_scan(table, n_components=[2]),
        lambda table: sca.tl.label_components(table, keys="system"),
        sca.get.components,
        sca.pl.component_bars,
        sca.pl.saturation,
    ],
)
def test_a_table_is_no_index(function):
    with pytest.raises(TypeError, match=r"DataFrame; expected the AnnData of tl\.dhs_index|Expected an AnnData, got"):
        function(pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [10], "system": ["a"]}))


@pytest.mark.parametrize("run", [sca.tl.vocabulary, sca.tl.vocabulary_scan])
def test_an_index_of_zeros_is_not_decomposed(run):
    with pytest.raises(ValueError, match="no non-zero value; there is nothing to decompose"):
        run(anndata.AnnData(sp.csr_matrix((3, 4), dtype=np.float32)), n_components=2, progress=False)
