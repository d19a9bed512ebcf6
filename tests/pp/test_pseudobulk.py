from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import scatacworks as sca
from scatacworks import Genome
from scatacworks._core.pileup import run_length_coverage
from scatacworks._depth import depths
from scatacworks._membership import resolve_groups
from scatacworks.io._source import open_fragments
from scatacworks.tl._denoising._samples import depths_of
from scatacworks.tl._differential._source import read_groups

PAD = 1_000


@pytest.fixture
def windows(shared_data):
    """The windows that hold all the fragments, with some bases to both sides."""
    table = pd.read_csv(shared_data / "pbmc10k_windows" / "windows.bed", sep="\t", header=None).iloc[:, :3]
    return [(chrom, start - PAD, end + PAD) for chrom, start, end in table.itertuples(index=False)]


def by_window_and_type(pbmc, fragments, windows):
    """Start and end of the fragments, `(n, 2)`, per window and cell type."""
    types = fragments["barcode"].map(pbmc.obs["celltype"])
    out = {}
    for chrom, start, end in windows:
        near = (fragments["chrom"] == chrom) & fragments["start"].between(start, end)
        columns, own = fragments.loc[near, ["start", "end"]].to_numpy(), types[near].to_numpy()
        for celltype in pbmc.obs["celltype"].cat.categories:
            out[chrom, start, celltype] = columns[own == celltype]
    return out


def piled_in_loops(fragments, start, end, extend):
    """Coverage of `[start, end)`, fragment by fragment and cut site by cut site."""
    coverage = np.zeros(end - start, int)
    for left, right in fragments:
        for site in (left, right - 1):
            coverage[max(site - extend - start, 0) : max(site + extend + 1 - start, 0)] += 1
    return coverage


def test_every_cell_type_equals_a_double_loop_base_for_base(pbmc, pbmc_fragments, windows):
    sca.pp.pseudobulk(pbmc, "celltype", progress=False)
    tracks = sca.get.tracks(pbmc)
    grouped = by_window_and_type(pbmc, pbmc_fragments, windows)
    inside = np.zeros(len(tracks.groups))
    for chrom, start, end in windows:
        for group, celltype in enumerate(tracks.groups):
            own = grouped[chrom, start, celltype].tolist()
            for extend in (0, 100):
                shown = sca.get.track(pbmc, celltype, (chrom, start, end), extend=extend)
                np.testing.assert_array_equal(shown, piled_in_loops(own, start, end, extend))
            inside[group] += tracks.window(celltype, chrom, start, end).sum()
    assert inside.tolist() == tracks.sums().tolist(), "outside the windows there is nothing"


@pytest.mark.skipif(shutil.which("bedtools") is None, reason="bedtools is not installed")
def test_coverage_equals_bedtools_genomecov(pbmc, pbmc_fragments, windows, tmp_path):
    sca.pp.pseudobulk(pbmc, "celltype", progress=False)
    tracks = sca.get.tracks(pbmc)
    grouped = by_window_and_type(pbmc, pbmc_fragments, windows)
    (tmp_path / "sizes").write_text("".join(f"{i}\t{end - start}\n" for i, (_, start, end) in enumerate(windows)))
    for celltype in tracks.groups:
        lines, expected = [], set()
        for i, (chrom, start, end) in enumerate(windows):  # each window is a chromosome to bedtools
            own = grouped[chrom, start, celltype] - start
            sites = np.sort(np.concatenate([own[:, 0], own[:, 1] - 1]))
            lines += [f"{i}\t{site - 100}\t{site + 101}\n" for site in sites.tolist()]
            shifted, counts = tracks.sites(celltype, chrom, start, end)
            runs = run_length_coverage((shifted - start).astype(np.int32), counts, end - start, 100)
            expected |= {(str(i), str(at), str(at + size), str(value)) for at, size, value in zip(*runs, strict=True)}
        (tmp_path / "boxes.bed").write_text("".join(lines))
        command = ["bedtools", "genomecov", "-bg", "-i", tmp_path / "boxes.bed", "-g", tmp_path / "sizes"]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert {tuple(line.split("\t")) for line in out.splitlines()} == expected


