"""Footprints against a slow count, made-up cut sites with a known preference for the sequence, and a bootstrap."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca
from scatacworks._core import footprint as kernels

LENGTH, FLANK = 200_000, 150
MOTIF = "GATTACAGCT"
SITE = pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [120]})
GENOME = sca.Genome({"chr1": LENGTH, "chr2": LENGTH, "chr3": 5_000})

ONE_SITE = pd.DataFrame({"chrom": ["chr1"], "start": [1_000], "end": [1_020]})


def pseudobulk(counts, groups=("A", "B")):
    """An AnnData whose groups have these cut sites: group -> chromosome -> one count per base."""
    chromosomes = []
    for chrom in GENOME.chroms:
        runs = []
        for group in groups:
            here = counts[group].get(chrom, np.zeros(10, np.int64))
            at = np.flatnonzero(here)
            runs.append((at.astype(np.int32), None, here[at].astype(np.uint16)))
        chromosomes.append((chrom, runs))
    tracks = sca.Tracks.from_chromosomes(list(groups), GENOME, chromosomes)
    obs = pd.DataFrame({"kind": pd.Categorical(groups)}, index=[f"cell {group}" for group in groups])
    adata = anndata.AnnData(np.zeros((len(groups), 1), np.float32), obs=obs)
    adata.uns["pseudobulk"] = {
        "cut_sites": tracks.to_dict(), "n_cells": np.ones(len(groups), int), "params": {"groupby": "kind"},
    }  # fmt: skip
    return adata


@pytest.fixture(scope="module")
def world():
    """Sequences, where the motif was put, Tn5's preference and, in group A alone, a protein on the motif."""
    rng = np.random.default_rng(0)
    bias = np.exp(rng.normal(0, 0.7, 4**6))
    letters = np.array(["ACGT".index(base) for base in MOTIF])
    for strand in (letters, 3 - letters[::-1]):  # words of the motif are cut less
        bias[[int(strand[i : i + 6] @ 4 ** np.arange(5, -1, -1)) for i in range(5)]] = 0.3
    codes, sites, counts = {}, [], {"A": {}, "B": {}}
    for chrom in ("chr1", "chr2"):
        text = rng.integers(0, 4, LENGTH).astype(np.uint8)
        starts = np.arange(1_000, LENGTH - 1_000, 700) + rng.integers(0, 200, len(range(1_000, LENGTH - 1_000, 700)))
        open_here, bound = np.full(LENGTH, 0.02), np.zeros(LENGTH, bool)
        for i, start in enumerate(starts):
            text[start : start + 10] = letters if i % 2 == 0 else 3 - letters[::-1]
            open_here[start - 200 : start + 210] = 1.0
            if i % 4 > 1:  # the others are motifs that nobody asks for
                continue
            bound[start : start + 10] = True
            sites.append((chrom, int(start), int(start) + 10, "+" if i % 2 == 0 else "-"))
        words = np.zeros(LENGTH, int)
        for k in range(6):
            words = 4 * words + np.roll(text, 3 - k)  # base p - 3 + k
        rate = open_here * bias[words] / bias.mean()
        for group, left in (("A", 0.25), ("B", 1.0)):
            counts[group][chrom] = rng.poisson(np.where(bound, left * rate, rate))
        codes[chrom] = text
    return codes, pd.DataFrame(sites, columns=["chrom", "start", "end", "strand"]), bias, counts


@pytest.fixture(scope="module")
def fasta(world, tmp_path_factory):
    path = tmp_path_factory.mktemp("fasta") / "genome.fa"
    text = {chrom: "".join("ACGT"[code] for code in codes) for chrom, codes in world[0].items()}
    lines = (f">{chrom}\n" + "\n".join(s[i : i + 60] for i in range(0, len(s), 60)) + "\n" for chrom, s in text.items())
    path.write_text("".join(lines))
    return path


@pytest.fixture
def adata(world):
    return pseudobulk(world[3])


