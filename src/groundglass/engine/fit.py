"""The one loop that all methods train in.

A method yields updates; each names a submodule, whose optimiser owns exactly its parameters, and the gradient
is taken for these alone. Fabric launches processes and owns device and precision; over several processes each
update's gradients are averaged in one flattened all-reduce, and the first process writes. Everything random is a
function of the seed and the step, and a step is done whole or not at all, so a killed run that resumes ends in the
same weights bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from groundglass.batches import Progress
from groundglass.engine import checkpoint
from groundglass.engine.depthwise import FastGradients
from groundglass.engine.loaders import Ahead, Batches
from groundglass.engine.log import LOG_FILE, read_log, write_log
from groundglass.engine.lookahead import Lookahead
from groundglass.engine.processes import Launch, average, require_same, start
from groundglass.errors import ReadError, TrainingError, UsageError
from groundglass.io.atomic import make_folder
from groundglass.methods._method import Method, Update
from groundglass.recipe import Optimizer, Training

STATE_FILE: Final = "state.safetensors"


@dataclass(frozen=True)
class Report:
    """How a step went: for a progress bar and the log."""

    step: int
    steps: int
    losses: Mapping[str, float]
    rate: float
    images_per_second: float
    waited_share: float


@dataclass(eq=False)
class _Run:
    """What a run consists of, between its steps."""

    method: Method
    optimizers: dict[str, torch.optim.Optimizer | Lookahead]
    ema: dict[str, Tensor]
    log: list[dict[str, Any]] = field(default_factory=list)


def fit(
    method: Method,
    batches: Batches,
    training: Training,
    folder: Path,
    *,
    identity: str,
    record: Mapping[str, Any] | None = None,
    fabric: Fabric | None = None,
    on_step: Callable[[Report], object] = lambda report: None,  # noqa: ARG005
) -> dict[str, Tensor]:
    """Train a method for its steps, from where an earlier run in this folder stopped.

    Args:
        method: what is trained; changed in place.
        batches: what it learns from.
        training: how.
        folder: for the state and the log.
        identity: hash of all that decides the outcome; a state of another is refused.
        record: what a reader of the state needs to make the method again.
        fabric: launched already; by default one process on this machine. Over several, each calls this with its own
            share of the batches and all get the same weights.
        on_step: told of every step.

    Returns:
        the weights that came of it: the moving average where there is one.

    Raises:
        UsageError: settings for a module that the method has not.
        TrainingError: a loss that is not finite (step and terms are named); processes that have not the same weights.
        ReadError: the folder holds the state of another run, or a damaged one.
    """
    _check_modules(method, training)
    fabric = fabric or start(Launch(), precision_of(training))
    if fabric.global_rank == 0:
        make_folder(folder)
        checkpoint.remove_partial(folder)
    method.to(device=fabric.device)
    method.to(memory_format=layout_of(training, fabric.device))  # type: ignore[call-overload]
    run = _Run(method, {}, _averages(method) if training.ema else {})
    first = _resume(run, training, folder, identity)
    require_same(method, f"{identity} {first}", fabric)
    ahead = Ahead(batches, first * training.accumulate, training.steps * training.accumulate)
    coming = iter(ahead)
    began = time.perf_counter()
    for step in range(first, training.steps):
        method.train()
        rate = rate_at(step, training)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(_entropy(batches.seed, step, fabric.global_rank))
            losses = _step(run, training, fabric, coming, Progress(step, training.steps), rate)
        if training.ema:
            _move_averages(run, training.ema, step)
        done = step + 1 - first
        elapsed = time.perf_counter() - began
        report = Report(
            step=step + 1,
            steps=training.steps,
            losses=losses,
            rate=rate * training.rate,
            images_per_second=done * training.accumulate * batches.processes * sum(batches.sizes) / elapsed,
            waited_share=ahead.waited / elapsed,
        )
        run.log.append({"step": step + 1, "rate": report.rate, **losses})
        last = step + 1 == training.steps
        if fabric.global_rank == 0 and (last or (step + 1) % training.checkpoint_every == 0):
            _save(run, folder, step + 1, {"identity": identity, "made": dict(record or {})})
        on_step(report)
    require_same(method, "", fabric)
    return dict(run.ema) or {name: value.detach().clone() for name, value in method.state_dict().items()}


def _check_modules(method: Method, training: Training) -> None:
    own = [name for name, _ in method.named_children()]
    for name in training.modules:
        if name not in own:
            raise UsageError(
                f"The training has settings for {name!r}, which {type(method).__name__} has not.",
                expected=f"one of {', '.join(own)}",
                remedy="Correct its spelling.",
            )
    parts = {part for name, _ in method.named_parameters() for part in name.split(".")}
    if training.encoder_rate is not None and "encoder" not in parts:
        raise UsageError(
            "The training has an encoder_rate, and the network no encoder.",
            expected="a network over an encoder",
            remedy="Leave encoder_rate out.",
        )


def precision_of(training: Training) -> Any:
    """Fabric's word for the precision: bf16 where asked for, or where the machine is made for it."""
    if training.precision == "bf16" or (training.precision == "auto" and _made_for_bf16()):
        return "bf16-mixed"
    return "32-true"


