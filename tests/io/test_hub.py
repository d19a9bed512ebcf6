"""A hub read back: every stanza of trackDb.txt, every file by other libraries."""

from __future__ import annotations

import logging
import struct

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

import scatacworks as sca
from scatacworks.io import _hub
from scatacworks.pl._colors import group_colors

pybigtools = pytest.importorskip("pybigtools")
GROUPS = ["CD4 T", "CD4+T", "β=1\nodd", "nothing"]
COLORS = ["#ff0000", "#00ff0080", "blue", "#101010"]


def make_adata(genome="hg38", chroms=("chr10", "chr2")):
    rng = np.random.default_rng(0)
    sizes = dict.fromkeys(chroms, 10_000)
    genome = sca.Genome(sizes, name=genome)

    def runs():
        starts = np.sort(rng.choice(500, 40, replace=False)).astype(np.int32) * 20
        return starts, rng.integers(1, 20, 40).astype(np.int32), rng.random(40).astype(np.float32)

    tracks = sca.Tracks.from_chromosomes(GROUPS, genome, [(chrom, [runs() for _ in GROUPS]) for chrom in sizes])
    obs = pd.DataFrame({"type": pd.Categorical(GROUPS, categories=GROUPS)}, index=list("abcd"))
    adata = ad.AnnData(obs=obs)
    adata.uns["denoised"] = {"signal": tracks.to_dict(), "params": {"key": "pseudobulk"}}
    adata.uns["pseudobulk"] = {"params": {"groupby": "type"}}
    adata.uns["type_colors"] = COLORS
    heights = [(4_000, 3.0), (90, 1.5)]
    rows = [(g, c, s, s + 300, s + 120, 1.0, h) for g in GROUPS[:3] for c in chroms for s, h in heights]
    peaks = pd.DataFrame(rows, columns=["group", "chrom", "start", "end", "summit", "mean", "max"])
    adata.uns["peaks"] = peaks.assign(group=pd.Categorical(peaks["group"], categories=GROUPS))
    return adata


def stanzas(path):
    """Settings of every stanza, in order; a setting is given once."""
    out = []
    for text in path.read_text(encoding="utf-8").split("\n\n"):
        pairs = [line.strip().partition(" ")[::2] for line in text.strip().splitlines()]
        assert len(dict(pairs)) == len(pairs)
        assert all(value for _, value in pairs)
        out.append(dict(pairs))
    return out


def test_every_stanza_says_what_the_files_hold(tmp_path):
    adata = make_adata()
    hub = sca.io.write_hub(adata, tmp_path / "hub", name="My cells", email="me@example.org", progress=False)
    assert hub == tmp_path / "hub" / "hub.txt"
    labels = {"shortLabel": "My cells", "longLabel": "My cells"}
    expected = {"hub": "My_cells", **labels, "genomesFile": "genomes.txt", "email": "me@example.org"}
    assert stanzas(hub) == [expected]
    assert stanzas(hub.parent / "genomes.txt") == [{"genome": "hg38", "trackDb": "hg38/trackDb.txt"}]
    folder = hub.parent / "hg38"
    top, *rest = stanzas(folder / "trackDb.txt")
    assert top["track"] == "My_cells"
    assert top["longLabel"] == "My cells: 4 groups"
    assert top["compositeTrack"] == "on"
    assert top["subGroup1"] == "view View signal=Signal peaks=Peaks"
    assert top["subGroup2"] == "group Group CD4_T=CD4_T CD4_T_2=CD4+T 1_odd=β_1_odd nothing=nothing"
    views = {stanza["view"]: stanza for stanza in rest if "view" in stanza}
    assert {name: (view["type"], view["parent"]) for name, view in views.items()} == {
        "signal": ("bigWig", "My_cells"),
        "peaks": ("bigBed 6 +", "My_cells"),  # of which IGV shows no bigNarrowPeak
    }
    assert views["signal"]["autoScale"] == "group"
    leaves = [stanza for stanza in rest if "view" not in stanza]
    assert len({stanza["track"] for stanza in [top, *rest]}) == 1 + 2 + 4 + 3
    assert all(stanza["track"].isascii() and stanza["track"].replace("_", "").isalnum() for stanza in [top, *rest])
    assert {stanza["bigDataUrl"] for stanza in leaves} | {"trackDb.txt"} == {file.name for file in folder.iterdir()}
    stems = dict(zip(GROUPS, ["CD4_T", "CD4_T_2", "1_odd", "nothing"], strict=True))
    rgb = dict(zip(GROUPS, ["255,0,0", "0,255,0", "0,0,255", "16,16,16"], strict=True))
    wanted = [("signal", group) for group in GROUPS] + [("peaks", group) for group in GROUPS[:3]]
    for stanza, (view, group) in zip(leaves, wanted, strict=True):
        assert stanza["type"] == views[view]["type"]
        assert stanza["parent"] == f"{views[view]['track']} on"
        assert stanza["subGroups"] == f"view={view} group={stems[group]}"
        assert stanza["shortLabel"] == " ".join(group.split())
        assert stanza["color"] == rgb[group]
        with pybigtools.open(str(folder / stanza["bigDataUrl"])) as file:
            assert file.is_bigwig == (view == "signal")
            for chrom in ("chr10", "chr2"):
                if view == "signal":
                    values = np.nan_to_num(file.values(chrom, 0, 10_000, fillna=None))
                    np.testing.assert_allclose(values, sca.get.track(adata, group, chrom, key="denoised"), rtol=1e-6)
                    continue
                found = list(file.records(chrom))
                assert [row[:2] for row in found] == [(90, 390), (4_000, 4_300)]
                fields = [row[2:] if len(row) > 3 else row[2].split("\t") for row in found]
                assert [field[1] for field in fields] == ["500", "1000"], "relative to the highest of all groups"
                assert [field[3] for field in fields] == ["1.5", "3"]
                assert [field[6] for field in fields] == ["120", "120"]
            if view == "peaks":
                assert "bigNarrowPeak" in file.sql()
                n_fields, n_bed_fields = struct.unpack("<HH", (folder / stanza["bigDataUrl"]).read_bytes()[32:36])
                assert (n_fields, n_bed_fields) == (10, 6), "as bedToBigBed -type=bed6+4 writes it"


