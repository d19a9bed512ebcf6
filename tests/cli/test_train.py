from __future__ import annotations

import pandas as pd
import pytest

from scatacworks.cli._groups import open_anndata


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_trained_model_denoises(call, result, tmp_path):
    pytest.importorskip("lightning")
    options = ["--steps", 10, "--model", "Linear", "--validation", "chr2", "--holdout", "chr2:1-2", "--n-jobs", 1]
    code, out, err = call("train", result / "scatacworks.h5ad", "--out", tmp_path / "t", *options, "-q")
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_training_without_validation_ends_well(call, result, tmp_path):
    pytest.importorskip("lightning")
    (tmp_path / "training.png").write_text("of an earlier run")
    options = ["--steps", 10, "--model", "Linear", "--holdout", "chr2", "--n-jobs", 1, "-q"]
    code, out, err = call("train", result / "scatacworks.h5ad", "--out", tmp_path, *options)
    assert code == 0, err
    assert "Trained without validation" in out
    assert (tmp_path / "model.safetensors").exists()
    assert not (tmp_path / "training.png").exists()


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