def test_all_cut_sites_are_counted(pbmc, pbmc_fragments):
    sca.pp.pseudobulk(pbmc, "celltype", progress=False)
    stored = pbmc.uns["pseudobulk"]
    per_type = pbmc_fragments["barcode"].map(pbmc.obs["celltype"]).value_counts()
    groups = stored["cut_sites"]["groups"]
    assert stored["n_fragments"].tolist() == per_type[groups].tolist()
    assert stored["n_cells"].tolist() == pbmc.obs["celltype"].value_counts()[groups].tolist()
    assert sca.get.tracks(pbmc).sums().tolist() == (2 * stored["n_fragments"]).tolist()


def test_territory_of_windows_is_about_the_windows(pbmc):
    sca.pp.pseudobulk(pbmc, "celltype", progress=False)
    assert pbmc.uns["pseudobulk"]["params"]["territory_bp"] == pytest.approx(0.92e6, rel=0.05)


def test_groups_that_partition_the_cells_add_up_to_all(pbmc):
    pbmc.obs["half"] = np.where(np.arange(pbmc.n_obs) % 2, "odd", "even")
    pbmc.obs["all"] = "all"
    sca.pp.pseudobulk(pbmc, "half", progress=False)
    sca.pp.pseudobulk(pbmc, "all", key_added="whole", progress=False)
    assert_same_runs(sca.get.tracks(pbmc).sum_groups(name="all"), sca.get.tracks(pbmc, key="whole"))


def test_overlapping_groups_each_equal_the_group_alone(pbmc):
    rng = np.random.default_rng(0)
    members = rng.random((pbmc.n_obs, 3)) < (0.2, 0.5, 0.01)
    members[:5] = False
    pbmc.obsm["knn"] = sparse.csr_matrix(members.astype(float))
    sca.pp.pseudobulk(pbmc, "knn", progress=False)
    together = sca.get.tracks(pbmc)
    for group, own in zip(together.groups, members.T, strict=True):
        pbmc.obs["one"] = pd.Categorical(np.where(own, group, None))
        with pytest.warns(UserWarning, match="have no value"):
            sca.pp.pseudobulk(pbmc, "one", key_added="one", progress=False)
        assert_same_runs(together.select([group]), sca.get.tracks(pbmc, key="one"))


def test_group_order_and_selection_change_nothing(pbmc):
    sca.pp.pseudobulk(pbmc, "celltype", progress=False)
    some = ["pDCs", "NK", "cDCs"]
    sca.pp.pseudobulk(pbmc, "celltype", groups=some, key_added="some", progress=False)
    chosen = sca.get.tracks(pbmc, key="some")
    assert chosen.groups.tolist() == some
    assert_same_runs(sca.get.tracks(pbmc).select(some), chosen)


@pytest.mark.parametrize("form", ["plain", "gzip", "by barcode", "shuffled"])
def test_sorting_and_compression_change_nothing(pbmc, pbmc_fragments, tmp_path, form):
    sca.pp.pseudobulk(pbmc, "celltype", progress=False)
    table = pbmc_fragments
    if form == "by barcode":
        table = table.sort_values(["barcode", "start"])
    elif form == "shuffled":
        table = table.sample(frac=1, random_state=0)
    path = tmp_path / "fragments.tsv"
    table.to_csv(path, sep="\t", header=False, index=False)
    if form == "gzip":
        path.with_suffix(".tsv.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = path.with_suffix(".tsv.gz")
    other = pbmc.copy()
    other.uns["files"] = {"fragments": str(path)}
    sca.pp.pseudobulk(other, "celltype", progress=False)
    assert_same_runs(sca.get.tracks(pbmc), sca.get.tracks(other))
    assert pbmc.uns["pseudobulk"]["params"] == other.uns["pseudobulk"]["params"]


def test_fragments_kept_as_by_snapatac2_give_the_same(pbmc, pbmc_fragments):
    genome = Genome("hg38")
    column = genome.offsets[genome.resolve(pbmc_fragments["chrom"])] + pbmc_fragments["start"].to_numpy()
    row = pbmc.obs_names.get_indexer(pbmc_fragments["barcode"])
    size = (pbmc_fragments["end"] - pbmc_fragments["start"]).to_numpy()
    matrix = paired_matrix(row, column, size, pbmc.n_obs, genome)
    sca.pp.pseudobulk(pbmc, "celltype", progress=False)
    uns = {"reference_sequences": genome.to_frame()}
    other = ad.AnnData(obs=pbmc.obs.copy(), uns=uns, obsm={"fragment_paired": matrix})
    sca.pp.pseudobulk(other, "celltype", progress=False)
    assert_same_runs(sca.get.tracks(pbmc), sca.get.tracks(other))


def paired_matrix(row, column, size, n_cells, genome):
    """Cells x genome with the length of each fragment at its start; repeated starts are entries of their own."""
    order = np.lexsort((column, row))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=n_cells))])
    shape = (n_cells, int(genome.offsets[-1]))
    return sparse.csr_matrix((size[order].astype(np.uint32), column[order], indptr), shape=shape)