def test_other_libraries_read_the_signal(tmp_path):
    pybigwig = pytest.importorskip("pyBigWig")
    adata = make_adata()
    sca.io.write_hub(adata, tmp_path / "hub", groups=["nothing"], peaks_key=None, progress=False)
    assert sorted(file.name for file in (tmp_path / "hub" / "hg38").iterdir()) == ["signal_nothing.bw", "trackDb.txt"]
    with pybigwig.open(str(tmp_path / "hub" / "hg38" / "signal_nothing.bw")) as file:
        values = np.nan_to_num(file.values("chr2", 0, 10_000, numpy=True))
    np.testing.assert_allclose(values, sca.get.track(adata, "nothing", "chr2", key="denoised"), rtol=1e-6)


@pytest.mark.parametrize("layer", ["probability", "probability_unguided"])
def test_probabilities_are_drawn_from_0_to_1(tmp_path, layer):
    adata = make_adata()
    adata.uns["denoised"][layer] = adata.uns["denoised"]["signal"]
    sca.io.write_hub(adata, tmp_path / "hub", layer=layer, progress=False)
    _, view, *_ = stanzas(tmp_path / "hub" / "hg38" / "trackDb.txt")
    assert (view["view"], view["autoScale"], view["viewLimits"]) == ("signal", "off", "0:1")


def test_groups_without_colours_take_those_of_the_package(tmp_path):
    adata = make_adata()
    del adata.uns["type_colors"]
    sca.io.write_hub(adata, tmp_path / "hub", progress=False)
    colors = [stanza["color"] for stanza in stanzas(tmp_path / "hub" / "hg38" / "trackDb.txt") if "color" in stanza]
    assert len(set(colors[:4])) == 4
    assert colors[:3] == colors[4:]
    assert "type_colors" not in adata.uns
    sca.io.write_hub(adata, tmp_path / "one", groups=["nothing"], peaks_key=None, name="1 group", progress=False)
    top, *_, one = stanzas(tmp_path / "one" / "hg38" / "trackDb.txt")
    assert top["track"] == "hub_1_group", "names of tracks begin with a letter"
    drawn = to_rgb(group_colors(adata, "type", GROUPS)["nothing"])
    assert one["color"] == colors[3] == ",".join(str(round(255 * part)) for part in drawn)


def test_a_genome_that_the_browser_may_not_know_is_noted(tmp_path, caplog):
    adata = make_adata(genome="my fish/1")
    with caplog.at_level(logging.WARNING, logger="scatacworks"):
        sca.io.write_hub(adata, tmp_path / "hub", progress=False)
    assert "knows 'my fish/1'" in caplog.text
    assert (tmp_path / "hub" / "my_fish_1" / "trackDb.txt").is_file()
    caplog.clear()
    sca.io.write_hub(adata, tmp_path / "named", genome="mm10", progress=False)
    assert caplog.text == ""
    assert "genome mm10\n" in (tmp_path / "named" / "genomes.txt").read_text()


def test_the_name_of_a_genome_adds_no_lines(tmp_path):
    adata = make_adata(genome="fish\n\ngenome hg38\ntrackDb elsewhere.txt")
    sca.io.write_hub(adata, tmp_path / "hub", peaks_key=None, progress=False)
    (only,) = stanzas(tmp_path / "hub" / "genomes.txt")
    assert only["genome"] == "fish genome hg38 trackDb elsewhere.txt"
    assert (tmp_path / "hub" / only["trackDb"]).is_file()