def slow(counts, sites, flank):
    """Cut sites around the sites, by reading them base by base; `(n_sites, 2 flank + 1)`."""
    rows = []
    for chrom, start, end, strand in sites.itertuples(index=False):
        half = (end - start) // 2
        center = start + half if strand == "+" else end - 1 - half
        row = [counts[chrom][p] if 0 <= p < LENGTH else 0 for p in range(center - flank, center + flank + 1)]
        rows.append(row if strand == "+" else row[::-1])
    return np.array(rows, float)


def test_profiles_are_those_of_a_slow_count(adata, world, caplog):
    sites = world[1].sample(frac=1, random_state=0)  # in any order
    at_ends = pd.DataFrame({"chrom": "chr1", "start": [145, 144, LENGTH - 156, LENGTH - 155], "strand": "+"})
    sites = pd.concat([sites, at_ends.assign(end=at_ends["start"] + 10)[sites.columns]])
    sca.tl.footprint(adata, sites, flank=FLANK, progress=False)
    assert f"2 of {len(sites)} windows reach over the end of their chromosome" in caplog.text
    sites = sites.iloc[[*range(len(sites) - 4), -4, -2]]
    found = adata.uns["footprint"]
    assert found["motifs"].tolist() == ["sites"]
    np.testing.assert_array_equal(found["offsets"], np.arange(-FLANK, FLANK + 1))
    for i, group in enumerate(("A", "B")):
        windows = slow(world[3][group], sites, FLANK)
        np.testing.assert_allclose(found["observed"][i, 0], windows.mean(axis=0), rtol=1e-6)
        np.testing.assert_allclose(found["expected"][i, 0], windows.mean(), rtol=1e-6)
        row = found["table"].iloc[i]
        core, shoulder = slice(FLANK - 5, FLANK + 5), np.r_[FLANK - 55 : FLANK - 5, FLANK + 5 : FLANK + 55]
        ends = np.r_[0:50, 2 * FLANK - 49 : 2 * FLANK + 1]
        means = [windows[:, where].mean() for where in (core, shoulder, ends)]
        assert row["depth"] == pytest.approx(np.log2(means[1] / means[0]))
        assert row["accessibility"] == pytest.approx(np.log2(means[1] / means[2]))
        assert (row["n_sites"], row["core"], row["n_cut_sites"]) == (len(sites), 10, windows.sum())
        np.testing.assert_allclose(found["profile"][i, 0], windows.mean(axis=0) / means[2], rtol=1e-5)


