from __future__ import annotations

import numpy as np
import pytest

SIZES = {"chr1": 40_000, "chr2": 20_000}


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A smoother with a peak call: a model that needs no training."""
    from scatacworks import models

    path = tmp_path_factory.mktemp("model") / "gauss.safetensors"
    models.save(models.Gaussian(), path)
    return path


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """A fragment file of 60 cells with two summits, a table of groups, and chromosome sizes."""
    folder = tmp_path_factory.mktemp("inputs")
    rng = np.random.default_rng(1)
    barcodes = ["".join(rng.choice(list("ACGT"), 16)) + "-1" for _ in range(60)]
    rows = []
    for i, barcode in enumerate(barcodes):
        for _ in range(60):
            chrom = rng.choice(list(SIZES), p=[0.7, 0.3])
            near = int(rng.normal(10_000 if i % 2 else 15_000, 150))
            start = near if rng.random() < 0.7 else int(rng.integers(0, SIZES[chrom] - 700))
            rows.append((chrom, start, start + int(rng.integers(30, 400)), barcode))
    rows.sort()
    fragments = folder / "fragments.tsv"
    fragments.write_text("".join(f"{c}\t{s}\t{e}\t{b}\t1\n" for c, s, e, b in rows))
    (folder / "cells.tsv").write_text(
        "barcode\tcell_type\n" + "".join(f"{b}\t{'NK/T' if i % 2 else 'B'}\n" for i, b in enumerate(barcodes))
    )
    (folder / "toy.sizes").write_text("".join(f"{name}\t{size}\n" for name, size in SIZES.items()))
    return folder


@pytest.fixture
def call(capsys):
    """Run a command; return exit code, output and messages."""
    from scatacworks.cli import main

    def run(*arguments):
        try:
            main(list(map(str, arguments)))
            code = 0
        except SystemExit as end:
            code = end.code or 0
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def result(inputs, model, tmp_path_factory):
    """The folder that `scatacworks denoise` leaves."""
    from scatacworks.cli import main

    out = tmp_path_factory.mktemp("out") / "run"
    names = {"groups": inputs / "cells.tsv", "genome": inputs / "toy.sizes", "out": out, "model": model}
    options = [text for name, value in names.items() for text in (f"--{name}", str(value))]
    with pytest.raises(SystemExit) as end:
        main(["denoise", str(inputs / "fragments.tsv"), *options, "--quiet", "--n-jobs", "1"])
    assert not end.value.code
    return out


@pytest.fixture
def adata(result):
    import anndata

    return anndata.read_h5ad(result / "scatacworks.h5ad")