def assert_same_runs(one, other):
    assert one.groups.tolist() == other.groups.tolist()
    assert one.indptr.tolist() == other.indptr.tolist()
    np.testing.assert_array_equal(one.starts[:], other.starts[:])
    np.testing.assert_array_equal(one.values[:], other.values[:])


# small, hand-made ----------------------------------------------------------------------------------------------------

GENOME = Genome({"chr1": 1_000, "chr2": 500}, name="toy")


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "fragments.tsv"
    path.write_text("chr1\t0\t50\tA\t3\nchr1\t900\t1000\tB\t1\nchr2\t10\t20\tA\t1\n")
    obs = pd.DataFrame({"type": ["x/y ü", "z"], "n": [1.0, 2.0]}, index=["A", "B"])
    return ad.AnnData(obs=obs, uns={"files": {"fragments": str(path)}, "reference_sequences": GENOME.to_frame()})


def test_first_and_last_base_of_a_chromosome(toy):
    sca.pp.pseudobulk(toy, "type", progress=False)
    tracks = sca.get.tracks(toy)
    assert tracks.runs("x/y ü", "chr1")[0].tolist() == [0, 49]
    assert tracks.runs("z", "chr1")[0].tolist() == [900, 999]
    assert sca.get.track(toy, "z", "chr1", extend=3)[-5:].tolist() == [0, 1, 1, 1, 1]
    assert sca.get.track(toy, "x/y ü", "chr1", extend=0)[:2].tolist() == [1, 0], "column 5 is no multiplier"


def test_the_digest_is_of_cut_sites_and_of_the_names_of_groups(toy):
    def digest() -> str:
        sca.pp.pseudobulk(toy, "type", progress=False)
        return toy.uns["pseudobulk"]["params"]["digest"]

    before = digest()
    assert digest() == before
    toy.obs["type"] = pd.Categorical(["z", "x/y ü"], categories=["z", "x/y ü"])  # the names are swapped
    assert digest() != before


def test_the_atacworks_convention_moves_both_sites_and_loses_none(toy):
    sca.pp.pseudobulk(toy, "type", convention="atacworks", progress=False)
    tracks = sca.get.tracks(toy)
    assert tracks.runs("x/y ü", "chr1")[0].tolist() == [1, 51]
    assert tracks.runs("z", "chr1")[0].tolist() == [901, 999]
    assert tracks.sums().tolist() == [4, 2]


def test_a_group_without_cells_or_fragments_warns_and_is_empty(toy):
    obs = pd.DataFrame({"type": pd.Categorical(["a", "a", "b"], ["a", "b", "c"])}, index=["A", "B", "unseen"])
    adata = ad.AnnData(obs=obs, uns=toy.uns)
    with pytest.warns(UserWarning, match="2 group.* no fragments.*: b, c"), pytest.warns(match="1 of 3 cells have no"):
        sca.pp.pseudobulk(adata, "type", progress=False)
    assert adata.uns["pseudobulk"]["n_cells"].tolist() == [2, 1, 0]
    for group in "bc":
        assert not sca.get.track(adata, group, "chr1").any()


def test_missing_values_leave_cells_out_and_are_counted(toy):
    toy.obs["type"] = ["x", np.nan]
    with pytest.warns(UserWarning, match="1 of 2 cells have no value"):
        sca.pp.pseudobulk(toy, "type", progress=False)
    assert sca.get.tracks(toy).groups.tolist() == ["x"]


def test_small_groups_are_left_out_on_request(toy):
    toy.obsm["sets"] = pd.DataFrame({"both": [1, 1], "one": [0, 1]}, index=toy.obs_names)
    with pytest.warns(UserWarning, match="min_cells=2.*'one' \\(1\\)"):
        sca.pp.pseudobulk(toy, "sets", min_cells=2, progress=False)
    assert sca.get.tracks(toy).groups.tolist() == ["both"]