def signed_tracks(seed):
    """Values on both sides of zero, as a bigWig file of conservation holds them; dense and as tracks."""
    rng = np.random.default_rng(seed)
    dense = np.repeat(rng.normal(-0.03, 1, LENGTH // 4).astype(np.float32), 4)
    dense[1_000:1_200] = 0
    starts = np.arange(0, LENGTH, 4, dtype=np.int32)
    runs = starts, np.full(len(starts), 4, np.int32), dense[::4]
    return dense, sca.Tracks.from_chromosomes(["phyloP"], GENOME, [("chr1", [runs])])


def test_plain_means_of_a_signed_track_around_starts_of_transcription(tmp_path):
    dense, tracks = signed_tracks(0)
    files = sca.io.write_bigwig(tracks, tmp_path, progress=False)
    adata = anndata.AnnData(np.zeros((1, 1), np.float32))
    adata.uns["phyloP"] = {"signal": sca.io.read_bigwig(files, genome=GENOME).to_dict()}
    at = np.random.default_rng(1).integers(600, LENGTH - 600, 80)
    strand = np.where(np.arange(80) % 2, "-", "+")
    sites = pd.DataFrame({"chrom": "chr1", "start": at, "end": at + 1, "strand": strand, "motif": "TSS"})
    with pytest.raises(ValueError, match=r"'phyloP' of .uns\['phyloP'\] has negative values, .* give scale=False"):
        sca.tl.footprint(adata, sites, key="phyloP", core=21, progress=False)
    assert "footprint" not in adata.uns
    sca.tl.footprint(adata, sites, key="phyloP", flank=500, scale=False, progress=False)
    found = adata.uns["footprint"]
    rows = [dense[p - 500 : p + 501][:: -1 if s == "-" else 1] for p, s in zip(at, strand, strict=True)]
    np.testing.assert_allclose(found["profile"][0, 0], np.mean(rows, axis=0), atol=1e-6)
    assert found["table"].loc[0, ["n_sites", "core"]].tolist() == [80, 0]
    assert found["table"][["depth", "accessibility"]].isna().all(axis=None)
    adata.write_h5ad(tmp_path / "a.h5ad")
    figure = sca.pl.footprint(anndata.read_h5ad(tmp_path / "a.h5ad"), smooth=1, show=False)
    (panel,) = figure.axes
    np.testing.assert_array_equal(panel.lines[0].get_ydata(), found["profile"][0, 0])
    assert len(panel.lines) == 1  # none at 1
    assert panel.get_ylim()[0] < np.min(found["profile"])


def test_plain_means_of_cut_sites_are_those_of_a_slow_count(adata, world):
    sca.tl.footprint(adata, world[1], flank=60, scale=False, progress=False)  # too narrow for zones
    for i, group in enumerate(("A", "B")):
        windows = slow(world[3][group], world[1], 60)
        np.testing.assert_allclose(adata.uns["footprint"]["profile"][i, 0], windows.mean(axis=0), rtol=1e-6)


def test_standard_errors_are_those_of_a_bootstrap(adata, world):
    sca.tl.footprint(adata, world[1], flank=FLANK, progress=False)
    windows = slow(world[3]["A"], world[1], FLANK)
    core = windows[:, FLANK - 5 : FLANK + 5].mean(axis=1)
    shoulder = windows[:, np.r_[FLANK - 55 : FLANK - 5, FLANK + 5 : FLANK + 55]].mean(axis=1)
    draws = np.random.default_rng(0).integers(0, len(core), (4_000, len(core)))
    ratios = np.log2(shoulder[draws].sum(axis=1) / core[draws].sum(axis=1))
    # the expected counts of a flat window are the same share of its total everywhere, so that they cancel
    assert adata.uns["footprint"]["table"]["depth_se"].iloc[0] == pytest.approx(ratios.std(), rel=0.06)


def test_the_preference_for_the_sequence_is_found_and_taken_out(adata, world, fasta):
    _, sites, bias, _ = world
    sca.tl.footprint(adata, sites, flank=FLANK, progress=False)
    raw = adata.uns["footprint"]["table"].set_index("group")["depth"]
    sca.tl.footprint(adata, sites, fasta=fasta, flank=FLANK, progress=False)
    found = adata.uns["footprint"]
    assert np.corrcoef(np.log(found["bias"]), np.log(bias))[0, 1] > 0.85
    table = found["table"].set_index("group")
    assert abs(raw["B"]) > 0.4  # nothing sits there: the motif's own words are cut less or more
    assert abs(table.loc["B", "depth"]) < 0.1
    assert table.loc["A", "depth"] == pytest.approx(2, abs=0.15)  # a quarter is cut
    raw_spread = (found["observed"][1, 0] / found["observed"][1, 0].mean()).std()
    assert found["profile"][1, 0].std() < raw_spread / 2


def test_the_preference_is_that_of_a_slow_count(world):
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 5, 400).astype(np.uint8)
    positions = np.sort(rng.choice(400, 30, replace=False)).astype(np.int32)
    counts = rng.integers(1, 4, 30).astype(np.uint16)
    seen, expected = np.zeros((2, 4**3))
    kernels.add_words(codes, positions, counts, 3, seen, expected)
    wanted = np.zeros((2, 4**3))

    def word(p):
        around = codes[p - 1 : p + 2] if p >= 1 else codes[:0]
        return None if len(around) < 3 or (around > 3).any() else int(around @ [16, 4, 1])

    for p, count in zip(positions, counts, strict=True):
        if word(p) is not None:
            wanted[0, word(p)] += count
        for q in range(p - 50, p + 51):
            if word(q) is not None:
                wanted[1, word(q)] += count / 101
    np.testing.assert_allclose([seen, expected], wanted)


@pytest.mark.parametrize("reverse", [False, True])
def test_expected_shares_follow_the_words(reverse):
    rng = np.random.default_rng(2)
    codes, bias = rng.integers(0, 5, 60).astype(np.uint8), rng.gamma(2, 1, 16)
    shares = kernels.expected_shares(codes, bias, 2, np.array([10, 30]), np.array([reverse] * 2), 20)
    for center, row in zip((10, 30), shares, strict=True):
        pairs = [codes[p - 1 : p + 1] if 1 <= p < 60 else codes[:0] for p in range(center - 20, center + 21)]
        values = np.array([bias[4 * p[0] + p[1]] if len(p) == 2 and (p < 4).all() else 1 for p in pairs])
        values = values[::-1] if reverse else values
        np.testing.assert_allclose(row, values / values.sum(), rtol=1e-5)


def test_motifs_are_found_where_they_were_put(adata, world, fasta):
    sites = world[1]
    regions = sites.assign(start=sites["start"] - 40, end=sites["end"] + 33)
    motif = sca.io.Motif("GATT", np.eye(4)[["ACGT".index(base) for base in MOTIF]])
    never = sca.io.Motif("never", np.eye(4)[[0, 1]])  # one of sixteen positions is no rare match
    options = {"fasta": fasta, "flank": FLANK, "progress": False}
    sca.tl.footprint(adata, motifs=[motif, never], regions=regions, p_value=1e-5, **options)
    sca.tl.footprint(adata, {"GATT": sites}, key_added="given", **options)
    for name in ("groups", "motifs", "observed", "expected", "profile"):
        np.testing.assert_array_equal(adata.uns["footprint"][name], adata.uns["given"][name])


def test_forms_of_sites_give_the_same(adata, world, tmp_path):
    sites = world[1].assign(name=".", score=0)[["chrom", "start", "end", "name", "score", "strand"]]
    path = tmp_path / "GATT.bed"
    sites.to_csv(path, sep="\t", header=False, index=False)
    half = len(sites) // 2
    several = sites.assign(motif=["first"] * half + ["second"] * (len(sites) - half))
    sca.tl.footprint(adata, path, flank=FLANK, progress=False, key_added="file")
    sca.tl.footprint(adata, several, flank=FLANK, progress=False, key_added="several")
    sca.tl.footprint(adata, {"first": sites[:half], "second": sites[half:]}, flank=FLANK, progress=False)
    assert adata.uns["file"]["motifs"].tolist() == ["GATT"]
    np.testing.assert_array_equal(adata.uns["several"]["profile"], adata.uns["footprint"]["profile"])
    pd.testing.assert_frame_equal(adata.uns["several"]["table"], adata.uns["footprint"]["table"])
    both = adata.uns["several"]["observed"] * np.array([half, len(sites) - half])[:, None]
    np.testing.assert_allclose(both.sum(axis=1) / len(sites), adata.uns["file"]["observed"][:, 0], rtol=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        lambda sites: sites.assign(strand=np.where(sites["strand"] == "+", 1, -1)),
        lambda sites: sites.assign(strand=np.where(sites["strand"] == "+", np.nan, -1)),
        lambda sites: sites.assign(strand=np.where(sites["strand"] == "+", ".", "-")),
        lambda sites: sites.astype({"chrom": "category", "strand": "category"}).rename(columns=str.title),
        lambda sites: sites.assign(chrom=sites["chrom"].str.removeprefix("chr")),
        lambda sites: pd.concat([sites, sites.assign(strand="-")]),  # a palindrome is one site
    ],
    ids=["numbers", "missing", "none", "pyranges", "ensembl", "palindromes"],
)
def test_spellings_of_strands_and_chromosomes_give_the_same(adata, world, change):
    sca.tl.footprint(adata, world[1], flank=FLANK, progress=False)
    sca.tl.footprint(adata, change(world[1]), flank=FLANK, progress=False, key_added="spelled")
    np.testing.assert_array_equal(adata.uns["spelled"]["observed"], adata.uns["footprint"]["observed"])


