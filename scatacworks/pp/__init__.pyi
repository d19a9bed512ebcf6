from ._count_regions import count_regions as count_regions
from ._knn_groups import knn_groups as knn_groups
from ._lsi import lsi as lsi
from ._pseudobulk import pseudobulk as pseudobulk
from ._qc_metrics import qc_metrics as qc_metrics
from ._subsample import subsample as subsample
