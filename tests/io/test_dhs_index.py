"""The published table of the DHS index."""

from __future__ import annotations

import gzip

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.optimize import nnls

from scatacworks import Genome, Tracks, io, tl

HEADER = "seqname\tstart\tend\tidentifier\tmean_signal\tnumsamples\tsummit\tcore_start\tcore_end\tcomponent"
ROWS = [
    "chr1\t16140\t16200\t1.100160\t0.129388\t1\t16170\t16170\t16170\tTissue invariant",
    "chr1\t51868\t52040\t1.100480\t0.080034\t1\t51970\t51970\t51970\tLymphoid",
    "chrX\t57280\t57354\tX.10\t0.093\t733\t57350\t57350\t57350\tLymphoid",
]


def written(path, rows=ROWS, header=HEADER):
    text = "\n".join([header, *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["index.txt", "index.txt.gz"])
def test_columns_and_types(tmp_path, name):
    table = io.read_dhs_index(written(tmp_path / name))
    assert table["chrom"].astype(str).tolist() == ["chr1", "chr1", "chrX"]
    assert table["start"].tolist() == [16140, 51868, 57280]
    assert table["end"].dtype == "int32"
    assert table["n_samples"].tolist() == [1, 1, 733]
    # as numbers, 1.100160 and X.10 would lose their last zero
    assert table["identifier"].tolist() == ["1.100160", "1.100480", "X.10"]
    assert list(table["component"].cat.categories) == ["Lymphoid", "Tissue invariant"]


@pytest.mark.parametrize("missing", ["", "NA"])
def test_an_index_comes_back_from_the_published_columns_with_elements_that_have_no_core(tmp_path, missing):
    peaks = pd.DataFrame({"chrom": "chr1", "start": [100, 900], "end": [200, 990], "summit": [150, 1000]})
    var = tl.dhs_index(peaks.assign(sample="a", signal=1.5)).var
    assert var["core_start"].isna().tolist() == [False, True]  # a summit outside its peak
    path = tmp_path / "index.txt"
    columns = [name for name in HEADER.split("\t") if name != "component"]
    published = var.rename(columns={"chrom": "seqname", "n_samples": "numsamples"})[columns]
    published.to_csv(path, sep="\t", index=False, na_rep=missing)
    table = io.read_dhs_index(path)
    for name in table:
        assert table[name].astype("string").equals(var[name].astype("string").reset_index(drop=True))


def test_only_coordinates_and_counts_are_needed(tmp_path):
    path = written(tmp_path / "index.txt", ["chr2\t1\t9\t4"], "seqname\tstart\tend\tnumsamples")
    assert io.read_dhs_index(path).columns.tolist() == ["chrom", "start", "end", "n_samples"]


@pytest.mark.parametrize(
    ("rows", "line", "what"),
    [
        ([*ROWS[:1], ROWS[1].replace("51868", "52868")], 3, "start < end"),
        ([ROWS[0].replace("16140", "-5")], 2, "0 <= start"),
        ([ROWS[0].replace("\t1\t16170", "\t0\t16170")], 2, "n_samples is 0; expected a whole number of 1 or more"),
        ([*ROWS[:2], ROWS[2].replace("57280", "5e.1")], 4, "start is '5e.1'; expected a whole number"),
        ([*ROWS[:2], ROWS[2].replace("733", "7.5")], 4, "n_samples is 7.5; expected a whole number"),
        ([ROWS[0].replace("16170\tTissue", "far\tTissue")], 2, "core_end is 'far'; expected a whole number"),
    ],
)
def test_bad_rows_are_named(tmp_path, rows, line, what):
    path = written(tmp_path / "index.txt", rows)
    with pytest.raises(ValueError, match=rf"index.txt, line {line}: .*{what}"):
        io.read_dhs_index(path)


def test_missing_columns_are_named_as_in_the_file(tmp_path):
    with pytest.raises(ValueError, match="no column seqname, numsamples"):
        io.read_dhs_index(written(tmp_path / "index.txt", ["1\t2"], "start\tend"))


def test_damaged_and_missing_files(tmp_path):
    path = written(tmp_path / "index.txt.gz", ROWS * 100)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="is cut off or damaged"):
        io.read_dhs_index(path)
    with pytest.raises(FileNotFoundError, match="none.txt"):
        io.read_dhs_index(tmp_path / "none.txt")
    torn = written(tmp_path / "torn.txt", [*ROWS, "\t".join("123456789" * 4)])
    with pytest.raises(ValueError, match=r"torn.txt cannot be read as a table \(Error tokenizing data.* in line 5"):
        io.read_dhs_index(torn)