def test_files_name_their_motif(adata, world, tmp_path):
    path = tmp_path / "MA0139.1.bed.gz"
    world[1].to_csv(path, sep="\t", header=False, index=False, columns=["chrom", "start", "end"])
    sca.tl.footprint(adata, path, flank=FLANK, progress=False)
    assert adata.uns["footprint"]["motifs"].tolist() == ["MA0139.1"]


def test_sites_of_several_widths_are_told(adata, world, caplog):
    wider = world[1].assign(end=world[1]["end"] + np.arange(len(world[1])) % 3)
    sca.tl.footprint(adata, wider, flank=FLANK, progress=False)
    assert "sites are 10 to 12 bp wide" in caplog.text


def test_a_match_in_several_regions_is_one_site(adata, world, fasta):
    sites = world[1]
    motif = sca.io.Motif("MA1.1", np.eye(4)[["ACGT".index(base) for base in MOTIF]], factors=("GATT",))
    peaks = [sites.assign(start=sites["start"] - a, end=sites["end"] + b) for a, b in ((40, 33), (20, 50))]
    options = {"fasta": fasta, "flank": FLANK, "progress": False}
    sca.tl.footprint(adata, motifs=[motif], regions=pd.concat(peaks), p_value=1e-5, **options)
    found = adata.uns["footprint"]["table"]
    assert (found["n_sites"].tolist(), found["factor"].tolist()) == ([len(sites)] * 2, ["GATT"] * 2)
    figure = sca.pl.footprint(adata, "Gatt", show=False)
    assert figure.axes[0].get_title() == f"GATT MA1.1 ({len(sites)} sites)"


