"""Files to scans, label maps to files.

``read`` takes whatever a user gives; ``write_labels`` puts a label map back on its grid; ``OutputFolder`` makes
outputs appear whole or not at all.
"""

from groundglass.io.atomic import OutputFolder
from groundglass.io.dicom_write import write_series
from groundglass.io.files import InputFile
from groundglass.io.listing import Listing, list_files
from groundglass.io.reading import read
from groundglass.io.writing import write_label_names, write_labels

__all__ = [
    "InputFile",
    "Listing",
    "OutputFolder",
    "list_files",
    "read",
    "write_label_names",
    "write_labels",
    "write_series",
]
