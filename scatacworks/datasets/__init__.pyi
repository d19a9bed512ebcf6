from scatacworks.datasets._pbmc import pbmc_windows as pbmc_windows
from scatacworks.datasets._toy import toy as toy