def test_sites_without_sequence_and_on_organelles_are_left_out(world, tmp_path, caplog):
    codes, sites, _, counts = world
    path = tmp_path / "one.fa"
    path.write_text(">1\n" + "".join("acgt"[code] for code in codes["chr1"]) + "\n")  # soft-masked, Ensembl's name
    first = sites[sites["chrom"] == "chr1"]
    adata = pseudobulk(counts)
    sca.tl.footprint(adata, sites, fasta=path, flank=FLANK, progress=False)
    sca.tl.footprint(adata, first, fasta=path, flank=FLANK, progress=False, key_added="first")
    np.testing.assert_array_equal(adata.uns["footprint"]["profile"], adata.uns["first"]["profile"])
    assert adata.uns["footprint"]["table"]["n_sites"].tolist() == [len(first)] * 2
    assert f"{len(sites) - len(first)} of {len(sites)} sites lie on" in caplog.text
    with pytest.raises(ValueError, match=r"All \d+ sites lie on"):
        sca.tl.footprint(adata, sites[sites["chrom"] == "chr2"], fasta=path, flank=FLANK, progress=False)
    tracks = sca.get.tracks(adata)
    genome = sca.Genome({"chr1": LENGTH, "chrM": LENGTH, "chr3": 5_000})
    again = sca.Tracks(tracks.groups, genome, indptr=tracks.indptr, starts=tracks.starts, lengths=None,
                       values=tracks.values)  # fmt: skip
    adata.uns["pseudobulk"]["cut_sites"] = again.to_dict()
    sca.tl.footprint(adata, sites.replace("chr2", "chrM"), flank=FLANK, progress=False, key_added="nuclear")
    np.testing.assert_array_equal(adata.uns["nuclear"]["observed"], adata.uns["first"]["observed"])


