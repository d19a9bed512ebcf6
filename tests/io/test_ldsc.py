import gzip
import os
import subprocess
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

from scatacworks.io import read_ldsc, write_ldsc


@pytest.fixture
def index():
    rng = np.random.default_rng(0)
    start = rng.integers(0, 50_000, 120)
    var = pd.DataFrame(
        {"chrom": rng.choice(["chr21", "chr22"], 120), "start": start, "end": start + rng.integers(50, 400, 120)}
    )
    var["core_start"], var["core_end"] = var["start"] + 10, var["end"] - 10
    var["component"] = pd.Categorical(rng.choice(["Primitive/embryonic", "Stromal A", "Stromal_A"], 120))
    var.index = var.index.astype(str)
    return anndata.AnnData(np.ones((1, 120), np.float32), var=var)


@pytest.fixture
def bim(tmp_path):
    rng = np.random.default_rng(1)
    for chrom in (21, 22):
        position = np.sort(rng.integers(1, 50_000, 500))
        rows = (f"{chrom}\trs{chrom}_{i}\t0.0\t{p}\tA\tG" for i, p in enumerate(position))
        (tmp_path / f"ref.{chrom}.bim").write_text("\n".join(rows) + "\n")
    return str(tmp_path / "ref.@.bim")


def test_order_schema_and_membership_equal_brute_force(index, bim, tmp_path, monkeypatch):
    monkeypatch.setattr("os.linesep", "\r\n")  # as on Windows
    write = Path.write_text
    monkeypatch.setattr(Path, "write_text", lambda path, text, encoding="cp1252": write(path, text, encoding))
    paths = write_ldsc(index, tmp_path / "Łódź", bim=bim, genome="hg19")
    names = pd.read_csv(paths["names"], sep="\t").set_index("label")["name"]
    assert names.tolist() == ["Primitive_embryonic", "Stromal_A", "Stromal_A_2"]
    for chrom in (21, 22):
        snps = pd.read_csv(bim.replace("@", str(chrom)), sep="\t", header=None)
        full = pd.read_csv(f"{paths['full']}.{chrom}.annot.gz", sep="\t")
        thin = pd.read_csv(f"{paths['thin']}.{chrom}.annot.gz", sep="\t")
        assert list(full.columns) == ["CHR", "BP", "SNP", "CM", *names]
        assert full["SNP"].tolist() == snps[1].tolist()
        pd.testing.assert_frame_equal(full.iloc[:, 4:], thin)
        for label, name in names.items():
            rows = index.var[(index.var["chrom"] == f"chr{chrom}") & (index.var["component"] == label)]
            expected = [int(((rows["start"] <= bp - 1) & (rows["end"] > bp - 1)).any()) for bp in snps[3]]
            assert full[name].tolist() == expected
            single = pd.read_csv(f"{paths['cts']}.{name}.{chrom}.annot.gz", sep="\t")
            assert single[name].tolist() == expected
        control = pd.read_csv(f"{paths['cts']}.all_elements.{chrom}.annot.gz", sep="\t")
        assert control["all_elements"].tolist() == thin.max(axis=1).tolist()
    lines = [line.split("\t") for line in paths["ldcts"].read_text("utf-8").splitlines()]
    assert [line[0] for line in lines] == names.tolist()
    assert all(line[1].split(",")[1].endswith("all_elements.") for line in lines)
    bed = pd.read_csv(paths["bed"] / "Stromal_A_2.bed", sep="\t", header=None)
    assert (bed[1].diff()[bed[0].eq(bed[0].shift())] > 0).all()
    assert b"\r" not in (paths["bed"] / "Stromal_A_2.bed").read_bytes()
    assert b"\r" not in gzip.decompress(Path(f"{paths['full']}.21.annot.gz").read_bytes())


def test_files_of_labels_that_differ_in_case_are_apart_on_every_system(index, bim, tmp_path):
    labels = ["NK", "nk", "none", "All elements"]
    index.var["component"] = pd.Categorical(np.resize(["All elements", "nk", "NK"], 120), categories=labels)
    paths = write_ldsc(index, tmp_path / "out", bim=bim)
    names = pd.read_csv(paths["names"], sep="\t")[["label", "name"]].to_numpy().tolist()
    assert names == [["NK", "NK"], ["nk", "nk_2"], ["All elements", "All_elements_2"]], "in the order of the categories"