def test_a_store_holds_the_same_and_survives_h5ad(toy, tmp_path):
    sca.pp.pseudobulk(toy, "type", key_added="memory", progress=False)
    sca.pp.pseudobulk(toy, "type", path=tmp_path / "sites.zarr", progress=False)
    toy.write_h5ad(tmp_path / "toy.h5ad")
    back = ad.read_h5ad(tmp_path / "toy.h5ad")
    for adata in (toy, back):
        assert_same_runs(sca.get.tracks(adata, key="memory"), sca.get.tracks(adata))
        np.testing.assert_array_equal(sca.get.track(adata, "z", "chr1"), sca.get.track(toy, "z", "chr1", key="memory"))
    assert back.uns["pseudobulk"]["n_fragments"].tolist() == [2, 1]
    shutil.rmtree(tmp_path / "sites.zarr")
    with pytest.raises(FileNotFoundError, match="is gone"):
        sca.get.tracks(back)


def test_a_folder_of_something_else_is_not_overwritten(toy, tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "precious.txt").write_text("!")
    with pytest.raises(FileExistsError, match="results is a folder with something else in it"):
        sca.pp.pseudobulk(toy, "type", path=tmp_path / "results", progress=False)
    assert (tmp_path / "results" / "precious.txt").exists()


def test_a_store_that_another_slot_or_object_shows_is_not_taken_for_its_own(toy, tmp_path):
    toy.uns["samples"] = pd.DataFrame({"path": ["a.tsv.gz", "b.tsv.gz"]})  # shows no store
    sca.pp.pseudobulk(toy, "type", path=tmp_path / "sites.zarr", progress=False)
    with pytest.raises(ValueError, match=r"holds the result in \.uns\['pseudobulk'\]"):
        sca.pp.pseudobulk(toy, "type", path=tmp_path / "sites.zarr", key_added="other", progress=False)
    before = toy.copy()
    sca.pp.pseudobulk(toy, "type", groups=["z"], path=tmp_path / "sites.zarr", progress=False)
    assert sca.get.tracks(toy).groups.tolist() == ["z"]
    with pytest.raises(ValueError, match=r"sites.zarr of \.uns\['pseudobulk'\] was replaced .* other groups, z;"):
        sca.get.tracks(before)


def test_copy_leaves_the_input_alone_and_a_view_its_parent(toy):
    changed = sca.pp.pseudobulk(toy, "type", copy=True, progress=False)
    assert "pseudobulk" not in toy.uns
    assert "pseudobulk" in changed.uns
    view = toy[["A"]]
    sca.pp.pseudobulk(view, "type", progress=False)
    assert "pseudobulk" not in toy.uns
    assert sca.get.tracks(view).groups.tolist() == ["x/y ü"]


def test_a_mudata_gets_the_result_in_its_modality(toy, mudata):
    data = mudata.MuData({"atac": toy})
    sca.pp.pseudobulk(data, "type", progress=False)
    assert sca.get.track(data, "z", "chr1", extend=0).sum() == 2
    assert "pseudobulk" in data.mod["atac"].uns


def test_joint_clusters_of_a_mudata_are_taken(toy, mudata):
    rna = ad.AnnData(obs=pd.DataFrame(index=toy.obs_names[::-1]))
    data = mudata.MuData({"atac": toy, "rna": rna})
    data.obs["joint"] = pd.Series({"A": "p", "B": "q"})
    sca.pp.pseudobulk(data, "joint", progress=False)
    assert sca.get.tracks(data).groups.tolist() == ["p", "q"]
    assert toy.obs["joint"].to_dict() == {"A": "p", "B": "q"}
    sca.pp.subsample(data, n_cells=1, groupby="joint")
    assert data.mod["atac"].uns["subsample"]["groups"].tolist() == ["p", "q"]


def test_joint_clusters_are_not_mistaken_for_those_of_the_modality(toy, mudata):
    toy.obs["cluster"] = pd.Categorical(["0", "1"])
    data = mudata.MuData({"atac": toy})
    data.obs["cluster"] = pd.Series({"A": 0, "B": 1})
    sca.pp.pseudobulk(data, "cluster", progress=False)  # the same groups
    data.obs["cluster"] = pd.Series({"A": 1, "B": None})
    with pytest.raises(ValueError, match=r"'cluster'\] of the MuData and of its modality differ in 2 of .*2 cells"):
        sca.pp.pseudobulk(data, "cluster", progress=False)


