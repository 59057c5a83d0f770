"""The network of section 3.2: a video transformer that predicts the next frame.

    B batch   T frames   C = 3 channels   H = W = 64 pixels   P = 8 patch   G = H / P = 8 grid   K width

    pixels (B, T, C, H, W)
      patches (B, T, G, G, K) -- local blocks --+-- merge 2x2 -- global blocks (B, T, G/2, G/2, K) -- unmerge 2x2 --+
                                                +---------------------------- skip ---------------------------------+
      mix -- local blocks -- pixels (B, T, C, H, W): what is predicted to follow each frame

A block is divided space-time attention (TimeSformer): within a frame, over time per patch (causal), then an MLP."""

import torch
import torch.nn.functional as F
from einops import rearrange
from huggingface_hub import PyTorchModelHubMixin
from torch import Tensor, nn

from evlib.config import SIZE, ModelConfig

Cache = dict  # time attention -> its past keys and values, (B', heads, T, d); copy -> past frames; "frames" -> number


class Attention(nn.Module):
    """Multi-head attention along the second axis of (B', L, K)."""

    def __init__(self, width: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None, cache: Cache | None = None, last: int | None = None) -> Tensor:
        """(B', L, K) -> (B', last, K): queries from the last `last` positions only, keys and values from all."""
        q, k, v = rearrange(self.qkv(x), "b l (three h d) -> three b h l d", three=3, h=self.heads)
        if last is not None:
            q, mask = q[:, :, -last:], mask if mask is None else mask[-last:]
        if cache is not None:
            if self in cache:
                k, v = (torch.cat(pair, dim=2) for pair in zip(cache[self], (k, v)))
            cache[self] = k, v
        y = self.attend(q, k, v, mask)
        return self.out(rearrange(y, "b h l d -> b l (h d)"))

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        if q.dtype != torch.bfloat16 or q.is_cuda:
            return F.scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.0)
        scores = q * q.shape[-1] ** -0.5 @ k.mT  # in bfloat16 on a CPU, up to three times as fast as torch's own
        weights = (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(dim=-1)
        return F.dropout(weights, self.dropout, self.training).to(v.dtype) @ v


class Block(nn.Module):
    """Space attention, time attention, MLP; each with LayerNorm before it and a residual connection around it.

    Local: space attention sees the 3x3 neighboring patches, time attention this frame and the one before.
    Global: space attention sees the whole frame, time attention all frames so far."""

    def __init__(self, config: ModelConfig, grid: int, local: bool):
        super().__init__()
        K, p = config.width, config.dropout
        self.window = 2 if local else None  # frames that time attention sees, the current one included
        self.space, self.time = Attention(K, config.heads, p), Attention(K, config.heads, p)
        self.mlp = nn.Sequential(nn.Linear(K, config.mlp * K), nn.GELU(), nn.Dropout(p), nn.Linear(config.mlp * K, K))
        self.norms = nn.ModuleList(nn.LayerNorm(K) for _ in range(3))  # RMSNorm is a tenth slower on a CPU
        self.dropout = nn.Dropout(p)
        self.register_buffer("near", neighbors(grid) if local else None, persistent=False)

    def forward(self, x: Tensor, cache: Cache | None = None, last: int | None = None) -> Tensor:
        """(B, T, N, K) -> (B, last, N, K): frames before the last `last` only serve as keys and values."""
        B, T, N, K = x.shape  # N = G * G patches
        y = self.space(rearrange(self.norms[0](x), "b t n k -> (b t) n k"), self.near)
        x = x + self.dropout(rearrange(y, "(b t) n k -> b t n k", b=B))
        past = cache[self.time][0].shape[2] if cache and self.time in cache else 0
        mask = causal(T, past, self.window, x.device)
        y = self.time(rearrange(self.norms[1](x), "b t n k -> (b n) t k"), mask, cache, last)
        x = x if last is None else x[:, -last:]
        x = x + self.dropout(rearrange(y, "(b n) t k -> b t n k", b=B))
        if cache is not None and self.window:  # the next frame will not look further back
            cache[self.time] = tuple(kv[:, :, 1 - self.window :] for kv in cache[self.time])
        return x + self.dropout(self.mlp(self.norms[2](x)))


class PatchEmbedding(nn.Linear):
    """(B, T, 3, H, W) -> (B, T, N, K): each patch of PxP pixels through one linear layer."""

    def __init__(self, patch: int, width: int):
        super().__init__(3 * patch * patch, width)
        self.patch = patch

    def forward(self, frames: Tensor) -> Tensor:
        return super().forward(rearrange(frames, "b t c (g p) (h q) -> b t (g h) (c p q)", p=self.patch, q=self.patch))


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, H, W); several times as fast as GroupNorm in this memory layout."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Residual(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + super().forward(x)