def _made_for_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def layout_of(training: Training, device: torch.device) -> torch.memory_format:
    """How numbers lie in memory: channels last, but for float32 on a processor.

    There a training step of U-Nets without depthwise convolutions takes 1.1 to 1.45 times as long with them last
    (gradients of kernels), and of others as long.
    """
    plain = device.type == "cpu" and precision_of(training) == "32-true"
    return torch.contiguous_format if plain else torch.channels_last


def rate_at(step: int, training: Training) -> float:
    """Share of the learning rate at a step: a straight rise, then half a cosine to 0, or constant."""
    warmup = training.warmup * training.steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if training.schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(training.steps - warmup, 1)))


def _entropy(*words: int) -> int:
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0]) >> 1


def _step(
    run: _Run, training: Training, fabric: Fabric, coming: Iterator[Any], progress: Progress, rate: float
) -> dict[str, float]:
    """One step: every update of the method, each over all minibatches, then what comes after a step."""
    minibatches = [next(coming) for _ in range(training.accumulate)]
    layout, flows = layout_of(training, fabric.device), []
    for number, (labelled, unlabelled) in enumerate(minibatches):
        place = replace(progress, minibatch=number * fabric.world_size + fabric.global_rank)
        flows.append(run.method.updates(_on(labelled, fabric, layout), _on(unlabelled, fabric, layout), place))
    told: dict[str, float] = {}
    while True:
        moved: Update | None = None
        for flow in flows:
            with fabric.autocast(), FastGradients():
                update = next(flow, None)
            if update is None:
                continue
            moved = update
            optimizer = _optimizer(run, update.module, training)
            _backward(run, update, len(flows), progress, told)
        if moved is None:
            break
        settings = training.modules.get(moved.module, training)
        _move(run.method.get_submodule(moved.module), optimizer, settings, fabric, rate * moved.rate)
    run.method.after_step(progress)
    _average_buffers(run.method, fabric)
    return told


def _on(batch: Any, fabric: Fabric, layout: torch.memory_format) -> Any:
    """A batch on the device, its images laid out so."""
    if batch is None:
        return None
    moved: dict[str, Tensor | None] = {
        name: None if value is None else fabric.to_device(value) for name, value in vars(batch).items()
    }
    image = moved.pop("image")
    if image is None:
        raise ValueError("a batch without an image")
    return type(batch)(image.contiguous(memory_format=layout), **moved)


def _backward(run: _Run, update: Update, minibatches: int, progress: Progress, told: dict[str, float]) -> None:
    total = torch.stack([loss.float() for loss in update.losses.values()]).sum()
    values = {name: float(loss.detach()) for name, loss in update.losses.items()}
    if not math.isfinite(float(total.detach())):
        terms = ", ".join(f"{name} {value:g}" for name, value in values.items())
        raise TrainingError(
            f"The loss is not finite at step {progress.step + 1} of {progress.steps}: {terms}.",
            expected="finite losses",
            remedy="Lower the learning rate, or look at the data of this step.",
        )
    parameters = [p for p in run.method.get_submodule(update.module).parameters() if p.requires_grad]
    torch.autograd.backward([total / minibatches], inputs=parameters)
    for name, value in (values | {name: float(value) for name, value in update.told.items()}).items():
        told[name] = told.get(name, 0.0) + value / minibatches