def test_a_number_that_no_position_can_be_is_told_and_not_wrapped(tmp_path):
    large = ROWS[1].split("\t")
    large[1:3] = str(2**32 + 1), str(2**32 + 100)
    with pytest.raises(ValueError, match="index.txt, line 3: start is 4294967297; expected a whole number below"):
        io.read_dhs_index(written(tmp_path / "index.txt", [ROWS[0], "\t".join(large)]))


def test_published_sample(shared_data):
    table = io.read_dhs_index(shared_data / "dhs_meuleman2020" / "dhs_sample_16k.tsv.gz")
    assert len(table) == 16_000
    assert table["n_samples"].max() <= 733
    assert table["component"].nunique() == 16


@pytest.fixture
def published(shared_data, tmp_path):
    """Real published elements in a table as the published one, and made-up loadings in which each has its component."""
    sample = pd.read_csv(shared_data / "dhs_meuleman2020" / "dhs_sample_16k.tsv.gz", sep="\t")
    sample = sample.sort_values(["seqname", "start", "end"], ignore_index=True).iloc[::4].reset_index(drop=True)
    n, rng = len(sample), np.random.default_rng(0)
    share = sample["proportion"].to_numpy()[:, None]
    loadings = rng.dirichlet(np.ones(15), n) * (1 - share)  # of the other 15 components
    loadings = np.where(loadings < 0.01, 0, np.minimum(loadings, 0.99 * share))
    own = sample["component"].to_numpy() - 1
    values = np.zeros((n, 16))
    values[np.arange(16) != own[:, None]] = loadings.ravel()
    values[np.arange(n), own] = share[:, 0]
    table = sample[["seqname", "start", "end", "summit", "numsamples"]].assign(
        identifier=[f"1.{at:05}0" for at in range(n)], mean_signal=1.0, component=[f"kind {chr(112 - k)}" for k in own]
    )
    table.to_csv(tmp_path / "index.txt.gz", sep="\t", index=False)
    values = 2 * values
    with gzip.open(tmp_path / "mixture.npy.gz", "wb") as handle:
        np.save(handle, values.T)
    return tmp_path, table, values


def test_published_loadings_make_an_index_that_new_samples_are_described_by(published, tmp_path):
    folder, table, values = published
    index = io.read_dhs_index(folder / "index.txt.gz", loadings=folder / "mixture.npy.gz")
    assert index.shape == (0, len(table))
    names = index.uns["vocabulary"]["names"].tolist()
    assert names == [f"kind {chr(112 - k)}" for k in range(16)]  # in the order of the loadings, not of the alphabet
    assert index.var["component"].astype(str).tolist() == table["component"].tolist()
    assert index.var_names.tolist() == index.var["identifier"].tolist() == table["identifier"].tolist()
    np.testing.assert_array_equal(index.varm["X_vocabulary"], values.astype(np.float32))
    share = values.max(axis=1) / values.sum(axis=1)
    np.testing.assert_allclose(index.var["component_proportion"], share, rtol=1e-6)
    assert index.var["n_components"].tolist() == (values > 0).sum(axis=1).tolist()
    index.write_h5ad(tmp_path / "index.h5ad")
    index = anndata.read_h5ad(tmp_path / "index.h5ad")
    peaks = io.read_dhs_index(folder / "index.txt.gz")[["chrom", "start", "end", "component"]]
    new = peaks[peaks["component"].isin(names[:3])].rename(columns={"component": "sample"})
    samples = tl.presence(index, new)
    tl.project_vocabulary(samples, index, progress=False)
    for row, sample in enumerate(samples.obs_names):
        present = samples.X[row].toarray()[0].astype(float)
        np.testing.assert_allclose(
            samples.obsm["X_vocabulary"][row] * samples.obs["vocabulary_scale"].iloc[row],
            nnls(values, present)[0],
            atol=1e-5,
        )
        assert samples.obs["component"].iloc[row] == sample
    regions = tl.annotate_regions(new.iloc[:50], index=index)
    assert regions["component"].tolist() == new["sample"].iloc[:50].tolist()


def test_an_index_without_samples_says_what_it_cannot_do(published):
    folder, table, _ = published
    index = io.read_dhs_index(folder / "index.txt.gz", loadings=folder / "mixture.npy.gz")
    genome = Genome("hg38")
    run = np.array([table["summit"][0]], np.int32), None, np.array([3], np.uint16)
    tracks = Tracks.from_chromosomes(["a"], genome, [(table["seqname"][0], [run])])
    with pytest.raises(ValueError, match="no samples to tell how many elements one has; give threshold="):
        tl.presence(index, signal=tracks)
    found = tl.presence(index, signal=tracks, threshold=3)
    assert found.X.toarray()[0, 0] == 1
    with pytest.raises(ValueError, match="The reference has no samples to match"):
        tl.match_samples(found, index)
    regions = anndata.AnnData(
        np.ones((1, 9)), var=index.var.iloc[:9][["chrom", "start", "end"]].set_axis(list("abcdefghi"))
    )
    with pytest.raises(ValueError, match=r"no samples through which .*tl\.presence\(reference, peaks\)"):
        tl.project_vocabulary(regions, index, progress=False)


