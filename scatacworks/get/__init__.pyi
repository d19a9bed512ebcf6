from ._components import components as components
from ._peaks import peaks as peaks
from ._regions_matrix import regions_matrix as regions_matrix
from ._track import track as track
from ._track import tracks as tracks
