from . import datasets as datasets
from . import get as get
from . import io as io
from . import metrics as metrics
from . import models as models
from . import pl as pl
from . import pp as pp
from . import tl as tl
from .genome import Genome as Genome
from .genome import Region as Region
from .prior import Prior as Prior
from .tracks import Tracks as Tracks

__version__: str
