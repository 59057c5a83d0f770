"""What moves the weights: the optimisers, their rate over a run, and the running average of what they reach."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from evlib.config import TrainConfig
from evlib.model import NextFrame


def make_optimizers(net: NextFrame, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW on everything (section 3.3); or Muon on the matrices of the blocks and AdamW on the rest."""
    fused = net.output_bias.device.type == "cuda"  # one kernel instead of some hundred
    if config.optimizer == "adamw":
        return [torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=fused)]
    inner = {
        *net.encoder.parameters(),
        *net.middle.parameters(),
        *net.decoder.parameters(),
        *net.merge.parameters(),
        *net.unmerge.parameters(),
        *net.mix.parameters(),
    }
    matrices = [p for p in net.parameters() if p in inner and p.ndim == 2]
    others = [p for p in net.parameters() if not (p in inner and p.ndim == 2)]
    return [
        Muon(matrices, lr=config.muon_lr, weight_decay=config.weight_decay),
        torch.optim.AdamW(others, lr=config.lr, weight_decay=config.weight_decay, fused=fused),
    ]


class Muon(torch.optim.Muon):
    """torch's Muon to the bit, with all matrices of one shape made orthogonal at once: a hundred kernels a step instead of a
    thousand and more, whose launching would keep a GPU waiting. On a CPU a step of preset demo takes 2 to 6 % less."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            weights = [p for p in group["params"] if p.grad is not None]
            grads = [p.grad for p in weights]
            for p in weights:
                if "momentum_buffer" not in self.state[p]:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p.grad, memory_format=torch.preserve_format)
            averages = [self.state[p]["momentum_buffer"] for p in weights]
            torch._foreach_lerp_(averages, grads, 1 - momentum)
            updates = torch._foreach_lerp(grads, averages, momentum) if group["nesterov"] else averages
            torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
            for rows, columns in dict.fromkeys(p.shape for p in weights):
                alike = [i for i, p in enumerate(weights) if p.shape == (rows, columns)]
                made = orthogonal(
                    torch.stack([updates[i] for i in alike]), group["ns_coefficients"], group["ns_steps"], group["eps"]
                )
                torch._foreach_add_(
                    [weights[i] for i in alike],
                    list(made.to(weights[0].dtype).unbind()),
                    alpha=-lr * max(1, rows / columns) ** 0.5,
                )


def orthogonal(matrices: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """(N, rows, columns) -> bfloat16, each with all singular values near 1: the Newton-Schulz iteration of Muon (Jordan, 2024)."""
    a, b, c = coefficients
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT.contiguous() if tall else x
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class EMA:
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


def lr_scale(progress: float, config: TrainConfig) -> float:
    """The share of the learning rate that is used when `progress` (0..1) of the run is over."""
    rising = min(1.0, (progress + 1e-3) / config.warmup) if config.warmup else 1.0
    falling = min(1.0, (1 - progress) / config.decay) if config.decay else 1.0
    return rising * falling


def set_lr(optimizers: list[torch.optim.Optimizer], share: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * share
