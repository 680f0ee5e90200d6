"""The prepared store: slices, ready for a network, with what is known of each.

    STORE/manifest.json            format, data set, preparation, provenance, hash of the content
    STORE/index.csv                a row for each slice (`SliceInfo`)
    STORE/cases/NAME/image         zarr, int16 HU (N, H, W) at native resolution, a chunk a slice, fill -1024 (air)
    STORE/cases/NAME/label         zarr, uint8 label sets (N, H, W), fill 15 (unknown); where a slice has any
    STORE/cases/NAME/prepared      zarr, uint16 (N, height, width), 0 to 4095 for [0, 1]
    STORE/cases/NAME/prepared_label

Slices of different sizes lie top left in tiles of one size; their height and width stand in the index.
"""

from groundglass.store.index import SliceInfo
from groundglass.store.reader import Store, open_store
from groundglass.store.writer import Collection, StoreWriter

__all__ = ["Collection", "SliceInfo", "Store", "StoreWriter", "open_store"]
