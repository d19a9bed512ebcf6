from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

from scatacworks.cli._groups import open_anndata


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_trained_model_denoises(call, result, tmp_path):
    pytest.importorskip("lightning")
    options = ["--steps", 10, "--model", "Linear", "--validation", "chr2", "--holdout", "chr2:1-2", "--n-jobs", 1]
    code, out, err = call("train", result / "scatacworks.h5ad", "--out", tmp_path / "t", *options)
    assert code == 0, err
    assert "Trained for 10 steps" in out
    model = tmp_path / "t" / "model.safetensors"
    assert model.exists()
    assert (tmp_path / "t" / "training.png").exists()
    again = ["train", result / "scatacworks.h5ad", "--out", tmp_path / "t", *options, "-q"]
    code, _, err = call(*again)
    assert code == 1
    assert "holds a finished model" in err
    assert "--overwrite" in err
    for more in (["--resume"], ["--overwrite", "--batch-size", 2]):
        code, _, err = call(*again, *more)
        assert code == 0, err
    arguments = ["--groups-column", "cell_type", "--model", model, "--bigwig", "none", "-q"]
    code, _, err = call("denoise", result / "scatacworks.h5ad", "--out", tmp_path / "d", *arguments)
    assert code == 0, err


def test_validation_and_holdout_can_be_none(call, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr("scatacworks.cli._train.run", lambda _, __, options: given.append(options))
    for options in (
        [],
        ["--validation", "none", "--holdout", "none"],
        ["--validation", "chr1", "--validation", "chr2"],
    ):
        code, _, err = call("train", tmp_path / "in.bw", "--out", tmp_path / "out", *options)
        assert code == 0, err
    assert [options["validation"] for options in given] == [None, [], ["chr1", "chr2"]]
    assert [options["holdout"] for options in given] == [None, [], None]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_training_without_validation_ends_well(call, result, tmp_path):
    pytest.importorskip("lightning")
    options = ["--steps", 10, "--model", "Linear", "--holdout", "chr2", "--n-jobs", 1]
    code, out, err = call("train", result / "scatacworks.h5ad", "--out", tmp_path, *options)
    assert code == 0, err
    assert re.match(r"Trained for 10 steps; loss \d\S*\. Without validation", out)  # progress is no result
    assert re.search(r"10/10 .*loss=\d", err)
    assert (tmp_path / "model.safetensors").exists()
    assert (tmp_path / "training.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_cells_are_drawn_and_bigwigs_taken(call, result, tmp_path):
    pytest.importorskip("lightning")
    import scatacworks as sca

    options = ["--steps", 10, "--model", "Linear", "--validation", "chr2", "--holdout", "chr2:1-2", "--n-jobs", 1, "-q"]
    cells = ["--cells", 3, "--cells", 10]
    code, _, err = call("train", result / "scatacworks.h5ad", "--out", tmp_path / "cells", *cells, *options)
    assert code == 0, err
    assert {"auprc_3 cells", "auprc_10 cells"} <= set(pd.read_csv(tmp_path / "cells" / "history.csv"))
    adata = open_anndata(result / "scatacworks.h5ad")
    sca.io.write_bigwig(adata, tmp_path / "clean", key="pseudobulk", progress=False)
    code, _, err = call("train", tmp_path / "clean", "--out", tmp_path / "bigwig", *options)
    assert code == 0, err
    code, _, err = call("train", tmp_path / "clean", "--out", tmp_path / "no", *options, "--cells", 3)
    assert code == 1
    assert "tracks without cells" in err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["CTCF"], "--extra is 'CTCF'; expected NAME=FILE"),
        (["=x.bed"], "--extra is '=x.bed'; expected NAME=FILE"),
        (["CTCF=nowhere.bed"], "nowhere.bed"),
        (["a={file}", "a={file}"], "--extra names the channel 'a' twice"),
    ],
)
def test_wrong_channels_are_told_first(call, result, tmp_path, given, said):
    file = tmp_path / "a.bed"
    file.write_text("chr1\t5\t90\n")
    extra = [part for text in given for part in ("--extra", text.format(file=file))]
    for command in ("denoise", "train"):
        code, _, err = call(command, result / "scatacworks.h5ad", "--out", tmp_path / command, *extra)
        assert code == 1
        assert said in err
        assert not (tmp_path / command).exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_chip_seq_is_predicted_from_motifs(call, inputs, result, tmp_path):
    pytest.importorskip("lightning")
    import scatacworks as sca

    motifs, peaks, target = tmp_path / "motifs.bed", tmp_path / "peaks.bed", tmp_path / "chip.bw"
    motifs.write_text("chr1\t9900\t10100\nchr2\t9900\t10100\n")
    peaks.write_text("chr1\t9800\t10200\nchr2\t9800\t10200\n")
    peak = np.array([9_800], np.int32), np.array([400], np.int32), np.array([7.0], np.float32)
    genome = sca.Genome({"chr1": 40_000, "chr2": 20_000})
    tracks = sca.Tracks.from_chromosomes(["chip"], genome, [("chr1", [peak]), ("chr2", [peak])])
    sca.io.write_bigwig(tracks, target, progress=False)
    options = ["--steps", 10, "--validation", "chr2", "--holdout", "chr2:1-2", "--n-jobs", 1, "-q"]
    chip = ["--peaks", peaks, "--target", target, "--extra", f"CTCF={motifs}"]
    code, _, err = call("train", result / "scatacworks.h5ad", "--out", tmp_path / "t", *options, *chip)
    assert code == 0, err
    model = ["--model", tmp_path / "t", "--bigwig", "none", "-q", "--regions", "chr2", "--show", "chr2:9000-11000"]
    fragments = inputs / "fragments.tsv", "--groups", inputs / "cells.tsv", "--genome", inputs / "toy.sizes"
    code, _, err = call("denoise", *fragments, "--out", tmp_path / "d", *model)
    assert code == 1
    assert "reads the extra channels CTCF; --extra lacks CTCF" in err
    code, _, err = call("denoise", *fragments, "--out", tmp_path / "d", *model, "--extra", f"CTCF={motifs}")
    assert code == 0, err
    adata = open_anndata(tmp_path / "d" / "scatacworks.h5ad")
    assert list(adata.uns["denoised"]["params"]["extra"]) == ["CTCF"]
    report = (tmp_path / "d" / "report.html").read_text()
    assert "Signal of the groups in the unit of the model&#39;s target, and the peaks" in report
    assert re.search(r"extra channels.*\n?.*CTCF", report)