def test_an_earlier_hub_is_replaced_whole_and_nothing_else_is(tmp_path, monkeypatch):
    adata = make_adata()
    path = tmp_path / "hub"
    sca.io.write_hub(adata, path, progress=False)

    def fails(*_):
        message = "full"
        raise OSError(message)

    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr(_hub, "_write_bigbed", fails)
        with pytest.raises(OSError, match="full"):
            sca.io.write_hub(adata, path, progress=False)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["hub"]
    (path / ".DS_Store").touch()  # somebody looked at the folder, on a Mac
    sca.io.write_hub(adata, path, groups=["nothing"], progress=False)
    assert sorted(file.name for file in (path / "hg38").iterdir()) == ["signal_nothing.bw", "trackDb.txt"]
    with pytest.raises(FileExistsError, match="holds a hub of another genome, which would be lost; delete it"):
        sca.io.write_hub(adata, path, genome="mm10", progress=False)
    (path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="which would be lost"):
        sca.io.write_hub(adata, path, progress=False)
    with pytest.raises(FileExistsError, match="is a file"):
        sca.io.write_hub(adata, path / "notes.txt", progress=False)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    adata = make_adata()
    with pytest.raises(KeyError, match="no group 'B'"):
        sca.io.write_hub(adata, tmp_path / "hub", groups=["B"], progress=False)
    with pytest.raises(KeyError, match="run sca.pp.pseudobulk"):
        sca.io.write_hub(adata, tmp_path / "hub", key="other", progress=False)
    with pytest.raises(KeyError, match="'cells' is no column of .obs"):
        sca.io.write_hub(adata, tmp_path / "hub", groupby="cells", progress=False)
    with pytest.raises(KeyError, match="no .uns.*peeks.*; run sca.tl.call_peaks.* first, or name the key_added"):
        sca.io.write_hub(adata, tmp_path / "hub", peaks_key="peeks", progress=False)
    adata.uns["peaks"] = adata.uns["peaks"].drop(columns="group")
    with pytest.raises(ValueError, match="no column 'group'; name those of the groups by peaks_key, or peaks_key=None"):
        sca.io.write_hub(adata, tmp_path / "hub", progress=False)
    monkeypatch.setitem(__import__("sys").modules, "pybigtools", None)
    with pytest.raises(ImportError) as caught:
        sca.io.write_hub(make_adata(), tmp_path / "hub", progress=False)
    assert "scatacworks[hub]" in caught.value.__notes__[0]
    assert not (tmp_path / "hub").exists()


def test_peaks_may_spell_chromosomes_in_other_ways(tmp_path):
    adata = make_adata()
    sca.io.write_hub(adata, tmp_path / "own", progress=False)
    peaks = adata.uns["peaks"]
    adata.uns["peaks"] = peaks.assign(chrom=peaks["chrom"].str.removeprefix("chr"))
    sca.io.write_hub(adata, tmp_path / "other", progress=False)
    files = sorted((tmp_path / "own" / "hg38").glob("*.bb"))
    assert len(files) == 3
    assert all((tmp_path / "other" / "hg38" / file.name).read_bytes() == file.read_bytes() for file in files)
    adata.uns["peaks"] = peaks.assign(chrom=peaks["chrom"].where(peaks["group"] != peaks["group"].iloc[0], "elsewhere"))
    with pytest.warns(UserWarning, match=r"peaks.*regions on chromosomes that 'hg38' lacks are left out \(elsewhere\)"):
        sca.io.write_hub(adata, tmp_path / "some", progress=False)
    assert len(list((tmp_path / "some" / "hg38").glob("*.bb"))) == 2
    adata.uns["peaks"] = peaks.assign(chrom="elsewhere")
    with pytest.raises(ValueError, match="No region of .*peaks.* is on a chromosome of 'hg38'"):
        sca.io.write_hub(adata, tmp_path / "none", progress=False)
    assert not (tmp_path / "none").exists()


def test_one_bar_tells_of_all_groups_and_one_group_is_singular(tmp_path, capsys):
    adata = make_adata()
    sca.io.write_hub(adata, tmp_path / "all")
    shown = capsys.readouterr().err
    assert "Writing hub: 100%" in shown
    assert "4/4" in shown
    assert "bigWig" not in shown
    sca.io.write_hub(adata, tmp_path / "one", groups=GROUPS[:1], progress=False)
    assert capsys.readouterr().err == ""
    assert "longLabel scatacworks: 1 group\n" in (tmp_path / "one" / "hg38" / "trackDb.txt").read_text()