def test_clusters_of_another_modality_are_taken(toy, mudata):
    rna = ad.AnnData(obs=pd.DataFrame({"leiden": pd.Categorical(["1", "0"])}, index=toy.obs_names[::-1]))
    data = mudata.MuData({"atac": toy, "rna": rna})
    with pytest.raises(KeyError, match="'leiden' is a column of another modality's .obs only; name it 'rna:leiden'"):
        sca.pp.pseudobulk(data, "leiden", progress=False)
    for own in (["0", "1"], ["5", "0"]):  # clustered again, there is no earlier copy left
        data.mod["rna"].obs["leiden"] = pd.Categorical(own[::-1])
        sca.pp.pseudobulk(data, "rna:leiden", progress=False)
        assert toy.obs["rna:leiden"].tolist() == own
        assert sca.get.tracks(data).groups.tolist() == sorted(own)
    with pytest.raises(KeyError, match="'rna:louvain' is neither a column of .obs"):
        sca.pp.pseudobulk(data, "rna:louvain", progress=False)


def test_copies_that_mudata_makes_of_columns_are_not_taken_when_they_are_old(toy, mudata):
    rna = ad.AnnData(obs=pd.DataFrame({"leiden": ["0", "1"]}, index=toy.obs_names))
    data = mudata.MuData({"atac": toy, "rna": rna})
    data.obs["rna:leiden"] = data.mod["rna"].obs["leiden"]  # as its older versions do on every update
    data.mod["rna"].obs["leiden"] = ["5", "6"]
    sca.pp.pseudobulk(data, "rna:leiden", progress=False)
    assert sca.get.tracks(data).groups.tolist() == ["5", "6"]


def test_nothing_in_any_group_is_refused_and_leaves_no_store(toy, tmp_path):
    toy.obsm["none"] = sparse.csr_matrix((2, 3))
    with pytest.raises(ValueError, match="No fragment belongs to any group"):
        sca.pp.pseudobulk(toy, "none", path=tmp_path / "sites.zarr", progress=False)
    assert not (tmp_path / "sites.zarr").exists()


def test_a_membership_that_leads_out_of_itself_is_refused(toy):
    toy.obsm["both"] = sparse.csr_matrix(np.ones((2, 3)))
    toy.obsm["both"].indices[0] = 3
    with pytest.raises(ValueError, match=r"obsm\['both'\] is damaged: indices must be from 0 to 2"):
        sca.pp.pseudobulk(toy, "both", progress=False)


def test_an_embedding_is_no_membership(toy):
    toy.obsm["X_pca"] = np.array([[0.5, -1.0, 2.0], [1.0, 1.0, 0.0]])
    with pytest.raises(ValueError, match=r"obsm\['X_pca'\] has negative entries, as an embedding has"):
        sca.pp.pseudobulk(toy, "X_pca", progress=False)


def test_an_object_without_cells_is_told(toy):
    with pytest.raises(ValueError, match="leaves no group: the object has no cells"):
        sca.pp.pseudobulk(toy[:0].copy(), "type", progress=False)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"groupby": "typo"}, KeyError, "neither a column of .obs \\(type, n\\)"),
        ({"groupby": "type", "groups": ["q"]}, KeyError, "has no group 'q'; it has 'x/y ü', 'z'"),
        ({"groupby": "type", "convention": "tn5"}, ValueError, "expected '10x' or 'atacworks'"),
    ],
)
def test_wrong_arguments_are_named(toy, arguments, error, message):
    with pytest.raises(error, match=message):
        sca.pp.pseudobulk(toy, **arguments)


def test_depth_is_cut_sites_per_reference_genome(pbmc):
    sca.pp.pseudobulk(pbmc, "celltype", progress=False)
    territory_bp = pbmc.uns["pseudobulk"]["params"]["territory_bp"]
    expected = 2 * pbmc.uns["pseudobulk"]["n_fragments"] * 3.1e9 / territory_bp
    np.testing.assert_allclose(depths(pbmc), expected)
    del pbmc.uns["pseudobulk"]["params"]["territory_bp"]
    assert (depths(pbmc) < expected / 1_000).all(), "without an estimate, the genome is taken"


