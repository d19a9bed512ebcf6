from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import anndata as ad
import numpy as np
import pyBigWig
import pytest

import scatacworks as sca


def test_every_group_gets_tracks_and_peaks(result):
    assert sorted(path.name for path in (result / "bigwig").iterdir()) == [
        f"{group}.{layer}.bw" for group in ("B", "NK_T") for layer in ("denoised", "probability", "raw")
    ]
    assert sorted(path.name for path in (result / "peaks").iterdir()) == ["B.narrowPeak", "NK_T.narrowPeak"]
    assert {"peaks.bed", "scatacworks.h5ad", "report.html", "figures"} <= {path.name for path in result.iterdir()}


@pytest.mark.parametrize("layer", ["denoised", "probability"])
def test_bigwig_has_the_values_of_the_object(result, adata, layer):
    handle = pyBigWig.open(str(result / "bigwig" / f"NK_T.{layer}.bw"))
    kept = sca.get.tracks(adata, key="denoised", layer={"denoised": "signal"}.get(layer, layer))
    rng = np.random.default_rng(0)
    for chrom, size in handle.chroms().items():
        expected = kept.window("NK/T", chrom, 0, size)
        for base in rng.integers(0, size, 200):
            found = handle.values(chrom, int(base), int(base) + 1)[0]
            assert np.nan_to_num(found) == pytest.approx(expected[base], rel=1e-6)
        assert np.nansum(handle.values(chrom, 0, size, numpy=True)) == pytest.approx(expected.sum(), rel=1e-4)


def test_raw_bigwig_is_the_coverage(result, adata):
    handle = pyBigWig.open(str(result / "bigwig" / "B.raw.bw"))
    expected = sca.get.track(adata, "B", "chr1")
    np.testing.assert_array_equal(np.nan_to_num(handle.values("chr1", 0, len(expected), numpy=True)), expected)


def test_peaks_are_found_where_the_fragments_lie(adata):
    peaks = adata.uns["peaks"]
    for group, summit in (("NK/T", 10_000), ("B", 15_000)):
        own = peaks[(peaks["group"] == group) & (peaks["chrom"] == "chr1")]
        assert ((own["start"] < summit) & (own["end"] > summit)).any()