def test_a_sequence_of_another_assembly_is_refused(adata, world, tmp_path):
    path = tmp_path / "other.fa"
    path.write_text(">chr1\n" + "ACGT" * 1_000 + "\n")
    with pytest.raises(ValueError, match=r"chr1 has 4,000 bp in .*other\.fa but 200,000 in custom"):
        sca.tl.footprint(adata, world[1], fasta=path, flank=FLANK, progress=False)


def test_a_fasta_file_is_opened_as_often_for_many_scaffolds(tmp_path, monkeypatch):
    import pyfaidx

    opened, fasta = [], pyfaidx.Fasta
    monkeypatch.setattr(pyfaidx, "Fasta", lambda *args, **options: opened.append(args) or fasta(*args, **options))
    rng, times = np.random.default_rng(0), []
    for n in (2, 20):
        sizes = {f"scaffold_{i}": 1_000 for i in range(n)}
        path = tmp_path / f"{n}.fa"
        path.write_text("".join(f">{name}\n{''.join(rng.choice(list('ACGT'), 1_000))}\n" for name in sizes))
        rows = [f"{name}\t{at}\t{at + 50}\n" for name in sizes for at in rng.integers(0, 950, 30)]
        (tmp_path / f"{n}.tsv").write_text("".join(rows))
        adata = sca.io.read_fragments({"x": tmp_path / f"{n}.tsv"}, genome=sizes, bulk=True, progress=False)
        sca.pp.pseudobulk(adata, "sample", progress=False)
        sites = pd.DataFrame({"chrom": list(sizes), "start": 500, "end": 510})
        opened.clear()
        sca.tl.footprint(adata, sites, fasta=path, kmer=1, progress=False)
        times.append(len(opened))
    assert times[0] == times[1]


def test_words_of_cores_tell_of_no_preference_at_the_ends_either(adata, world, fasta):
    options = {"fasta": fasta, "progress": False}
    sca.tl.footprint(adata, world[1], flank=FLANK, **options)
    sca.tl.footprint(adata, world[1], flank=5_000, key_added="wide", **options)  # fewer windows, the same proteins
    assert (adata.uns["wide"]["table"]["n_sites"] < len(world[1])).all()
    np.testing.assert_array_equal(adata.uns["wide"]["bias"], adata.uns["footprint"]["bias"])


def test_the_preference_is_that_of_all_groups(adata, world, fasta):
    options = {"fasta": fasta, "flank": FLANK, "progress": False}
    sca.tl.footprint(adata, world[1], **options)
    sca.tl.footprint(adata, world[1], groups="B", key_added="one", **options)
    for name in ("observed", "expected"):
        np.testing.assert_array_equal(adata.uns["one"][name][0], adata.uns["footprint"][name][1])


def test_tracks_on_disk_are_read_once_per_chromosome(adata, world, tmp_path, monkeypatch):
    several = {f"motif {i}": world[1][i::5] for i in range(5)}
    sca.tl.footprint(adata, several, flank=FLANK, progress=False)
    sca.get.tracks(adata).to_zarr(tmp_path / "store" / "cut_sites")
    adata.uns["pseudobulk"] = {"path": str(tmp_path / "store"), "params": {"groupby": "kind"}}
    read, runs = [], sca.Tracks.runs
    monkeypatch.setattr(sca.Tracks, "runs", lambda self, *where: read.append(where) or runs(self, *where))
    sca.tl.footprint(adata, several, flank=FLANK, progress=False, key_added="disk")
    assert len(read) == len(set(read)) == 4  # two groups, two chromosomes
    np.testing.assert_array_equal(adata.uns["disk"]["observed"], adata.uns["footprint"]["observed"])