@pytest.fixture
def two_samples(tmp_path):
    """Two fragment files that share a barcode, and the cells of both."""
    lines = {"A": ["chr1\t10\t60\tAAAC-1", "chr1\t20\t90\tTTTG-1"], "B": ["chr1\t30\t70\tAAAC-1"]}
    files = {sample: tmp_path / f"{sample}.tsv" for sample in lines}
    for sample, file in files.items():
        file.write_text("\n".join(lines[sample]) + "\n")
    obs = pd.DataFrame({"sample": ["A", "A", "B"]}, index=["AAAC-1", "TTTG-1", "AAAC-2"])
    adata = ad.AnnData(obs=obs)
    adata.uns["reference_sequences"] = Genome({"chr1": 1_000}).to_frame()
    return adata, {sample: str(file) for sample, file in files.items()}


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_cells_of_one_name_are_refused(two_samples):
    adata, files = two_samples
    adata.uns["files"] = {"fragments": files["A"]}
    adata.obs_names = ["AAAC-1", "TTTG-1", "AAAC-1"]
    with pytest.raises(ValueError, match="1 of 3 cells have the name of another one, such as 'AAAC-1'.*sample:AAAC-1"):
        sca.pp.pseudobulk(adata, "sample", progress=False)
    adata.uns["files"] = {"fragments": files}
    adata.obs_names = ["A:AAAC-1", "TTTG-1_A", "B#AAAC-1"]
    sca.pp.pseudobulk(adata, "sample", progress=False)
    assert adata.uns["pseudobulk"]["n_fragments"].tolist() == [2, 1]
    adata.obs_names = ["A:AAAC-1", "A#AAAC-1", "B#AAAC-1"]
    with pytest.raises(ValueError, match="'A:AAAC-1' and 'A#AAAC-1' are both 'AAAC-1' of the sample 'A'"):
        sca.pp.pseudobulk(adata, "sample", progress=False)


def test_cells_without_a_fragment_are_told(two_samples):
    adata, files = two_samples
    adata.uns["files"] = {"fragments": files["A"]}  # the second sample's is forgotten
    with (
        pytest.warns(UserWarning, match="1 of 3 cells have no fragment. Are all their samples in"),
        pytest.warns(UserWarning, match="1 group"),
    ):
        sca.pp.pseudobulk(adata, "sample", progress=False)


def test_mitochondria_do_not_count_as_depth(tmp_path):
    """Of two groups with the same nuclear fragments, one has as many mitochondrial ones again."""
    rng = np.random.default_rng(0)
    lines = [f"{c}\t{s}\t{s + 50}\t{b}" for b in "ab" for c in ("chr1", "chr2") for s in rng.integers(0, 90_000, 200)]
    nuclear, with_mito = tmp_path / "nuclear.tsv", tmp_path / "with_mito.tsv"
    nuclear.write_text("\n".join(lines) + "\n")
    with_mito.write_text("\n".join([*lines, *(f"chrM\t{s}\t{s + 50}\tb" for s in rng.integers(0, 900, 400))]) + "\n")
    found = {}
    for file in (nuclear, with_mito):
        adata = ad.AnnData(obs=pd.DataFrame({"type": ["a", "b"]}, index=["a", "b"]))
        adata.uns["reference_sequences"] = Genome({"chr1": 100_000, "chr2": 100_000, "chrM": 1_000}).to_frame()
        adata.uns["files"] = {"fragments": str(file)}
        sca.pp.pseudobulk(adata, "type", progress=False)
        groups = read_groups(
            resolve_groups(adata, "type"), open_fragments(adata), None, 0, convention="10x", key="type", n_jobs=1
        )
        sites = sca.get.tracks(adata)
        found[file] = depths(adata), groups.depth, [groups.pooled_depth], depths_of(sites, "", sites.groups)
    assert sites.sums().tolist() == [800, 1600], "what is counted stays everything"
    for without, with_ in zip(found[nuclear], found[with_mito], strict=True):
        np.testing.assert_array_equal(without, with_)
    assert found[nuclear][0] == pytest.approx(np.full(2, 3.1e9 * 800 / 1.8e5), rel=0.01)  # starts up to 90 kb