def test_columns_of_an_index_without_overlaps_are_not_collinear(index, bim, tmp_path):
    var = index.var.sort_values(["chrom", "start"])
    previous_end = var.groupby("chrom")["end"].transform(lambda ends: ends.cummax().shift())
    apart = index[:, var.index[~(var["start"] < previous_end)]]
    paths = write_ldsc(apart, tmp_path / "out", bim=bim)
    thin = pd.concat([pd.read_csv(f"{paths['thin']}.{chrom}.annot.gz", sep="\t") for chrom in (21, 22)])
    assert np.linalg.cond(thin.to_numpy()) < 1e5  # ldsc gives up above it


def test_cores(index, bim, tmp_path):
    index.var.loc["0", "core_start"] = np.nan
    paths = write_ldsc(index, tmp_path / "out", bim=bim, core=True)
    whole = write_ldsc(index, tmp_path / "whole", bim=bim)
    core, all_ = (pd.read_csv(f"{p['thin']}.22.annot.gz", sep="\t").to_numpy().sum() for p in (paths, whole))
    assert 0 < core < all_


def test_both_ends_of_a_core_are_in_it(tmp_path):
    var = pd.DataFrame({"chrom": "chr1", "start": [100, 300], "end": [200, 400], "component": "A"}, index=["a", "b"])
    var["core_start"], var["core_end"] = [140, 350], [150, 350]  # the second from a single peak
    (tmp_path / "ref.bim").write_text("".join(f"1\trs{p}\t0.0\t{p + 1}\tA\tG\n" for p in range(500)))
    index = anndata.AnnData(np.ones((1, 2), np.float32), var=var)
    paths = write_ldsc(index, tmp_path / "out", bim=[tmp_path / "ref.bim"], core=True)
    inside = pd.read_csv(f"{paths['full']}.1.annot.gz", sep="\t")["A"].to_numpy()
    assert np.flatnonzero(inside).tolist() == [*range(140, 151), 350]


def test_another_genome_is_refused(index, bim, tmp_path):
    with pytest.raises(ValueError, match="beyond the chromosome's end"):
        write_ldsc(index, tmp_path / "o", bim=bim, genome={"chr21": 1000, "chr22": 1000})
    index.var["start"] += 10**7
    index.var["end"] += 10**7
    with pytest.raises(ValueError, match="different genomes"):
        write_ldsc(index, tmp_path / "o", bim=bim)


def test_errors(index, bim, tmp_path):
    with pytest.raises(FileNotFoundError, match="No .bim"):
        write_ldsc(index, tmp_path / "o", bim=tmp_path / "none.@.bim")
    (tmp_path / "x.bim").write_text("a b\n")
    with pytest.raises(ValueError, match="six columns"):
        write_ldsc(index, tmp_path / "o", bim=tmp_path / "x.bim")
    (tmp_path / "x.bim").write_text("1 rs1 0 101 A G\n../../../../x rs2 0 900 A G\n")  # would be part of a file's name
    with pytest.raises(ValueError, match="six columns"):
        write_ldsc(index, tmp_path / "o", bim=tmp_path / "x.bim")
    assert [file.name for file in tmp_path.rglob("*.gz")] == []
    with pytest.raises(KeyError, match="nothing"):
        write_ldsc(index, tmp_path / "o", bim=bim, component_key="nothing")
    (tmp_path / "r.results").write_text("Category\tEnrichment\nbaseL2_0\t2\n")  # without --print-coefficients
    with pytest.raises(ValueError, match="print-coefficients"):
        read_ldsc(tmp_path / "r.results")


def test_results_of_both_forms(tmp_path):
    (tmp_path / "LYMPH.results").write_text(
        "Category\tProp._SNPs\tProp._h2\tProp._h2_std_error\tEnrichment\tEnrichment_std_error\tEnrichment_p\t"
        "Coefficient\tCoefficient_std_error\tCoefficient_z-score\n"
        "Lymphoid_0\t0.02\t0.2\t0.05\t10\t2.5\t0.001\t3e-8\t1e-8\t3\n"
        "base_1L2_0\t1\t1\t0\t1\t0\tNA\t-1e-8\t1e-8\t-1\n"
    )
    (tmp_path / "MONO.cell_type_results.txt").write_text(
        "Name\tCoefficient\tCoefficient_std_error\tCoefficient_P_value\nMyeloid\t2e-8\t1e-8\t0.0228\n"
    )
    table = read_ldsc({"LYMPH": tmp_path / "LYMPH.results", "MONO": tmp_path / "MONO.cell_type_results.txt"})
    assert table["component"].tolist() == ["Lymphoid", "base_1", "Myeloid"]
    np.testing.assert_allclose(table["coefficient_z"], [3, -1, 2])
    np.testing.assert_allclose(table["p_value"], [0.00134990, 0.84134475, 0.02275013], rtol=1e-5)
    assert table["q_value"].iloc[0] == pytest.approx(0.00134990 * 3, rel=1e-5)


