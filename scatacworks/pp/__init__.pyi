from scatacworks.pp._count_regions import count_regions as count_regions
from scatacworks.pp._knn_groups import knn_groups as knn_groups
from scatacworks.pp._lsi import lsi as lsi
from scatacworks.pp._pseudobulk import pseudobulk as pseudobulk
from scatacworks.pp._qc_metrics import qc_metrics as qc_metrics
from scatacworks.pp._subsample import subsample as subsample
