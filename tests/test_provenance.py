import getpass
import json
import socket

import numpy as np

from groundglass.provenance import Provenance, case_name, content_hash, this_machine
from groundglass.scan import Scan

AFFINE = np.diag([-1.0, -1, 1, 1])
HU = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def test_the_same_values_have_the_same_hash_whatever_their_type_and_memory_order():
    scan = Scan(HU, AFFINE)
    assert content_hash(scan, b"key") == content_hash(Scan(HU.astype(np.float32), AFFINE), b"key")
    assert content_hash(scan, b"key") == content_hash(Scan(np.asfortranarray(HU), AFFINE), b"key")


def test_another_key_another_value_or_another_shape_gives_another_hash():
    first = content_hash(Scan(HU, AFFINE), b"key")
    changed = HU.copy()
    changed[1, 2, 3] += 1
    others = [
        content_hash(Scan(HU, AFFINE), b"other"),
        content_hash(Scan(changed, AFFINE), b"key"),
        content_hash(Scan(HU.reshape(4, 3, 2), AFFINE), b"key"),
    ]
    assert len({first, *others}) == 4


def test_a_case_is_called_by_ten_digits():
    assert case_name("0123456789abcdef") == "case-0123456789"


def test_no_host_and_no_user_is_told():
    record = Provenance("1", "segment", {}, "threshold", None, None, {}, this_machine())
    text = json.dumps(record.as_json())
    assert socket.gethostname() not in text
    assert f'"{getpass.getuser()}"' not in text
    assert record.as_json()["machine"]["cores"] >= 1