def test_windows_of_long_runs_are_those_of_the_tracks():
    rng = np.random.default_rng(3)
    starts = np.sort(rng.choice(1_000, 60, replace=False)).astype(np.int32)
    lengths = np.minimum(rng.integers(1, 40, 60), np.diff(starts, append=1_000)).astype(np.int32)
    values = rng.random(60).astype(np.float32)
    tracks = sca.Tracks.from_chromosomes(
        ["A"], sca.Genome({"chr1": 1_000}), [("chr1", [(starts, lengths, values)])], fill=0.5
    )
    centers, reverse = np.arange(-30, 1_030, 7), np.arange(152) % 2 == 0
    out = np.zeros((len(centers), 41))
    kernels.read_windows(starts, lengths, values, 0.5, centers, reverse, out)
    for row, center, backwards in zip(out, centers, reverse, strict=True):
        window = tracks.window("A", "chr1", int(center) - 20, int(center) + 21)
        np.testing.assert_array_equal(row, window[::-1] if backwards else window)


def test_windows_beyond_what_was_denoised_are_left_out(adata, world, caplog):
    sites = world[1][world[1]["chrom"] == "chr1"].reset_index(drop=True)
    end = int(sites["start"].iloc[20])  # within the window of this one
    values = world[3]["A"]["chr1"][:end] / 2
    runs = np.arange(end, dtype=np.int32), np.ones(end, np.int32), values
    signal = sca.Tracks.from_chromosomes(["A"], GENOME, [("chr1", [runs])], fill=np.nan)
    adata.uns["denoised"] = {"signal": signal.to_dict(), "params": {"key": "pseudobulk"}}
    sca.tl.footprint(adata, sites[:20], flank=FLANK, groups="A", progress=False)
    sca.tl.footprint(adata, sites, flank=FLANK, progress=False, key="denoised", key_added="part")
    np.testing.assert_allclose(2 * adata.uns["part"]["observed"], adata.uns["footprint"]["observed"], rtol=1e-5)
    np.testing.assert_allclose(adata.uns["part"]["profile"], adata.uns["footprint"]["profile"], rtol=1e-5)
    assert adata.uns["part"]["table"]["n_sites"].tolist() == [20]
    assert f"{len(sites) - 20} of {len(sites)} windows reach beyond" in caplog.text
    with pytest.raises(ValueError, match=r"All \d+ windows reach beyond"):
        sca.tl.footprint(adata, sites[20:], flank=FLANK, progress=False, key="denoised")


def test_tracks_of_every_base_are_taken_as_they_are(adata, world):
    sites, counts = world[1], world[3]

    def dense():
        for chrom in GENOME.chroms:
            values = [counts[g].get(chrom, np.zeros(5_000, int)) for g in ("A", "B")]
            yield chrom, [(np.arange(len(v), dtype=np.int32), np.ones(len(v), np.int32), v / 2) for v in values]

    signal = sca.Tracks.from_chromosomes(["A", "B"], GENOME, dense())
    adata.uns["denoised"] = {"signal": signal.to_dict(), "params": {"key": "pseudobulk"}}
    sca.tl.footprint(adata, sites, flank=FLANK, progress=False)
    sca.tl.footprint(adata, sites, flank=FLANK, progress=False, key="denoised", key_added="smooth")
    np.testing.assert_allclose(2 * adata.uns["smooth"]["observed"], adata.uns["footprint"]["observed"], rtol=1e-5)
    with pytest.raises(ValueError, match=r"tracks of every base; fasta= goes with cut sites"):
        sca.tl.footprint(adata, sites, fasta="x.fa", key="denoised", progress=False)


def test_results_are_written_and_read_back(adata, world, fasta, tmp_path):
    sca.tl.footprint(adata, world[1], fasta=fasta, flank=FLANK, progress=False)
    before = adata.copy()
    adata.write_h5ad(tmp_path / "a.h5ad")
    again = anndata.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(again.uns["footprint"]["profile"], before.uns["footprint"]["profile"])
    figure = sca.pl.footprint(again, show=False)
    assert [len(ax.lines) for ax in figure.axes] == [3, 1]  # two groups and the line at 1; the preference