def test_a_table_is_no_index(published):
    folder, _, _ = published
    table = io.read_dhs_index(folder / "index.txt.gz")
    what = r"is a DataFrame; expected the AnnData of tl.dhs_index, or of io.read_dhs_index with loadings="
    for call in (
        lambda: tl.presence(table, table),
        lambda: tl.extend_index(table, table),
        lambda: tl.annotate_regions(table, index=table),
        lambda: tl.project_vocabulary(anndata.AnnData(np.ones((1, 2))), table),
        lambda: tl.match_samples(anndata.AnnData(np.ones((1, 2))), table),
    ):
        with pytest.raises(TypeError, match=what):
            call()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda values: np.roll(values, 1, axis=1), r"not those of the elements of .*index\.txt\.gz"),
        (
            lambda values: np.hstack([values[:, 1:1500], values[:, :1], values[:, 1500:]]),
            "tells the component of [67].%",
        ),
        (lambda values: values[:, ::-1], "Expected the same elements in the same order"),
        (lambda values: values.T, r"of the shape \(4000, 16\); expected numbers, components x 4,000"),
        (lambda values: values[:, :-1], r"of the shape \(16, 3999\)"),
        (lambda values: -values, "expected finite loadings of 0 or more"),
        (lambda values: np.where(values == values.max(), np.nan, values), "expected finite loadings of 0 or more"),
        (lambda values: values.astype(str), "expected numbers"),
        (lambda values: values.astype(object), "is cut off, damaged or no array"),
    ],
)
def test_loadings_of_other_elements_are_refused(published, change, what):
    folder, _, values = published
    np.save(folder / "other.npy", change(values.T), allow_pickle=True)
    with pytest.raises(ValueError, match=what) as told:
        io.read_dhs_index(folder / "index.txt.gz", loadings=folder / "other.npy")
    assert "other.npy" in str(told.value)


def test_loadings_need_their_file_and_columns(published):
    folder, table, _ = published
    whole = (folder / "mixture.npy.gz").read_bytes()
    (folder / "torn.npy.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"torn\.npy\.gz is cut off, damaged or no array"):
        io.read_dhs_index(folder / "index.txt.gz", loadings=folder / "torn.npy.gz")
    with pytest.raises(FileNotFoundError, match=r"loadings of the elements .*none\.npy does not exist"):
        io.read_dhs_index(folder / "index.txt.gz", loadings=folder / "none.npy")
    for name in ("identifier", "component"):
        table.drop(columns=name).to_csv(folder / "fewer.txt", sep="\t", index=False)
        with pytest.raises(ValueError, match=rf"fewer\.txt has no column {name}; it is needed with loadings"):
            io.read_dhs_index(folder / "fewer.txt", loadings=folder / "mixture.npy.gz")


@pytest.mark.parametrize(
    ("column", "value", "what"),
    [
        ("component", "Rare", r"labels elements Rare, which is no component of .*mixture\.npy\.gz; it has kind"),
        ("identifier", "1.000010", "element 4: the identifier '1.000010' is missing or repeated"),
        ("identifier", None, "element 4: the identifier nan is missing or repeated"),
    ],
)
def test_labels_and_identifiers_that_would_be_lost_are_told(published, column, value, what):
    folder, table, _ = published
    table.loc[3, column] = value
    table.loc[1, "identifier"] = "1.000010"
    table.to_csv(folder / "other.txt", sep="\t", index=False)
    with pytest.raises(ValueError, match=what):
        io.read_dhs_index(folder / "other.txt", loadings=folder / "mixture.npy.gz")


def test_the_index_with_loadings_is_the_prior_that_its_table_is(published):
    folder, _, _ = published
    table = io.read_dhs_index(folder / "index.txt.gz")
    index = io.read_dhs_index(folder / "index.txt.gz", loadings=folder / "mixture.npy.gz")
    ours, theirs = (tl.prior(source, genome="hg38") for source in (index, table))
    size = Genome("hg38").length("chr1")
    np.testing.assert_array_equal(ours.fraction("chr1", 0, size), theirs.fraction("chr1", 0, size))
    assert ours.fraction("chr1", 0, size).max() > 0