def test_single_annotations_which_ldsc_gives_no_name_are_told_apart(tmp_path):
    head = "Category\tCoefficient\tCoefficient_std_error\n"
    (tmp_path / "t.results").write_text(f"{head}L2_0\t1\t1\nL2_1\t1\t1\nbaseL2_2\t1\t1\n")
    assert read_ldsc(tmp_path / "t.results")["component"].tolist() == ["L2_0", "L2_1", "base"]


def test_a_panel_of_another_genome_leaves_nothing(tmp_path):
    var = pd.DataFrame({"chrom": ["chr1"], "start": [10], "end": [20], "component": ["A"]}, index=["0"])
    (tmp_path / "far.bim").write_text("1 rs1 0 500 A G\n")
    with pytest.raises(ValueError, match="None of 1 SNPs"):
        write_ldsc(anndata.AnnData(np.ones((1, 1), np.float32), var=var), tmp_path / "out", bim=tmp_path / "far.bim")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_ldsc_itself_reads_the_annotation(tmp_path):
    """Runs CBIIT/ldsc on the toy panel of its own tests; needs LDSC_PYTHON (with bitarray below 3) and LDSC_FOLDER."""
    python, folder = os.environ.get("LDSC_PYTHON"), os.environ.get("LDSC_FOLDER")
    if not python or not folder:
        pytest.skip("set LDSC_PYTHON (an interpreter with ldsc's dependencies) and LDSC_FOLDER (its source)")
    toy = Path(folder) / "test" / "plink_test" / "plink"
    snps = pd.read_csv(f"{toy}.bim", sep=r"\s+", header=None)
    chrom = snps[0].iloc[0]
    chosen = snps[3].iloc[[1, 4]].to_numpy()
    var = pd.DataFrame(
        {"chrom": f"chr{chrom}", "start": chosen - 1, "end": chosen, "component": ["A", "B"]}, index=["0", "1"]
    )
    index = anndata.AnnData(np.ones((1, 2), np.float32), var=var)
    paths = write_ldsc(index, tmp_path / "out", bim=[f"{toy}.bim"])
    scores = {}
    for form, flag in (("full", []), ("thin", ["--thin-annot"])):
        out = tmp_path / form
        command = [python, "ldsc.py", "--l2", "--bfile", str(toy), "--ld-wind-snps", "5", "--yes-really"]
        command += ["--annot", f"{paths[form]}.{chrom}.annot.gz", "--out", str(out), *flag]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        scores[form] = gzip.decompress(Path(f"{out}.l2.ldscore.gz").read_bytes())
        counts = Path(f"{out}.l2.M").read_text().split()
        assert float(counts[0]) <= 2
        assert len(counts) == 2
    assert scores["full"] == scores["thin"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("Myeloid\t2e-8\tone\t0.02\n", r"t\.results, line 2: expected a number as coefficient_se, found 'one'"),
        ("Myeloid\tnan%\t1e-8\t0.02\n", "expected a number as coefficient, found 'nan%'"),
        ("", "holds no result, only the names of its columns"),
    ],
)
def test_results_without_numbers_are_told(row, message, tmp_path):
    head = "Name\tCoefficient\tCoefficient_std_error\tCoefficient_P_value\n"
    (tmp_path / "t.results").write_text(head + row)
    with pytest.raises(ValueError, match=message):
        read_ldsc(tmp_path / "t.results")
    with pytest.raises(ValueError, match="results is empty"):
        read_ldsc({})


def test_a_coefficient_that_ldsc_could_not_tell_is_missing(tmp_path):
    head = "Name\tCoefficient\tCoefficient_std_error\tCoefficient_P_value\n"
    (tmp_path / "t.results").write_text(f"{head}A\tNA\tNA\tNA\nB\t2e-8\t1e-8\t0.02275\n")
    table = read_ldsc(tmp_path / "t.results").set_index("component")
    assert np.isnan(table.loc["A", "p_value"])
    assert table.loc["B", "coefficient_z"] == 2