def test_the_report_needs_no_other_file(result):
    page = (result / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") >= 2
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    local = [source for source in sources if not source.startswith("data:")]
    assert all((result / source).exists() for source in local)
    assert "NK/T" in page
    assert "60" in page
    parameters = dict(re.findall(r"<tr><th>([a-z_.]+)</th><td>([^<]*)</td></tr>", page))
    of_each_step = ("pseudobulk.groupby", "denoise.key", "call_peaks.min_length")
    assert [parameters[name] for name in of_each_step] == ["cell_type", "pseudobulk", "200"]


def test_the_object_goes_on_where_the_command_stopped(call, result, tmp_path):
    code, out, _ = call(
        "peaks", result / "scatacworks.h5ad", "--out", tmp_path / "p.bed", "--threshold", 0.9, "--min-length", 50
    )
    assert code == 0
    assert "peaks of NK/T" in out
    assert (tmp_path / "p.bed").exists()


def test_peaks_of_bigwig_files(call, result, tmp_path):
    code, out, _ = call("peaks", result / "bigwig" / "B.probability.bw", "--out", tmp_path / "p.narrowPeak")
    assert code == 0
    assert "peaks of B:" in out
    original = sca.io.read_peaks(result / "peaks" / "B.narrowPeak")[["chrom", "start", "end"]]
    again = sca.io.read_peaks(tmp_path / "p.narrowPeak")[["chrom", "start", "end"]]
    assert again.equals(original)


def test_peaks_of_a_folder_are_those_of_its_probabilities(call, result, tmp_path):
    source = shutil.copytree(result / "bigwig", tmp_path / "bigwig")
    (source / "._B.probability.bw").write_bytes(b"\0\5\x16\7")  # which macOS leaves on other disks
    code, out, _ = call("peaks", source, "--out", tmp_path)
    assert code == 0
    assert "B.raw" not in out
    for group in ("B", "NK_T"):
        original = sca.io.read_peaks(result / "peaks" / f"{group}.narrowPeak")[["chrom", "start", "end"]]
        again = sca.io.read_peaks(tmp_path / f"{group}.narrowPeak")[["chrom", "start", "end"]]
        assert again.equals(original)


def test_names_are_told_in_whatever_letters_the_output_has(result, tmp_path):
    source = shutil.copy(result / "bigwig" / "B.probability.bw", tmp_path / "γδ.probability.bw")
    command = [sys.executable, "-m", "scatacworks", "peaks", source, "--out", tmp_path / "out.bed"]
    done = subprocess.run(command, env=os.environ | {"PYTHONIOENCODING": "cp1252"}, capture_output=True, check=False)
    assert (done.returncode, b"peaks of \\u03b3\\u03b4: " in done.stdout) == (0, True), done.stderr


def test_coverage_is_not_taken_for_a_probability(call, result, tmp_path):
    arguments = ("peaks", result / "bigwig" / "B.raw.bw", "--out", tmp_path / "p.bed")
    code, _, err = call(*arguments)
    assert (code, "is no peak probability" in err) == (1, True)
    assert not (tmp_path / "p.bed").exists()
    code, _, _ = call(*arguments, "--threshold", 5)
    assert code == 0
    assert len(sca.io.read_peaks(tmp_path / "p.bed")) > 0


def test_the_threshold_of_the_highest_f1_is_the_same_of_files(call, result, tmp_path):
    places = (result / "scatacworks.h5ad", tmp_path / "a.bed"), (result / "bigwig", tmp_path / "b")
    for source, out in places:
        code, _, err = call("peaks", source, "--out", out, "--threshold", "f1")
        assert code == 0, err
    together = sca.io.read_peaks(tmp_path / "a.bed")
    for group in ("B", "NK_T"):
        own = sca.io.read_peaks(tmp_path / "b" / f"{group}.narrowPeak")[["chrom", "start", "end"]]
        assert len(own)
        same = together[together["name"].str.startswith(group.replace("_", "/"))][["chrom", "start", "end"]]
        assert np.array_equal(own.to_numpy(), same.to_numpy())
    code, _, err = call("peaks", result / "bigwig" / "B.raw.bw", "--out", tmp_path / "c.bed", "--threshold", "f1")
    assert (code, "is no peak probability" in err) == (1, True)


def test_files_of_an_earlier_run_are_not_taken_for_this_ones(call, result, model, tmp_path):
    out = tmp_path / "again"
    shutil.copytree(result, out)
    arguments = ["denoise", result / "scatacworks.h5ad", "--groups-column", "cell_type", "--model", model, "--out", out]
    code, said, err = call(*arguments, "--group", "B", "--n-jobs", 1)
    assert code == 0, err
    assert "bigwig (3 files)" in said
    assert "peaks (1 files)" in said
    assert "bigwig also holds 3 files that this run did not write, such as NK_T.denoised.bw" in err


def test_quiet_says_nothing_but_warnings(call, inputs, model, tmp_path):
    out = tmp_path / "out"
    options = ("--groups", inputs / "cells.tsv", "--genome", inputs / "toy.sizes", "--model", model, "--out", out)
    arguments = ("denoise", inputs / "fragments.tsv", *options, "--bigwig", "raw", "--n-jobs", 1, "--quiet")
    assert call(*arguments) == (0, "", "")
    assert call("peaks", out / "scatacworks.h5ad", "--out", out / "again.bed", "--quiet") == (0, "", "")
    (out / "bigwig" / "old.bw").touch()
    code, said, err = call(*arguments)
    assert (code, said) == (0, "")
    assert "files that this run did not write, such as old.bw" in err
    _, said, err = call(*arguments[:-1])
    assert "Written to" in said
    assert "60 of 60 barcodes" in err


def test_genes_of_a_genome_of_ones_own_can_be_named(call, inputs, model, tmp_path):
    (tmp_path / "genes.bed").write_text("1\t9000\t11000\tAlpha\t0\t+\n")
    arguments = [
        "denoise", inputs / "fragments.tsv", "--groups", inputs / "cells.tsv", "--genome", inputs / "toy.sizes",
        "--model", model, "--out", tmp_path / "out", "--bigwig", "none", "--quiet", "--n-jobs", 1,
    ]  # fmt: skip
    code, _, err = call(*arguments, "--regions", "Alpha")
    assert (code, "No gene table" in err) == (1, True)
    code, _, err = call(*arguments, "--regions", "Alpha", "--genes", tmp_path / "genes.bed")
    assert code == 0, err
    adata = ad.read_h5ad(tmp_path / "out" / "scatacworks.h5ad")
    assert adata.uns["denoised"]["regions"].iloc[0].tolist() == ["chr1", 7_000, 13_000]
    assert adata.uns["reference_genes"]["name"].tolist() == ["Alpha"]


def test_organelles_can_be_named(call, inputs, model, result, tmp_path):
    arguments = [
        "denoise", inputs / "fragments.tsv", "--groups", inputs / "cells.tsv", "--genome", inputs / "toy.sizes",
        "--model", model, "--out", tmp_path / "out", "--bigwig", "none", "--quiet", "--n-jobs", 1,
    ]  # fmt: skip
    code, _, err = call(*arguments, "--organelles", "chr2")
    assert code == 0, err
    adata = ad.read_h5ad(tmp_path / "out" / "scatacworks.h5ad")
    assert sca.get.tracks(adata).genome.organelles == ("chr2",)
    assert np.isnan(sca.get.track(adata, "B", "chr2:0-20000", key="denoised")).all()
    code, _, err = call("denoise", result / "scatacworks.h5ad", "--out", tmp_path / "other", "--organelles", "chr2")
    assert (code, "--organelles goes with --genome" in err) == (1, True)


def test_an_h5ad_and_regions_are_taken(call, result, model, tmp_path):
    (tmp_path / "regions.bed").write_text("chr1\t7999\t18000\nchr9\t1\t2\n")
    code, out, err = call(
        *("denoise", result / "scatacworks.h5ad", "--groups-column", "cell_type", "--out", tmp_path / "again"),
        *("--model", model, "--regions", tmp_path / "regions.bed", "--bigwig", "denoised", "--group", "B"),
        *("--show", "chr1:9000-12000", "--path", tmp_path / "store"),
    )
    assert code == 0, err
    assert err.count("that toy lacks (chr9); they are left out") == 1
    assert [path.name for path in (tmp_path / "again" / "bigwig").iterdir()] == ["B.denoised.bw"]
    assert "Written to" in out
    assert (tmp_path / "store").is_dir()


def test_a_helper_fills_the_store_and_writes_nothing_else(call, inputs, model, result, tmp_path):
    arguments = [
        "denoise", inputs / "fragments.tsv", "--groups", inputs / "cells.tsv", "--genome", inputs / "toy.sizes",
        "--model", model, "--out", tmp_path / "out", "--quiet", "--n-jobs", 1,
    ]  # fmt: skip
    code, _, err = call(*arguments, "--tracks-only")
    assert (code, "--tracks-only needs --path" in err) == (1, True)
    code, _, err = call(*arguments, "--tracks-only", "--path", tmp_path / "store")
    assert code == 0, err
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
    stored = sca.Tracks.from_zarr(tmp_path / "store" / "signal")
    expected = sca.get.tracks(ad.read_h5ad(result / "scatacworks.h5ad"), key="denoised")
    for group in expected.groups:
        np.testing.assert_array_equal(
            stored.window(group, "chr1", 0, 20_000), expected.window(group, "chr1", 0, 20_000)
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fragments": "none.tsv"}, "does not exist"),
        ({"groups": "none.tsv"}, "none.tsv does not exist"),
        ({"genome": "hg99"}, "Unknown genome 'hg99'"),
        ({"genome": None}, "--genome hg38"),
        ({"groups": None}, "--groups cells.tsv"),
        ({"groups-column": "no"}, "has no column 'no'"),
        ({"model": "no_such"}, "no_such"),
        ({"group": "T"}, "T"),
        ({"regions": "chr9:1-5"}, "outside the genome"),
        ({"bigwig": "raw,all"}, "--bigwig names 'all'"),
        ({"out": "occupied"}, "is a file"),
        ({"show": "chr1:90000-91000"}, "not within chr1"),
        ({"regions": "none.bed"}, "none.bed does not exist"),
        ({"fragments": "fr\udce9.tsv"}, r"fr\udce9.tsv' has letters that are not of this system's encoding"),
        ({"path": "fr\udce9"}, r"fr\udce9' has letters"),
    ],
)
def test_problems_with_the_input_are_one_sentence(*, call, inputs, model, tmp_path, change, message):
    (tmp_path / "occupied").write_text("")
    options = {
        "fragments": inputs / "fragments.tsv",
        "groups": inputs / "cells.tsv",
        "genome": inputs / "toy.sizes",
        "model": model,
        "out": tmp_path / "out",
    }
    options |= {name: tmp_path / value if name in ("out", "path") else value for name, value in change.items()}
    fragments = options.pop("fragments")
    arguments = [text for name, value in options.items() if value is not None for text in (f"--{name}", value)]
    code, _, err = call("denoise", fragments, *arguments, "--quiet")
    assert code == 1
    assert message in err
    assert "Traceback" not in err
    errors = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert not (tmp_path / "out").exists()
    assert "fragments of" not in err or "group" in change  # all but the groups is known before the fragments are read


