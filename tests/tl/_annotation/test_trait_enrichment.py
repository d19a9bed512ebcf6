import gzip

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import scatacworks as sca
from scatacworks.tl._annotation._sumstats import read_sumstats


def gwas(index, n=3000, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "SNP": [f"rs{i}" for i in range(n)],
            "CHR": rng.choice([1, 2], n),
            "BP": rng.integers(1, 1_000_000, n),
            "P": rng.random(n),
        }
    )


def blocks(width=20_000):
    start = np.tile(np.arange(0, 1_000_000, width), 2)
    return pd.DataFrame({"chrom": np.repeat(["chr1", "chr2"], len(start) // 2), "start": start, "end": start + width})


@pytest.mark.parametrize("background", ["blocks", "elements"])
def test_one_variant_per_block_equals_a_loop(make_index, background):
    index = make_index()
    stats_table = gwas(index)
    stats_table["P"] = stats_table["P"].round(2).clip(1e-3)  # many ties
    sca.tl.trait_enrichment(
        index, sumstats={"t": stats_table}, ld_blocks=blocks(), thresholds=[0.5, 0.05], background=background
    )
    stored, var = index.uns["trait_enrichment"], index.var
    expected, within, rows = [], {}, list(stats_table.itertuples())
    chrom, start, end, signal = (var[name].to_numpy() for name in ("chrom", "start", "end", "mean_signal"))
    for block in blocks().itertuples():
        best = None
        for v in rows:
            position = v.BP - 1
            if f"chr{v.CHR}" != block.chrom or not block.start <= position < block.end:
                continue
            over = (chrom == block.chrom) & (start <= position) & (end > position)
            ranks = [((v.P, -signal[row], row), v.SNP, row) for row in np.flatnonzero(over)]
            if ranks:
                within.setdefault((block.chrom, block.start), []).append(var["component"].iloc[min(ranks)[2]])
                best = min([*ranks, best]) if best else min(ranks)
        if best:
            expected.append((best[1], var.index[best[2]]))
    assert sorted(zip(stored["variants"]["variant"], stored["variants"]["element"], strict=True)) == sorted(expected)
    for row in stored["table"].itertuples():
        passed = stored["variants"][stored["variants"]["log10_p"] <= np.log10(row.threshold)]
        k, n = (passed["component"] == row.component).sum(), len(passed)
        share = (var["component"] == row.component).mean()
        if background == "blocks":
            own = zip(passed["chrom"], passed["position"] // 20_000 * 20_000, strict=True)
            share = np.mean([np.mean(np.array(within[block]) == row.component) for block in own])
        assert (row.n_component, row.n_blocks) == (k, n)
        np.testing.assert_allclose(row.ratio, k / n / share)
        np.testing.assert_allclose(row.p_value, stats.binomtest(int(k), n, share, alternative="greater").pvalue)


def test_planted_component_rises_with_the_threshold_and_the_null_does_not(make_index):
    index = make_index()
    table = gwas(index)
    own = index.var[(index.var["component"] == "C") & (index.var["chrom"] == "chr1")].iloc[::20]
    planted = pd.DataFrame({"SNP": own.index, "CHR": 1, "BP": own["summit"] + 1, "P": 1e-9})
    sca.tl.trait_enrichment(
        index,
        sumstats={"null": table, "planted": pd.concat([table, planted])},
        ld_blocks=20_000,
        thresholds=[0.5, 1e-8],
    )
    result = index.uns["trait_enrichment"]["table"].set_index(["trait", "threshold", "component"]).sort_index()
    assert result.loc[("planted", 1e-8, "C"), "ratio"] > 3
    assert result.loc[("planted", 1e-8, "C"), "q_value"] < 1e-6
    assert result.loc[("null", 0.5), "p_value"].min() > 0.01
    assert result.loc[("null", 1e-8), "n_blocks"].eq(0).all()
    assert result.loc[("null", 1e-8), "p_value"].eq(1).all()


def test_wide_elements_and_sparse_blocks_are_not_enriched_in_a_trait_that_has_nothing_to_do_with_them():
    rng = np.random.default_rng(0)
    start = np.arange(0, 20_000_000, 200)
    sparse = start // 100_000 % 2 == 1
    kept = ~sparse | (start % 100_000 < 8_000)  # every other block has few elements
    start, sparse = start[kept], sparse[kept]
    wide = rng.random(len(start)) < np.where(sparse, 0.8, 0.3)
    var = pd.DataFrame({"chrom": "chr1", "start": start, "end": start + np.where(wide, 150, 50)})
    var["component"] = np.where(wide, "wide", "narrow")
    index = anndata.AnnData(np.ones((1, len(var)), np.float32), var=var.set_index(var.index.astype(str)))
    position = rng.integers(1, 20_000_000, 10_000)
    traits = {str(i): pd.DataFrame({"CHR": 1, "BP": position, "P": rng.random(len(position))}) for i in range(12)}
    low = {}
    for background in ("blocks", "elements"):
        sca.tl.trait_enrichment(
            index, sumstats=traits, ld_blocks=100_000, thresholds=[0.05, 1e-3], background=background
        )
        table = index.uns["trait_enrichment"]["table"]
        low[background] = int((table["p_value"] < 0.05).sum())  # of 12 traits, 2 thresholds and 2 components
    assert low["blocks"] <= 5
    assert low["elements"] >= 12


def test_associated_variants_alone_are_warned_of(make_index, caplog):
    index = make_index()
    table = gwas(index).assign(P=1e-9)
    sca.tl.trait_enrichment(index, sumstats={"t": table}, ld_blocks=20_000)
    assert "not associated" not in caplog.text
    sca.tl.trait_enrichment(index, sumstats={"t": table}, ld_blocks=20_000, background="blocks")
    assert "All variants of t have p <= 0.01" in caplog.text


def test_blocks_of_equal_size_are_of_a_whole_number_of_bp(make_index):
    tables = []
    for width in (20_000, 2e4, np.int32(20_000)):
        index = make_index()
        sca.tl.trait_enrichment(index, sumstats={"t": gwas(index)}, ld_blocks=width)
        tables.append(index.uns["trait_enrichment"]["table"])
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[2])
    with pytest.raises(TypeError, match=r"ld_blocks is 1000\.5 .*expected a whole number"):
        sca.tl.trait_enrichment(index, sumstats={"t": gwas(index)}, ld_blocks=1000.5)


def test_files_under_common_names(tmp_path):
    rows = "rs1\t1\t101\t1e-5\nrs2\t2\t201\t1e-400\n"
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(("SNP\tCHR\tBP\tP\n" + rows).encode()))
    (tmp_path / "b.csv").write_text("rsid,chromosome,base_pair_location,p_value\n" + rows.replace("\t", ","))
    (tmp_path / "c.txt").write_text("MarkerName chr pos pval\n" + rows.replace("\t", " "))
    (tmp_path / "d.tsv").write_text("variant\tchrom\tpos\tneglog10_pval\nrs1\t1\t101\t5\nrs2\t2\t201\t400\n")
    for path in sorted(tmp_path.iterdir()):
        table = read_sumstats(path)
        assert table[["chrom", "position", "variant"]].values.tolist() == [["1", 100, "rs1"], ["2", 200, "rs2"]]
        np.testing.assert_allclose(table["log10_p"], [-5, -400])


def test_unusable_rows_are_dropped_and_counted(caplog):
    table = pd.DataFrame(
        {
            "SNP": ["a", "a", "b", "c", "d", "e", "f"],
            "CHR": 1,
            "BP": [1, 2, 3, 4, "x", 6, 7],
            "P": [0.5, 0.1, "oops", np.nan, 0.1, 0, 3],
        }
    )
    found = read_sumstats(table)
    assert found[["variant", "position"]].values.tolist() == [["a", 1], ["e", 5]]
    assert found["log10_p"].tolist() == [-1, -300]
    for text in ("1 of 7", "3 of 7", "p = 0", "repeated identifier", "no numeric position"):
        assert text in caplog.text


def test_errors(make_index):
    index = make_index(n=400)
    with pytest.raises(ValueError, match="no positions"):
        sca.tl.trait_enrichment(index, sumstats={"t": pd.DataFrame({"SNP": ["rs1"], "P": [0.1]})})
    with pytest.raises(ValueError, match="no p-values"):
        sca.tl.trait_enrichment(index, sumstats={"t": pd.DataFrame({"CHR": [1], "BP": [5]})})
    with pytest.raises(ValueError, match="empty"):
        sca.tl.trait_enrichment(index, sumstats={})
    with pytest.raises(ValueError, match="expected 'elements' or 'blocks'"):
        sca.tl.trait_enrichment(index, sumstats={"t": gwas(index)}, background="bases")
    overlapping = pd.DataFrame({"chrom": "chr1", "start": [0, 500], "end": [1000, 2000]})
    with pytest.raises(ValueError, match="LD blocks overlap"):
        sca.tl.trait_enrichment(index, sumstats={"t": gwas(index)}, ld_blocks=overlapping)
    elsewhere = pd.DataFrame({"chrom": ["chr1"], "start": [10**8], "end": [2 * 10**8]})
    with pytest.raises(ValueError, match="another genome"):
        sca.tl.trait_enrichment(index, sumstats={"t": gwas(index)}, ld_blocks=elsewhere)
    with pytest.raises(ValueError, match="none of 1 variants"):
        sca.tl.trait_enrichment(index, sumstats={"t": pd.DataFrame({"CHR": [1], "BP": [5], "P": ["?"]})})


def test_variants_of_another_genome_are_refused(make_index):
    index, table = make_index(), gwas(make_index())
    with pytest.raises(ValueError, match="None of the 3,000 variants of 't' lies in an element"):
        sca.tl.trait_enrichment(index, sumstats={"t": table.assign(BP=table["BP"] + 200_000_000)})
    index.uns["reference_sequences"] = sca.Genome("hg19").to_frame()
    far = table.assign(BP=table["BP"].where(table.index != 7, 300_000_000))
    with pytest.raises(ValueError, match=r"A variant of 't' lies at chr[12]:300,000,000, beyond that chromosome"):
        sca.tl.trait_enrichment(index, sumstats={"t": far})
    with pytest.raises(TypeError, match="sumstats is a DataFrame; expected a dict"):
        sca.tl.trait_enrichment(index, sumstats=table)


@pytest.mark.parametrize("ending", ["tsv", "csv", "tsv.gz", "tsv.bgz", "txt"])
def test_statistics_and_blocks_as_they_are_distributed(make_index, tmp_path, ending):
    index, table = make_index(), gwas(make_index())
    separator = {"csv": ",", "txt": " "}.get(ending, "\t")
    text = table.to_csv(sep=separator, index=False)
    path = tmp_path / f"t.{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    spaced = tmp_path / "ldetect.bed"  # its header and blanks beside the tabs
    rows = [f"{r.chrom} \t {r.start} \t {r.end} " for r in blocks().itertuples()]
    spaced.write_text("\n".join(["chr \t start \t stop ", *rows]) + "\n")
    sca.tl.trait_enrichment(index, sumstats={"t": table}, ld_blocks=blocks(), key_added="expected")
    sca.tl.trait_enrichment(index, sumstats={"t": path}, ld_blocks=spaced)
    pd.testing.assert_frame_equal(index.uns["trait_enrichment"]["table"], index.uns["expected"]["table"])


def test_identifiers_may_tell_the_positions():
    table = pd.DataFrame({"variant": ["1:15791:C:T", "chrX_20_A_G", "rs5"], "pval": [0.1, 0.2, 0.3]})
    found = read_sumstats(table)
    assert found[["chrom", "position"]].values.tolist() == [["1", 15790], ["chrX", 19]]
    with pytest.raises(ValueError, match="Identifiers alone cannot be placed"):
        read_sumstats(table.assign(variant=["rs1", "rs2", "rs3"]))


@pytest.mark.parametrize("nameless", [".", None, np.nan, pd.NA])
def test_variants_without_an_identifier_are_not_one_variant(nameless):
    table = pd.DataFrame({"CHR": 1, "BP": [1, 2, 3], "SNP": [nameless, nameless, "rs1"], "P": [0.1, 0.2, 0.3]})
    assert read_sumstats(table)["position"].tolist() == [0, 1, 2]


def test_chromosomes_joined_to_one_table_keep_their_variants():
    one = pd.DataFrame({"CHR": 1, "BP": [1, 2], "SNP": ["a", "a"], "P": [0.1, 0.2]})
    both = pd.concat([one, one.assign(CHR=2, SNP=["b", "c"])])  # the rows of both are called 0 and 1
    assert read_sumstats(both)[["chrom", "position"]].values.tolist() == [["1", 0], ["2", 0], ["2", 1]]


def test_a_logarithm_of_p_without_its_minus_is_no_p(caplog):
    with pytest.raises(ValueError, match="'no p between 0 and 1': 2"):
        read_sumstats(pd.DataFrame({"chr": 1, "pos": [1, 2], "log10p": [-8.2, -0.3]}))


def test_of_several_columns_of_positions_the_one_taken_is_said(caplog):
    table = pd.DataFrame({"CHR": [1], "BP_hg38": [200], "BP_hg19": [100], "P": [0.1]})
    assert read_sumstats(table)["position"].tolist() == [99]
    assert "several columns of positions, BP_hg19, BP_hg38; BP_hg19 is taken" in caplog.text


def test_variants_are_on_the_chromosomes_as_the_index_spells_them(make_index):
    index = make_index(n=400)
    sca.tl.trait_enrichment(index, sumstats={"t": gwas(index)})
    variants = index.uns["trait_enrichment"]["variants"]
    assert set(variants["chrom"]) == {"chr1", "chr2"}
    assert variants["chrom"].tolist() == index.var.loc[variants["element"], "chrom"].tolist()
