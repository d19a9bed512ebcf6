from ._pbmc import pbmc_windows as pbmc_windows
from ._toy import toy as toy