@pytest.mark.parametrize(
    ("command", "options", "code", "message"),
    [
        ("peaks", {"out": "p.txt"}, 1, "is neither .bed nor .narrowPeak"),
        ("peaks", {"out": "occupied/p.bed"}, 1, "is a file"),
        ("peaks", {"out": "occupied/p"}, 1, "is a file"),
        ("denoise", {"out": "out", "path": "occupied"}, 1, "is a file"),
        ("denoise", {"out": "out", "path": "."}, 1, "is a folder with something else in it"),
        ("denoise", {"out": "out", "model": "none"}, 1, "none"),
        ("denoise", {"out": None}, 2, "it is empty"),
        ("denoise", {"out": "out", "path": None}, 2, "it is empty"),
        ("peaks", {"out": None}, 2, "it is empty"),
        ("train", {"out": None}, 2, "it is empty"),
        ("demo", {"out": None}, 2, "it is empty"),
    ],
)
def test_places_for_results_are_looked_at_before_the_work(
    *, call, result, tmp_path, monkeypatch, command, options, code, message
):
    for module, name in (
        (sca.pp, "pseudobulk"),
        (sca.tl, "call_peaks"),
        (sca.tl, "train"),
        (sca.datasets, "pbmc_windows"),
    ):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("work"))
    (tmp_path / "occupied").write_text("")
    options = {name: "" if value is None else tmp_path / value for name, value in options.items()}
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    source = [] if command == "demo" else [result / "scatacworks.h5ad"]
    column = ["--groups-column", "cell_type"] if command == "denoise" else []
    ended, _, err = call(command, *source, *column, *arguments)
    assert (ended, message in " ".join(err.split())) == (code, True), err
    assert [path.name for path in tmp_path.iterdir()] == ["occupied"]


