"""The optimizers, their learning rate schedule, and the exponential moving average of the weights."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from evlib.config import TrainConfig
from evlib.model import NextFrame
from evlib.training.device import fast_dtype


def make_optimizers(net: NextFrame, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW for all parameters (section 3.3); or Muon for the matrices of the blocks and the kernels of a stem, and
    AdamW for the rest."""
    fused = net.output_bias.device.type == "cuda"  # one kernel instead of some hundred
    adamw = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": fused}
    if config.optimizer == "adamw":
        return [torch.optim.AdamW(net.parameters(), **adamw)]
    inner = (net.encoder, net.middle, net.decoder, net.merge, net.unmerge, net.mix)
    matrices = {p for module in inner for p in module.parameters() if p.ndim == 2}
    matrices |= {p for p in net.embed.parameters() if p.ndim == 4}
    return [
        Muon([p for p in net.parameters() if p in matrices], lr=config.muon_lr, weight_decay=config.weight_decay),
        torch.optim.AdamW([p for p in net.parameters() if p not in matrices], **adamw),
    ]


class Muon(torch.optim.Optimizer):
    """torch's Muon, with two differences. All matrices of one shape are orthogonalized at once: on a GPU, a few hundred
    kernels per step instead of several thousand. And the kernels of convolutions, (out, in, 3, 3), are treated as
    matrices of shape (out, 9 * in) (Jordan, 2024).

    Bit-identical to torch's where the processor multiplies bfloat16; elsewhere the matrices are orthogonalized in
    float32, because emulated bfloat16 made a step of preset demo three times as long."""

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for shape, weights in by_shape.items():
                grads = torch.stack([p.grad for p in weights])
                averages = torch.stack([self._average(p).lerp_(p.grad, 1 - group["momentum"]) for p in weights])
                updates = orthogonal(grads.lerp_(averages, group["momentum"]).flatten(2))  # Nesterov momentum
                scale = -group["lr"] * max(1, updates.shape[1] / updates.shape[2]) ** 0.5
                for p, update in zip(weights, updates.to(grads.dtype)):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update.reshape(shape), alpha=scale)

    def _average(self, p: Tensor) -> Tensor:
        """The moving average of a parameter's gradient."""
        state = self.state[p]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(p)
        return state["momentum_buffer"]


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """(N, rows, columns) -> the same shape, all singular values near 1: Muon's Newton-Schulz iteration (Jordan,
    2024), in bfloat16 where that is fast."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrices.to(fast_dtype(matrices.device))
    tall = x.shape[1] > x.shape[2]
    x = x.mT.contiguous() if tall else x
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class EMA:
    """The exponential moving average of a network's weights, with a smaller decay early on, so that the initial weights
    are soon forgotten. torch's AveragedModel keeps its counter on the GPU and waits for it at every step."""

    def __init__(self, net: NextFrame, decay: float):
        self.net, self.decay, self.updates = copy.deepcopy(net).requires_grad_(False), decay, 0

    def update(self, net: NextFrame) -> None:
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.updates else 0.0
        get_ema_multi_avg_fn(decay)(list(self.net.parameters()), list(net.parameters()), self.updates)
        self.updates += 1

    def state_dict(self) -> dict:
        return {"updates": self.updates, "net": self.net.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.updates = state["updates"]
        self.net.load_state_dict(state["net"])


def lr_scale(progress: float, config: TrainConfig) -> float:
    """The factor, 0..1, that the learning rate is multiplied by when `progress` (0..1) of the run is over."""
    rising = min(1.0, (progress + 1e-3) / config.warmup) if config.warmup else 1.0
    falling = min(1.0, (1 - progress) / config.decay) if config.decay else 1.0
    return rising * falling


def set_lr(optimizers: list[torch.optim.Optimizer], scale: float) -> None:
    """Sets every learning rate to `scale` times its full value, which checkpoints save as well."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * scale
