import anndata
import numpy as np
import pandas as pd
import pytest

import scatacworks as sca

mudata = pytest.importorskip("mudata")


def test_a_mudata_gives_the_same_in_its_modality(cells):
    regions = {"A": cells.var.iloc[:100][["chrom", "start", "end"]]}
    variants = cells.var.iloc[:50][["chrom", "start"]].assign(end=lambda t: t["start"] + 1, posterior=0.5)
    cells.obsm["X_lsi"] = np.random.default_rng(0).normal(size=(200, 2))
    bulk = pd.DataFrame(np.random.default_rng(1).random((1000, 4)), index=cells.var_names, columns=list("abcd"))
    rna = cells[:, :5].copy()
    rna.var_names = [f"gene{i}" for i in range(5)]
    both = mudata.MuData({"atac": cells.copy(), "rna": rna})
    index = anndata.AnnData(np.random.default_rng(2).integers(0, 2, (8, 1000)), var=cells.var)
    sca.tl.vocabulary(index, n_components=3, progress=False)
    for data in (cells, both):
        sca.tl.project_vocabulary(data, index, method="poisson")
        sca.tl.motif_deviations(data, annotations=regions, progress=False)
        sca.tl.motif_variability(data, n_bootstrap=10)
        sca.tl.trait_scores(data, variants={"t": variants}, n_background=10, progress=False)
        sca.tl.project_bulk(data, bulk)
        sca.tl.transfer_labels(data)
        sca.tl.smooth(data, keys="X", n_neighbors=5)
    own = both.mod["atac"]
    for key in ("motif_deviations_z", "trait_scores", "X_bulk", "X_vocabulary"):
        np.testing.assert_array_equal(np.asarray(own.obsm[key]), np.asarray(cells.obsm[key]))
    np.testing.assert_array_equal(own.layers["X_smooth"], cells.layers["X_smooth"])
    with pytest.raises(KeyError, match="no modality 'rnaX'"):
        sca.tl.smooth(both, keys="X", mod="rnaX")