def test_the_batch_size_reaches_the_network(call, inputs, model, tmp_path, monkeypatch):
    from scatacworks.models._predictor import Predictor

    def small_memory(self, unit, progress=None):
        msg = f"batches of {self.batch_size}"
        raise MemoryError(msg)

    monkeypatch.setattr(Predictor, "run", small_memory)
    options = ["--groups", inputs / "cells.tsv", "--genome", inputs / "toy.sizes", "--model", model, "-q"]
    code, _, err = call("denoise", inputs / "fragments.tsv", "--out", tmp_path / "o", "--batch-size", 3, *options)
    assert code == 1
    assert "batches of 3" in err


def test_debug_shows_the_error_itself(call, tmp_path, monkeypatch):
    monkeypatch.setenv("SCATACWORKS_DEBUG", "")
    with pytest.raises(FileNotFoundError):
        call("denoise", "none.tsv", "--genome", "hg38", "--groups", "none", "--out", tmp_path, "--debug")


def test_wrong_usage_and_help(call):
    assert call("denoise")[0] == 2
    assert call("no-such-command")[0] == 2
    code, out, _ = call("denoise", "--help")
    assert code == 0
    assert "--groups-column" in out


def test_interruption_leaves_nothing_half_written(call, inputs, model, tmp_path, monkeypatch):
    from scatacworks._core import bigwig

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(bigwig.Writer, "close", stop)
    code, _, err = call(
        *("denoise", inputs / "fragments.tsv", "--groups", inputs / "cells.tsv", "--genome", inputs / "toy.sizes"),
        *("--model", model, "--out", tmp_path / "out", "-q"),
    )
    assert code == 130
    assert "Stopped" in err
    left = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.suffix != ".png"]
    assert left == []


