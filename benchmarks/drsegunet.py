"""DRSegUNet at 512 x 512: peak memory and seconds a step, by batch, checkpointing and precision.

The thesis's machine had 6 GB on its GPU and 16 GB beside it, and could not try larger batches. Each row is a process of
its own: peak memory is of the whole process (torch and all), seconds are the median of the steps after the first.
``plain`` is the same network in PyTorch as it comes: float32, contiguous, no tuned malloc, no fast gradients.

    python -m benchmarks.drsegunet                 # batches 1, 2, 4, 8: up to an hour on two cores
    python -m benchmarks.drsegunet 2               # this batch alone

bf16 is measured where the processor has it; elsewhere it is emulated.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from statistics import median

SIDE, STEPS, WARM_UP = 512, 4, 1
BATCHES = (1, 2, 4, 8)
WAYS = (("plain", False, "float32"), *(("ours", again, how) for how in ("float32", "bf16") for again in (False, True)))


def measure(way: str, batch: int, checkpointing: bool, precision: str) -> dict[str, float]:
    """Seconds a step and peak memory of this process, in MiB."""
    if way == "ours":
        from groundglass.cli.tuning import tune_for_torch

        tune_for_torch()
    from contextlib import nullcontext

    import torch

    from groundglass.engine.depthwise import FastGradients
    from groundglass.engine.fit import layout_of
    from groundglass.losses.label_set import cross_entropy
    from groundglass.networks.drsegunet import DRSegUNet
    from groundglass.recipe import Training

    torch.manual_seed(0)
    network = DRSegUNet(checkpointing=checkpointing).train()
    image = torch.rand(batch, 1, SIDE, SIDE)
    label_set = 2 ** torch.randint(0, 4, (batch, SIDE, SIDE)).to(torch.uint8)
    if way == "ours":
        layout = layout_of(Training(steps=STEPS, precision=precision), torch.device("cpu"))
        network = network.to(memory_format=layout)
        image = image.contiguous(memory_format=layout)
    optimizer = torch.optim.Adam(network.parameters(), 9.8e-6, fused=way == "ours")
    seconds = []
    for _ in range(STEPS):
        began = time.perf_counter()
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
            FastGradients() if way == "ours" else nullcontext(),
        ):
            loss = cross_entropy(network(image), label_set, (1, 2, 4, 8))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    return {"seconds": median(seconds[WARM_UP:]), "mib": peak}


def main(batches: tuple[int, ...] = BATCHES) -> None:
    """The table."""
    print("| batch | network | checkpointing | precision | peak memory, MiB | s a step | s a slice |")
    print("|---|---|---|---|---|---|---|")
    import torch

    ways = [way for way in WAYS if way[2] != "bf16" or torch.cpu._is_avx512_bf16_supported()]
    for batch in batches:
        for way, checkpointing, precision in ways:
            words = [
                sys.executable,
                "-m",
                "benchmarks.drsegunet",
                "--one",
                json.dumps([way, batch, checkpointing, precision]),
            ]
            ended = subprocess.run(words, capture_output=True, text=True, check=False)
            if ended.returncode:
                told = "did not end | - | -"
            else:
                found = json.loads(ended.stdout.splitlines()[-1])
                told = f"{found['mib']:.0f} | {found['seconds']:.2f} | {found['seconds'] / batch:.2f}"
            print(f"| {batch} | {way} | {'yes' if checkpointing else 'no'} | {precision} | {told} |", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measure(*json.loads(sys.argv[2]))))
    else:
        main(tuple(int(word) for word in sys.argv[1:]) or BATCHES)