class ConvStem(nn.Module):
    """The same as PatchEmbedding with 3x3 convolutions of stride 2, each halving the frame until one pixel is a patch;
    all but the last are followed by a residual branch of two more. Small networks learn photographs faster with it."""

    def __init__(self, patch: int, width: int, channels: int):
        super().__init__()
        sizes, layers = [3, *(channels * 2**i for i in range(patch.bit_length() - 2))], []
        for a, b in zip(sizes, sizes[1:]):
            branch = ChannelNorm(b), nn.Conv2d(b, b, 3, padding=1), nn.GELU(), nn.Conv2d(b, b, 3, padding=1)
            layers += [nn.Conv2d(a, b, 3, stride=2, padding=1), ChannelNorm(b), nn.GELU(), Residual(*branch)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(sizes[-1], width, 3, stride=2, padding=1))

    def forward(self, frames: Tensor) -> Tensor:
        x, where, B = rearrange(frames, "b t c h w -> (b t) c h w"), None, len(frames)
        if x.device.type == "cpu":  # words repeat within a batch; on a GPU, torch.unique would wait for their number
            x, where = torch.unique(x, dim=0, return_inverse=True)
        x = rearrange(self.layers(x.contiguous(memory_format=torch.channels_last)), "n k g h -> n (g h) k")
        return rearrange(x if where is None else x[where], "(b t) n k -> b t n k", b=B)