def test_info_and_models(call, result):
    code, out, _ = call("info")
    assert code == 0
    assert sca.__version__ in out
    assert "2 groups" in call("info", result / "scatacworks.h5ad")[1]
    assert "bases" in call("info", result / "bigwig" / "B.raw.bw")[1]
    assert call("models")[0] == 0


def test_malformed_lines_can_be_left_out(call, inputs, model, tmp_path):
    broken = tmp_path / "broken.tsv"
    broken.write_text((inputs / "fragments.tsv").read_text() + "chr1\t90\t50\tACGT-1\t1\n")
    options = ("--groups", inputs / "cells.tsv", "--genome", inputs / "toy.sizes", "--model", model, "--quiet")
    code, _, err = call("denoise", broken, *options, "--out", tmp_path / "out")
    assert code == 1
    assert "start that is not before its end" in err
    assert not (tmp_path / "out").exists()
    code, _, err = call(
        "denoise", broken, *options, "--out", tmp_path / "out", "--malformed", "skip", "--bigwig", "none"
    )
    assert code == 0, err
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize("option", ["--threshold", "--min-length", "--max-gap", "--convention", "--malformed"])
def test_values_out_of_range_are_wrong_usage(call, inputs, tmp_path, option):
    code, _, err = call("denoise", inputs / "fragments.tsv", "--out", tmp_path / "out", option, "-3")
    assert code == 2
    assert option in err
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def guided_model(tmp_path_factory):
    import torch

    from scatacworks.models.guide import with_guide

    torch.manual_seed(0)
    config = sca.models.BinnedUNetConfig(channels=(8, 8, 8), dilations=(1, 2))
    model = with_guide(sca.models.BinnedUNet(config, {"name": "toy", "data": "none"}))
    return sca.models.save(model, tmp_path_factory.mktemp("guided") / "toy")


def guided_arguments(inputs, model, out):
    arguments = [
        "denoise",
        inputs / "fragments.tsv",
        "--groups",
        inputs / "cells.tsv",
        "--genome",
        inputs / "toy.sizes",
    ]
    return [*arguments, "--model", model, "--out", out, "--bigwig", "none", "--quiet", "--n-jobs", 1]


@pytest.mark.parametrize("source", ["folder", "self"])
def test_a_prior_can_be_named(call, inputs, guided_model, tmp_path, source):
    samples = tmp_path / "samples"
    samples.mkdir()
    for i, name in enumerate(("liver", "lung", "target")):
        (samples / f"{name}.bed").write_text(f"chr1\t{9_500 + 100 * i}\t10_500\n".replace("_", ""))
    options = ["--prior", samples, "--prior-exclude", "target"] if source == "folder" else ["--prior", "self"]
    options += ["--prior-weight", 0.5, "--bigwig", "probability"]
    code, _, err = call(*guided_arguments(inputs, guided_model, tmp_path / "out"), *options)
    assert code == 0, err
    endings = {file.name.split(".", 1)[1] for file in (tmp_path / "out" / "bigwig").iterdir()}
    assert endings == {"probability.bw", "probability_unguided.bw"}
    adata = ad.read_h5ad(tmp_path / "out" / "scatacworks.h5ad")
    params = adata.uns["denoised"]["params"]
    assert params["prior_weight"] == 0.5
    assert list(params["prior_rows"]) == (["liver", "lung"] if source == "folder" else ["B", "NK/T"])
    assert "probability_unguided" in adata.uns["denoised"]