def _optimizer(run: _Run, module: str, training: Training) -> torch.optim.Optimizer | Lookahead:
    """The optimiser of a submodule, made when it is first moved."""
    if module not in run.optimizers:
        settings = training.modules.get(module, training)
        optimizer = make_optimizer(run.method.get_submodule(module), settings)
        run.optimizers[module] = (
            Lookahead(optimizer, settings.lookahead, settings.lookahead_share) if settings.lookahead else optimizer
        )
    return run.optimizers[module]


def make_optimizer(module: nn.Module, training: Optimizer) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD over a module's parameters, those under ``encoder`` with their own rate."""
    encoder: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            (encoder if "encoder" in name.split(".") else others).append(parameter)
    groups = [
        {"params": part, "lr": rate, "full_rate": rate}
        for part, rate in ((others, training.rate), (encoder, training.encoder_rate or training.rate))
        if part
    ]
    if training.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=training.momentum, weight_decay=training.weight_decay, fused=True)
    kind = torch.optim.Adam if training.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, betas=(0.9, training.beta2), weight_decay=training.weight_decay, fused=True)


def _move(
    module: nn.Module,
    optimizer: torch.optim.Optimizer | Lookahead,
    training: Optimizer,
    fabric: Fabric,
    rate: float,
) -> None:
    parameters = [p for p in module.parameters() if p.requires_grad and p.grad is not None]
    average([p.grad for p in parameters if p.grad is not None], fabric)
    if training.clamp is not None:
        nn.utils.clip_grad_value_(parameters, training.clamp)
    if training.clip is not None:
        nn.utils.clip_grad_norm_(parameters, training.clip)
    for group in optimizer.param_groups:
        group["lr"] = group["full_rate"] * rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _average_buffers(method: Method, fabric: Fabric) -> None:
    """Batch statistics are averaged too, or processes would end with different ones."""
    average([buffer for buffer in method.buffers() if buffer.is_floating_point()], fabric)


def _averages(method: Method) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in method.state_dict().items()}


@torch.no_grad()
def _move_averages(run: _Run, decay: float, step: int) -> None:
    """Moving average of parameters, faster in the first steps; batch statistics and counts are copied."""
    decay = min(decay, (step + 1) / (step + 10))
    parameters = {name for name, _ in run.method.named_parameters()}
    for name, value in run.method.state_dict().items():
        if name in parameters and value.is_floating_point():
            run.ema[name].lerp_(value, 1 - decay)
        else:
            run.ema[name].copy_(value)


def _save(run: _Run, folder: Path, step: int, record: Mapping[str, Any]) -> None:
    tensors = {f"method/{name}": value for name, value in run.method.state_dict().items()}
    tensors |= {f"ema/{name}": value for name, value in run.ema.items()}
    for name, optimizer in run.optimizers.items():
        tensors |= {f"optimizer/{key}": value for key, value in checkpoint.flat_optimizer(optimizer, name).items()}
    write_log(folder / LOG_FILE, run.log)
    checkpoint.write(
        folder / STATE_FILE,
        tensors,
        {**record, "step": step, "optimizers": list(run.optimizers), "log": run.log[-1:]},
    )


def _resume(run: _Run, training: Training, folder: Path, identity: str) -> int:
    """Put a run back to its last state; the step that comes next, 0 where there is none."""
    if not (folder / STATE_FILE).exists():
        return 0
    tensors, record = checkpoint.read(folder / STATE_FILE)
    if record["identity"] != identity:
        raise ReadError(
            "The folder holds a run of another recipe, store, version or number of processes.",
            expected="the run that is to be resumed, or an empty folder",
            remedy="Choose another folder, or remove this one.",
        )
    parts: dict[str, dict[str, Tensor]] = {"method": {}, "ema": {}, "optimizer": {}}
    for key, value in tensors.items():
        kind, _, name = key.partition("/")
        parts[kind][name] = value
    run.method.load_state_dict(parts["method"])
    for name, value in parts["ema"].items():
        run.ema[name].copy_(value)
    for name in record["optimizers"]:
        checkpoint.restore_optimizer(_optimizer(run, name, training), name, parts["optimizer"])
    step = int(record["step"])
    run.log = [row for row in read_log(folder / LOG_FILE) if int(row["step"]) <= step]
    return step
