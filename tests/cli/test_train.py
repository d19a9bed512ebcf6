from __future__ import annotations

import pytest


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
    arguments = ["--groups-column", "cell_type", "--model", model, "--bigwig", "none", "-q"]
    code, _, err = call("denoise", result / "scatacworks.h5ad", "--out", tmp_path / "d", *arguments)
    assert code == 0, err