class Copy(nn.Module):
    """A pointer-generator (See et al., 2017) for pixels: each frame chooses a lag, what is copied from there may be
    changed, and each pixel has a gate between that and what is generated."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        T = config.max_frames
        self.lag = nn.Linear(config.width, T)  # output i: the frame i + 1 steps before the predicted one
        self.gate = nn.Linear(config.width, config.patch**2)
        self.change = nn.Linear(config.width, 3 * config.patch**2)  # of what is copied
        self.register_buffer("near", -1e4 * (torch.arange(T) < config.shortest_lag - 1), persistent=False)

    def forward(self, x: Tensor, frames: Tensor, y: Tensor, cache: Cache | None = None) -> Tensor:
        """Tokens x (B, last, N, K), the frames up to them (B, T, 3, H, W) 0..1, generated log-odds y -> log-odds."""
        if cache is not None:
            frames = cache[self] = torch.cat([cache[self], frames], dim=1) if self in cache else frames
        T, P = frames.shape[1], SIZE // int(x.shape[2] ** 0.5)
        new, old = torch.arange(T - x.shape[1], T, device=x.device)[:, None], torch.arange(T, device=x.device)
        lags = (self.lag(x.mean(dim=2)) + self.near).gather(2, (new - old).clamp(min=0).expand(len(x), -1, -1))
        weights = lags.masked_fill(old > new, -torch.inf).softmax(dim=-1)
        odds = torch.einsum("bts,bschw->btchw", weights, frames).float().logit(eps=2e-3)  # eps: half a gray level
        odds = rearrange(odds, "b t c (g p) (h q) -> b t (g h) (c p q)", p=P, q=P)
        return y + self.gate(x).repeat(1, 1, 1, 3) * (odds + self.change(x) - y)


class NextFrame(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="evlib",
    tags=["next-frame-prediction"],
    coders={ModelConfig: (lambda c: c.__dict__, lambda d: ModelConfig(**d))},
):
    """Predicts, for every frame, the frame that follows it. The mixin (`from_pretrained`, `push_to_hub`) reads the type
    of `model` at run time: do not postpone annotations."""

    def __init__(self, model: ModelConfig = ModelConfig()):  # noqa: B008 (frozen); `model` as in config.json
        super().__init__()
        self.config = config = model
        K, P, G, p = config.width, config.patch, SIZE // config.patch, config.dropout
        self.embed = ConvStem(P, K, config.stem) if config.stem else PatchEmbedding(P, K)
        self.time_embed = nn.Parameter(0.02 * torch.randn(config.max_frames, 1, K))  # temporal encoding
        self.pos_embed = nn.ParameterList(0.02 * torch.randn(n, K) for n in (G * G, G * G // 4, G * G))
        self.encoder = nn.ModuleList(Block(config, G, local=True) for _ in range(config.local_blocks))
        self.merge = nn.Linear(4 * K, K, bias=False)
        self.middle = nn.ModuleList(Block(config, G // 2, local=False) for _ in range(config.global_blocks))
        self.unmerge = nn.Linear(K, 4 * K, bias=False)
        self.mix = nn.Linear(2 * K, K, bias=False)
        self.decoder = nn.ModuleList(Block(config, G, local=True) for _ in range(config.local_blocks))
        self.norm, self.head = nn.LayerNorm(K), nn.Linear(K, 3 * P * P, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(G * G, 3 * P * P))  # one per pixel: see init_output_bias
        self.copy = Copy(config) if config.copy else None
        self.dropout = nn.Dropout(p)
        self.apply(self._init)
        for block in (*self.encoder, *self.middle, *self.decoder) if config.zero_init else ():
            for last in (block.space.out, block.time.out, block.mlp[-1]):
                nn.init.zeros_(last.weight)

    @staticmethod
    def _init(module: nn.Module) -> None:
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.trunc_normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, frames: Tensor, last: int | None = None, cache: Cache | None = None) -> Tensor:
        """frames (B, T, 3, 64, 64), uint8 0..255 or float 0..1 -> (B, last, 3, 64, 64) float 0..1.

        Entry t is the prediction of frame t + 1. With `last`, only the last `last` are computed, the decoder running on
        one more per block, as each looks one frame back. With a `cache`, `frames` continue the cached ones."""
        P, G, T = self.config.patch, SIZE // self.config.patch, frames.shape[1]
        past = cache.get("frames", 0) if cache is not None else 0
        if past + T > self.config.max_frames:
            raise ValueError(f"{past + T} frames, but this network's temporal encoding has {self.config.max_frames}")
        if frames.dtype == torch.uint8:
            frames = frames.to(self.output_bias.dtype) / 255
        x = self.dropout(self.embed(frames) + self.time_embed[past : past + T] + self.pos_embed[0])
        for block in self.encoder:
            x = block(x, cache)
        skip = x
        x = self.merge(rearrange(x, "b t (g i h j) k -> b t (g h) (i j k)", i=2, j=2, h=G // 2)) + self.pos_embed[1]
        reach = min(T, (last := last or T) + len(self.decoder))
        for block in self.middle:
            x = block(x, cache, last=reach if block is self.middle[-1] else None)
        x = rearrange(self.unmerge(x), "b t (g h) (i j k) -> b t (g i h j) k", i=2, j=2, h=G // 2)
        x = self.mix(torch.cat([x, skip[:, T - reach :]], dim=-1)) + self.pos_embed[2]
        for block in self.decoder:
            x = block(x, cache)
        x = self.norm(x[:, reach - last :])
        y = self.head(x) + self.output_bias
        if self.copy is not None:
            y = self.copy(x, frames, y, cache)
        if cache is not None:
            cache["frames"] = past + T
        return rearrange(torch.sigmoid(y), "b t (g h) (c p q) -> b t c (g p) (h q)", h=G, p=P, q=P)

    @torch.no_grad()
    def init_output_bias(self, mean: Tensor) -> None:
        """Makes the untrained network predict `mean` (3, 64, 64), 0..1: the shape of an answer instead of gray."""
        P, odds = self.config.patch, torch.logit(mean.clamp(0.01, 0.99))
        self.output_bias.copy_(rearrange(odds, "c (g p) (h q) -> (g h) (c p q)", p=P, q=P))
        nn.init.zeros_(self.head.weight)

    @torch.no_grad()
    def init_copy(self, lags: set[int] = frozenset(), opened: float = 0.0) -> None:
        """Copying starts unchanged, `lags` frames before the predicted one; of several lags, at the longest that
        reaches a frame. With the gate `opened` (1), that is all the network predicts; 0: nothing is copied."""
        for parameter in self.copy.parameters():
            nn.init.zeros_(parameter)
        self.copy.gate.bias.fill_(opened)
        rank = torch.arange(1.0, len(lags) + 1, device=self.output_bias.device)
        self.copy.lag.bias[[lag - 1 for lag in sorted(lags)]] = 12 * rank  # 12: less than a thousandth for all others


def neighbors(grid: int) -> Tensor:
    """(G*G, G*G) bool: which patches touch, diagonally too."""
    row, column = torch.arange(grid * grid) // grid, torch.arange(grid * grid) % grid
    return ((row[:, None] - row).abs() <= 1) & ((column[:, None] - column).abs() <= 1)


def causal(T: int, past: int, window: int | None, device: torch.device) -> Tensor | None:
    """(T, past + T) bool: which frames T new ones may attend to, with `past` in the cache; None: all of them."""
    if T == 1 and window is None:
        return None
    new, old = torch.arange(past, past + T, device=device)[:, None], torch.arange(past + T, device=device)
    return (old <= new) & (old > new - (window or past + T))
