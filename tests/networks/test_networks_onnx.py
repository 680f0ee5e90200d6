"""Every network exports to ONNX, and answers the same there."""

import pytest
import torch

from tests.networks.test_networks import ALSO, PACKAGE, image, make, names

for package in ("onnx", "onnxscript"):
    pytest.importorskip(package, reason="torch.onnx needs it")
onnxruntime = pytest.importorskip("onnxruntime", reason="runs what was exported")


@pytest.mark.filterwarnings("ignore")  # torch.onnx's own, of what it will change
@pytest.mark.parametrize(("name", "settings"), [*((name, {}) for name in names(PACKAGE)), *ALSO.items()], ids=str)
def test_answers_the_same_through_onnx(name, settings):
    network = make(name, **settings)
    x = image(network, count=1, tiles=1)
    with torch.no_grad():
        network(image(network))  # so that batch statistics are not those of an untrained network
        expected = network.eval()(x)
    exported = torch.onnx.export(network, (x,), dynamo=True, verbose=False).model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
    found = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)
