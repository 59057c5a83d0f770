"""What moves the weights: the optimisers, their rate over a run, and the running average of what they reach."""
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .config import TrainConfig
from .model import NextFrame


def make_optimizers(net: NextFrame, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW on everything (section 3.3); or Muon on the matrices of the blocks and AdamW on the rest."""
    fused = net.bias.device.type == "cuda"                    # one kernel instead of some hundred
    if config.optimizer == "adamw":
        return [torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=fused)]
    inner = {*net.encoder.parameters(), *net.middle.parameters(), *net.decoder.parameters(),
             *net.merge.parameters(), *net.unmerge.parameters(), *net.mix.parameters()}
    matrices = [p for p in net.parameters() if p in inner and p.ndim == 2]
    others = [p for p in net.parameters() if not (p in inner and p.ndim == 2)]
    return [torch.optim.Muon(matrices, lr=config.muon_lr, weight_decay=config.weight_decay),
            torch.optim.AdamW(others, lr=config.lr, weight_decay=config.weight_decay, fused=fused)]


def running_average(decay: float) -> Callable:
    """Updates averages towards the weights; early on faster, so that the start is soon forgotten."""
    @torch.no_grad()
    def update(averages: list[Tensor], weights: list[Tensor], updates: int) -> None:
        torch._foreach_lerp_(averages, weights, 1 - min(decay, (1 + int(updates)) / (10 + int(updates))))
    return update


def rate_at(progress: float, config: TrainConfig) -> float:
    """The share of the learning rate that is used when `progress` (0..1) of the run is over."""
    rising = min(1.0, (progress + 1e-3) / config.warmup) if config.warmup else 1.0
    falling = min(1.0, (1 - progress) / config.decay) if config.decay else 1.0
    return rising * falling


def set_rates(optimizers: list[torch.optim.Optimizer], share: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * share
