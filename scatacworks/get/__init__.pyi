from scatacworks.get._components import components as components
from scatacworks.get._peaks import peaks as peaks
from scatacworks.get._regions_matrix import regions_matrix as regions_matrix
from scatacworks.get._track import track as track
from scatacworks.get._track import tracks as tracks