def test_groups_that_are_asked_for_are_guided_by_all_others(call, inputs, guided_model, tmp_path):
    options = ["--prior", "self", "--group", "B"]
    code, _, err = call(*guided_arguments(inputs, guided_model, tmp_path / "out"), *options)
    assert code == 0, err
    adata = ad.read_h5ad(tmp_path / "out" / "scatacworks.h5ad")
    assert list(adata.uns["denoised"]["params"]["groups"]) == ["B"]
    assert list(adata.uns["denoised"]["params"]["prior_rows"]) == ["B", "NK/T"]


def test_a_prior_that_cannot_be_used_is_told_first(call, inputs, model, guided_model, tmp_path):
    code, _, err = call(*guided_arguments(inputs, model, tmp_path / "out"), "--prior", "self")
    assert (code, "has no guide" in err) == (1, True)
    code, _, err = call(*guided_arguments(inputs, guided_model, tmp_path / "out"), "--prior", tmp_path / "none.txt")
    assert (code, "none.txt" in err) == (1, True)
    options = ["--prior", "self", "--prior-exclude", "B"]
    code, _, err = call(*guided_arguments(inputs, guided_model, tmp_path / "out"), *options)
    assert (code, "--prior-exclude does not go" in err) == (1, True)
    options = ["--prior-weight", "0.5"]
    code, _, err = call(*guided_arguments(inputs, guided_model, tmp_path / "out"), *options)
    assert (code, "need --prior" in err) == (1, True)
    assert not (tmp_path / "out").exists()


def test_wrong_excluded_regions_are_told_as_such(call, inputs, tmp_path):
    (tmp_path / "blacklist.bed").write_text("chr1\t14000\t1600000\n")
    arguments = [inputs / "fragments.tsv", "--groups", inputs / "cells.tsv", "--genome", inputs / "toy.sizes"]
    code, _, err = call("denoise", *arguments, "--exclude", tmp_path / "blacklist.bed", "--out", tmp_path / "out")
    assert code == 1
    assert "reach over the end of their chromosome" in err
    assert "regions whose fragments are to be left out" in err
    assert "--prior-exclude" not in err


@pytest.mark.parametrize("source", ["fragments", "h5ad"])
def test_excluded_regions_have_no_signal(call, inputs, model, tmp_path, source):
    (tmp_path / "blacklist.bed").write_text("chr1\t14000\t15500\n")
    arguments = [inputs / "fragments.tsv", "--groups", inputs / "cells.tsv", "--genome", inputs / "toy.sizes"]
    if source == "h5ad":
        cells = sca.io.read_fragments(arguments[0], genome=arguments[-1], barcodes=arguments[2], progress=False)
        cells.write_h5ad(tmp_path / "cells.h5ad")
        arguments = [tmp_path / "cells.h5ad", "--groups-column", "cell_type"]
    options = ["--exclude", tmp_path / "blacklist.bed", "--exclude", "chr1:15,500-16,000"]
    options += ["--model", model, "--bigwig", "none", "--quiet"]
    code, _, err = call("denoise", *arguments, "--out", tmp_path / "out", *options)
    assert code == 0, err
    adata = ad.read_h5ad(tmp_path / "out" / "scatacworks.h5ad")
    assert sca.get.track(adata, "B", "chr1:14,000-16,000", extend=0).sum() == 0
    assert sca.get.track(adata, "NK/T", "chr1:9,000-11,000", extend=0).sum() > 0
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    n_excluded = adata.uns["pseudobulk"]["params"]["n_excluded"]
    assert n_excluded > 100
    assert f"<th>fragments cut in excluded regions, left out</th><td>{n_excluded:,}</td>" in page