def test_a_file_of_cut_sites_is_warned_of(two_samples):
    adata, files = two_samples
    lines = [f"chr1\t{at}\t{at + 1}\t{cell}\n" for at in (10, 50, 90) for cell in adata.obs_names]
    Path(files["A"]).write_text("".join(lines))
    adata.uns["files"] = {"fragments": files["A"]}
    with pytest.warns(
        UserWarning, match=r"Most fragments are one base.*\.uns\['pseudobulk'\]\['cut_sites'\]\['values'\] //="
    ):
        sca.pp.pseudobulk(adata, "sample", progress=False)
    adata.uns["pseudobulk"]["cut_sites"]["values"] //= 2
    assert sca.get.tracks(adata).sums().tolist() == adata.uns["pseudobulk"]["n_fragments"].tolist() == [6, 3]


def test_a_list_of_columns_is_refused():
    adata = ad.AnnData(obs=pd.DataFrame({"kind": ["B"]}, index=["cell"]))
    with pytest.raises(TypeError, match=r"groupby is \['kind'\]; expected the name of one column"):
        resolve_groups(adata, ["kind"])
    with pytest.raises(TypeError, match=r"groupby is a Series; expected"):
        resolve_groups(adata, pd.Series(["B"] * 99, name="kind"))
    with pytest.raises(TypeError, match=r"groupby is a list; expected"):
        resolve_groups(adata, [adata.obs["kind"], adata.obs["kind"]])


def test_several_columns_are_joined_as_the_error_says():
    obs = {"donor": ["a", "b", "b"], "kind": pd.Categorical(["T", "B", None]), "batch": [1, 2, 2]}
    adata = ad.AnnData(obs=pd.DataFrame(obs, index=["x", "y", "z"]))
    with pytest.raises(TypeError, match=r"Join the columns to one: ") as told:
        resolve_groups(adata, ["donor", "kind", "batch"])
    exec(str(told.value).split("to one: ")[1].removesuffix("."), {"adata": adata})
    with pytest.warns(UserWarning, match="1 of 3 cells have no value"):
        assert resolve_groups(adata, "group").groups.tolist() == ["a T 1", "b B 2"]


def test_names_of_the_groups_stand_beside_their_numbers(two_samples, tmp_path):
    adata, files = two_samples
    adata.uns["files"] = {"fragments": files["A"]}
    adata = adata[:2].copy()
    adata.obs["odd"] = ["T", "a/b ü"]
    for path in (None, tmp_path / "sites"):
        sca.pp.pseudobulk(adata, "odd", groups=["a/b ü", "T"], path=path, progress=False)
        slot = adata.uns["pseudobulk"]
        assert slot["groups"].tolist() == sca.get.tracks(adata).groups.tolist() == ["a/b ü", "T"]
        assert len(slot["n_cells"]) == len(slot["n_fragments"]) == 2


def test_what_is_backed_by_a_file_is_not_copied(two_samples, tmp_path):
    adata, files = two_samples
    adata.uns["files"] = {"fragments": files["A"]}
    adata[:2].copy().write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    with pytest.raises(ValueError, match=r"copy=True .* backed by a file: give adata.to_memory\(\)"):
        sca.pp.pseudobulk(backed, "sample", progress=False, copy=True)
    with pytest.raises(ValueError, match=r"view .* backed by a file .* view.to_memory\(\)"):
        sca.pp.pseudobulk(backed[:1], "sample", progress=False)
    sca.pp.pseudobulk(backed, "sample", progress=False)
    assert sca.get.tracks(backed).sums().sum() > 0
    backed.file.close()


@pytest.mark.filterwarnings("ignore:.*have no fragment")
def test_digests_tell_chromosomes_and_groups_apart(tmp_path):
    digests = set()
    for i, (chrom, cells) in enumerate([("chr1", "aa"), ("chr2", "aa"), ("chr1", "ab"), ("chr1", "ba")]):
        path = tmp_path / f"{i}.tsv"
        path.write_text("".join(f"{chrom}\t{10 + 50 * j}\t{40 + 50 * j}\t{name}\t1\n" for j, name in enumerate(cells)))
        adata = ad.AnnData(obs=pd.DataFrame({"type": ["A", "B"]}, index=["a", "b"]))
        adata.uns["files"] = {"fragments": str(path)}
        adata.uns["reference_sequences"] = sca.Genome({"chr1": 1_000, "chr2": 1_000}).to_frame()
        sca.pp.pseudobulk(adata, "type", progress=False)
        digests.add(adata.uns["pseudobulk"]["params"]["digest"])
    assert len(digests) == 4
