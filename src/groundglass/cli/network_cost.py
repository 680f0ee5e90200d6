"""What a network costs on this machine: memory and time of a training step, measured in a process of its own.

Run as a module with a network's recipe, a side and a batch size as one word of JSON; it prints a `Cost` as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from groundglass.cli.tuning import tune_for_torch
from groundglass.report.networks import Cost

TISSUES: Final = (1, 2, 4, 8)  # an output each
STEPS: Final = 2  # the first chooses kernels and fills the allocator, the last is timed


def measure_apart(network: dict[str, Any], size: int, batch: int) -> Cost | None:
    """A network's `Cost` in a fresh process; None if that ended early, as it does where memory runs out.

    Args:
        network: name and settings, as a recipe says them.
        size: side of the images in pixels, a multiple of the network's stride.
        batch: images a step.
    """
    words = [sys.executable, "-m", __name__, json.dumps([network, size, batch])]
    ended = subprocess.run(  # noqa: S603 - ourselves
        words, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return Cost(**json.loads(ended.stdout)) if ended.returncode == 0 else None


def measure(network: dict[str, Any], size: int, batch: int) -> Cost:
    """The same in this process: training steps on noise, then predictions; of two each, the second is timed.

    A step is what ``groundglass train`` does between two batches: supervised losses (deep supervision where the
    network has it), gradients, AdamW; without a moving average of the weights.
    """
    import torch

    from groundglass.batches import Labelled, Progress
    from groundglass.build import make_network
    from groundglass.engine.depthwise import FastGradients
    from groundglass.engine.fit import layout_of, make_optimizer, precision_of
    from groundglass.inference.predict import predict_batch
    from groundglass.methods.supervised import Config, Supervised
    from groundglass.recipe import Network, Training

    drawn = torch.Generator().manual_seed(0)
    training = Training(steps=STEPS)
    layout = layout_of(training, torch.device("cpu"))
    image = torch.rand(batch, 1, size, size, generator=drawn).contiguous(memory_format=layout)
    label_set = torch.tensor(TISSUES, dtype=torch.uint8)[torch.randint(4, (batch, size, size), generator=drawn)]
    bf16 = precision_of(training) == "bf16-mixed"
    before = _peak_mib()
    made = make_network(Network(**network), len(TISSUES), pretrained=False)
    method = Supervised(made, TISSUES, Config(deep_supervision=True))
    method.to(memory_format=layout)  # type: ignore[call-overload]
    optimizer = make_optimizer(made, training)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16), FastGradients():
            (update,) = method.updates(Labelled(image, label_set), None, Progress(0, training.steps))
        torch.stack(list(update.losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    seconds = _seconds(step)
    after = _peak_mib()
    method.eval()
    return Cost(
        memory_mib=None if before is None or after is None else after - before,
        trained=batch / seconds,
        predicted=batch / _seconds(lambda: predict_batch(method, image)),
        threads=torch.get_num_threads(),
        precision="bf16" if bf16 else "float32",
    )


def _seconds(call: Callable[[], object]) -> float:
    for _ in range(STEPS):
        began = time.perf_counter()
        call()
    return time.perf_counter() - began


def _peak_mib() -> float | None:
    """The most memory this process has had at once; ``getrusage`` would tell its parent's where that was more."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return None
    kib = next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]
    return int(kib) / 1024


if __name__ == "__main__":
    tune_for_torch()
    sys.stdout.write(json.dumps(asdict(measure(*json.loads(sys.argv[1])))))
