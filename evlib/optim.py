"""What moves the weights: the optimisers, their rate over a run, and the running average of what they reach."""
from __future__ import annotations

import copy

import torch

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


class Average:
    """The running average of a network's weights; early on faster, so that the start is soon forgotten. torch's own AveragedModel
    keeps its count on the GPU, and waits for it at every step."""

    def __init__(self, net: NextFrame, decay: float):
        self.net, self.decay, self.updates = copy.deepcopy(net).requires_grad_(False), decay, 0

    @torch.no_grad()
    def update(self, net: NextFrame) -> None:
        kept = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.updates else 0.0
        torch._foreach_lerp_(list(self.net.parameters()), list(net.parameters()), 1 - kept)
        self.updates += 1

    def state(self) -> dict:
        return {"updates": self.updates, "net": self.net.state_dict()}

    def load(self, state: dict) -> None:
        self.updates = state["updates"]
        self.net.load_state_dict(state["net"])


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