def test_a_group_without_cut_sites_has_no_footprint(world):
    adata = pseudobulk({"A": world[3]["A"], "B": {}})
    sca.tl.footprint(adata, world[1], flank=FLANK, progress=False)
    assert np.isnan(adata.uns["footprint"]["profile"][1]).all()
    assert adata.uns["footprint"]["table"].set_index("group")["depth"].isna().tolist() == [False, True]


def test_a_copy_leaves_the_object_alone(adata, world):
    copied = sca.tl.footprint(adata, world[1], groups="B", flank=FLANK, progress=False, copy=True)
    assert "footprint" not in adata.uns
    assert copied.uns["footprint"]["groups"].tolist() == ["B"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, TypeError, "Give either sites"),
        ({"motifs": "x.pfm"}, TypeError, "needs the genome's sequence"),
        ({"sites": SITE, "fasta": True, "scale": False}, ValueError, "With scale=False give sites= alone"),
        ({"sites": SITE, "scale": "no"}, TypeError, "scale is 'no'"),
        ({"motifs": "x.pfm", "fasta": True}, KeyError, "no .uns.*peaks.*; run sca.tl.call_peaks.* first"),
        ({"sites": 5}, TypeError, "sites is a int; expected a table"),
        ({"sites": {}}, ValueError, "empty mapping"),
        ({"sites": dict.fromkeys([1, "1"], ONE_SITE)}, ValueError, "Two motifs of sites are called '1'"),
        ({"sites": "none.bed"}, FileNotFoundError, "none.bed"),
        ({"sites": pd.DataFrame({"chrom": ["chr1"], "start": [1]})}, KeyError, "end"),
        ({"sites": pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [700]})}, ValueError, "600 bp wide"),
        ({"sites": pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [101]})}, ValueError, "core="),
        ({"sites": pd.DataFrame({"chrom": ["chr1"], "start": [100], "end": [120]}), "flank": 80}, ValueError, "110"),
        ({"sites": pd.DataFrame(columns=["chrom", "start", "end"])}, ValueError, "no rows"),
        ({"sites": pd.DataFrame(columns=["chrom", "start", "end", "motif"])}, ValueError, "no rows"),
        ({"sites": SITE.assign(motif=None)}, ValueError, "1 of 1 sites have no name in the column motif"),
        ({"sites": SITE.assign(strand="F")}, ValueError, "A strand in sites is 'F'"),
        ({"sites": pd.DataFrame({"chrom": ["chr1"], "start": [1], "end": [20]}), "groups": "C"}, KeyError, "C"),
        ({"sites": pd.DataFrame({"chrom": ["chr1"], "start": [1], "end": [20]}), "kmer": 20}, ValueError, "kmer"),
    ],
)
def test_what_cannot_be_used_is_told(adata, fasta, options, error, message):
    options = options | ({"fasta": fasta} if "fasta" in options else {})
    with pytest.raises(error, match=message):
        sca.tl.footprint(adata, **options, progress=False)
    assert "footprint" not in adata.uns


def test_figures_refuse_what_is_not_there(adata, world):
    with pytest.raises(KeyError, match=r"run sca\.tl\.footprint"):
        sca.pl.footprint(adata)
    sca.tl.footprint(adata, world[1], flank=FLANK, progress=False)
    with pytest.raises(ValueError, match="motifs is empty"):
        sca.pl.footprint(adata, [])
    with pytest.raises(KeyError, match="no motif or factor 'CTCF'"):
        sca.pl.footprint(adata, "CTCF")
    with pytest.raises(KeyError, match="no group 'C'"):
        sca.pl.footprint(adata, groups=["C"])
    with pytest.raises(ValueError, match="smooth is 503; expected a whole number from 1 to 301, the bp of a window"):
        sca.pl.footprint(adata, smooth=503, show=False)
    with pytest.raises(ValueError, match="smooth is 4"):
        sca.pl.footprint(adata, smooth=4)
