from scatacworks import datasets as datasets
from scatacworks import get as get
from scatacworks import io as io
from scatacworks import metrics as metrics
from scatacworks import models as models
from scatacworks import pl as pl
from scatacworks import pp as pp
from scatacworks import tl as tl
from scatacworks.genome import Genome as Genome
from scatacworks.genome import Region as Region
from scatacworks.prior import Prior as Prior
from scatacworks.tracks import Tracks as Tracks

__version__: str
