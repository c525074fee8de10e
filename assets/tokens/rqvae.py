"""RQ-VAE of 3MToken (sections 2.2 and 3.2): an autoencoder whose latent is a sum of codewords, one of each level.

In: vectors. Out: codes, one a level, and the way back to a vector. The encoder is D-512-256-128-Z, the decoder its
mirror. Where the paper is silent: a layer is linear, then batch norm, then ReLU, but the last of either side is linear
alone, for a latent and a reconstruction have values of both signs and any size; and gradients pass the sum of codewords
at once, not level by level. A VQ-VAE is one of one level. Leaves out training: `rqvae_training.py`.
"""

# N vectors, D dimensions, Z latent dimensions, L levels, K codes of a level, B batch

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

CHUNK_ROWS = 256
LENGTH_BYTES = 8  # of a safetensors file: the length of its header comes first
METADATA = "rqvae"  # one key: safetensors writes several in no fixed order
SMALLEST_NORM = 1e-6  # shorter vectors have no direction to rotate


class Quantized(NamedTuple):
    """A quantized batch; `loss` is eq. 2.2's sum over levels, `distance` its |r - e|^2 alone, both means over B."""

    sum_BZ: torch.Tensor
    codes_BL: torch.Tensor
    loss: torch.Tensor
    distance: torch.Tensor


class RQVAE(nn.Module):
    """The network, its codebooks, and the mean and deviation that its input is scaled by."""

    mean_D: torch.Tensor
    deviation_D: torch.Tensor

    def __init__(self, dimensions: int, *, hidden: Sequence[int], latent_dimensions: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.widths = (dimensions, *hidden, latent_dimensions)
        self.sizes = tuple(sizes)
        self.encoder = _layers(self.widths)
        self.decoder = _layers(self.widths[::-1])
        self.codebooks = nn.ParameterList(torch.zeros(k, latent_dimensions) for k in self.sizes)
        self.register_buffer("mean_D", torch.zeros(dimensions))
        self.register_buffer("deviation_D", torch.ones(dimensions))

    def scaled(self, x_BD: torch.Tensor) -> torch.Tensor:
        """Vectors as the encoder wants them, and as the decoder gives them."""
        return (x_BD - self.mean_D) / self.deviation_D


def codes_of(model: RQVAE, vectors_ND: np.ndarray) -> np.ndarray:
    """Codes of each vector, int32 [N, L]; ties go to the lowest code.

    A vector's codes depend on itself and the model alone. Leaves the model in eval mode. Raises ValueError if D differs
    or a vector is not finite.
    """
    vectors_ND = np.asarray(vectors_ND, np.float32)
    dimensions = model.widths[0]
    if vectors_ND.ndim != 2 or vectors_ND.shape[1] != dimensions:
        raise ValueError(f"vectors have shape {list(vectors_ND.shape)}; this RQ-VAE encodes [N, {dimensions}]")
    codes_NL = np.empty((len(vectors_ND), len(model.sizes)), np.int32)
    model.eval()
    for first in range(0, len(vectors_ND), CHUNK_ROWS):
        chunk = vectors_ND[first : first + CHUNK_ROWS]
        if not np.isfinite(chunk).all():
            row = first + int(np.argmin(np.isfinite(chunk).all(1)))
            raise ValueError(f"vector {row} is not finite: leave missing vectors out")
        with torch.inference_mode():
            residual_BZ = model.encoder(model.scaled(_padded(chunk, model)))
            for level, codebook_KZ in enumerate(model.codebooks):
                codes_B = nearest(residual_BZ, codebook_KZ)
                residual_BZ = residual_BZ - codebook_KZ[codes_B]
                codes_NL[first : first + len(chunk), level] = codes_B[: len(chunk)].cpu().numpy()
    return codes_NL


def decoded(model: RQVAE, codes_NL: np.ndarray) -> np.ndarray:
    """The vector that each row of codes stands for, float32 [N, D], in the scale of the input.

    Leaves the model in eval mode. Raises ValueError for codes outside 0..K-1, a missing vector's too.
    """
    codes_NL = np.asarray(codes_NL)
    if codes_NL.ndim != 2 or codes_NL.shape[1] != len(model.sizes):
        raise ValueError(f"codes have shape {list(codes_NL.shape)}; this RQ-VAE has {len(model.sizes)} levels")
    if ((codes_NL < 0) | (codes_NL >= np.array(model.sizes))).any():
        raise ValueError(f"codes are outside the codebooks' sizes {list(model.sizes)}: leave missing vectors out")
    vectors_ND = np.empty((len(codes_NL), model.widths[0]), np.float32)
    model.eval()
    for first in range(0, len(codes_NL), CHUNK_ROWS):
        codes_BL = torch.from_numpy(codes_NL[first : first + CHUNK_ROWS]).long().to(model.mean_D.device)
        with torch.inference_mode():
            levels = zip(model.codebooks, codes_BL.T, strict=True)
            sum_BZ = torch.stack([codebook_KZ[codes_B] for codebook_KZ, codes_B in levels]).sum(0)
            x_BD = model.decoder(sum_BZ) * model.deviation_D + model.mean_D
        vectors_ND[first : first + CHUNK_ROWS] = x_BD.cpu().numpy()
    return vectors_ND


def to_bytes(model: RQVAE) -> bytes:
    """The model as safetensors, its widths and sizes in the metadata; the same weights give the same bytes."""
    state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    return save(state, {METADATA: json.dumps({"widths": model.widths, "sizes": model.sizes})})


def from_bytes(data: bytes) -> RQVAE:
    """The model of `to_bytes`, in eval mode on the CPU. Raises ValueError for anything else."""
    try:
        state = load(data)
        header = json.loads(data[LENGTH_BYTES : LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "little")])
        metadata = json.loads(header["__metadata__"][METADATA])
        dimensions, *hidden, latent_dimensions = metadata["widths"]
        with torch.device("meta"):  # draws no random weights
            model = RQVAE(dimensions, hidden=hidden, latent_dimensions=latent_dimensions, sizes=metadata["sizes"])
        model.load_state_dict(state, assign=True)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"these {len(data)} bytes are no RQ-VAE of `to_bytes`: {error}") from error
    return model.eval()


def quantized(
    latents_BZ: torch.Tensor, codebooks: Sequence[torch.Tensor], *, commitment: float, is_rotated: bool = False
) -> Quantized:
    """The sum of each latent's codewords, and the loss of section 2.2 that moves codebooks and encoder.

    Codebooks that need no gradient get none. Gradients of the sum reach the latents unchanged, or rotated and scaled as
    the latent is onto the sum (Fifty et al. 2024, eq. 4), for the sum of all levels at once.
    """
    return Quantized(*_Quantization.apply(latents_BZ, commitment, is_rotated, *codebooks))  # type: ignore[no-untyped-call]


def nearest(vectors_BZ: torch.Tensor, codebook_KZ: torch.Tensor) -> torch.Tensor:
    """Code of the nearest codeword in Euclidean distance, int64 [B]; ties go to the lowest code."""
    # |x - c|^2 is least where x.c - |c|^2 / 2 is greatest
    half_squares_K = codebook_KZ.square().sum(1).mul_(-0.5)
    return torch.addmm(half_squares_K, vectors_BZ, codebook_KZ.T).argmax(1)


def sums_by_code(vectors_BZ: torch.Tensor, codes_B: torch.Tensor, k: int) -> torch.Tensor:
    """Sum of the vectors of each code [K, Z], the same at every run on any device."""
    sums_KZ: torch.Tensor = torch.ops.aten.embedding_dense_backward(vectors_BZ, codes_B, k, -1, False)
    return sums_KZ


class _Quantization(torch.autograd.Function):
    """Residual quantization with its gradients in closed form: every one of them is made of the residuals.

    r_l = r_{l-1} - sg[e_l] is what level l leaves, so both its losses are |r_l|^2; d/de_l is -2 r_l, and d/dz is
    2 beta r_l for every level, because no codeword stands between z and a residual.
    """

    @staticmethod
    def forward(
        ctx: Any, latents_BZ: torch.Tensor, commitment: float, is_rotated: bool, *codebooks: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        residual_BZ, sum_BZ = latents_BZ, torch.zeros_like(latents_BZ)
        codes, residuals = [], []
        for codebook_KZ in codebooks:
            codes_B = nearest(residual_BZ, codebook_KZ)
            codewords_BZ = codebook_KZ.index_select(0, codes_B)
            residual_BZ = residual_BZ - codewords_BZ
            sum_BZ += codewords_BZ
            codes.append(codes_B)
            residuals.append(residual_BZ)
        codes_BL, residuals_LBZ = torch.stack(codes, 1), torch.stack(residuals)
        distance = residuals_LBZ.square().sum() / len(latents_BZ)
        ctx.save_for_backward(codes_BL, residuals_LBZ, *((latents_BZ, sum_BZ) if is_rotated else ()))
        ctx.commitment, ctx.sizes = commitment, [len(codebook_KZ) for codebook_KZ in codebooks]
        ctx.mark_non_differentiable(codes_BL, distance)
        return sum_BZ, codes_BL, distance * (1 + commitment), distance.clone()

    @staticmethod
    def backward(
        ctx: Any, sum_gradient_BZ: torch.Tensor, _codes: Any, loss_gradient: torch.Tensor, _: Any
    ) -> tuple[Any, ...]:
        codes_BL, residuals_LBZ, *directions = ctx.saved_tensors
        share = 2 * loss_gradient / len(codes_BL)
        through_BZ = _rotated_back(sum_gradient_BZ, *directions) if directions else sum_gradient_BZ
        latent_gradient_BZ = torch.addcmul(through_BZ, residuals_LBZ.sum(0), share * ctx.commitment)
        codebook_gradients = [
            sums_by_code(residuals_LBZ[level] * -share, codes_BL[:, level], k)
            if ctx.needs_input_grad[3 + level]
            else None
            for level, k in enumerate(ctx.sizes)
        ]
        return latent_gradient_BZ, None, None, *codebook_gradients


def _rotated_back(gradient_BZ: torch.Tensor, latents_BZ: torch.Tensor, sum_BZ: torch.Tensor) -> torch.Tensor:
    """The gradient before the rotation and scaling that take the latent onto the sum: their transpose."""
    latent_norm_B1 = torch.linalg.vector_norm(latents_BZ, dim=1, keepdim=True).clamp_(min=SMALLEST_NORM)
    sum_norm_B1 = torch.linalg.vector_norm(sum_BZ, dim=1, keepdim=True)
    from_BZ, onto_BZ = latents_BZ / latent_norm_B1, sum_BZ / sum_norm_B1.clamp(min=SMALLEST_NORM)
    between_BZ = from_BZ + onto_BZ
    between_BZ /= torch.linalg.vector_norm(between_BZ, dim=1, keepdim=True).clamp_(min=SMALLEST_NORM)
    rotated_BZ: torch.Tensor = gradient_BZ - 2 * between_BZ * (between_BZ * gradient_BZ).sum(1, keepdim=True)
    rotated_BZ += 2 * from_BZ * (onto_BZ * gradient_BZ).sum(1, keepdim=True)
    return rotated_BZ.mul_(sum_norm_B1 / latent_norm_B1)


def _layers(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-2])


def _padded(chunk_ND: np.ndarray, model: RQVAE) -> torch.Tensor:
    """The chunk and zeros to CHUNK_ROWS: a product's last bits depend on its shape, not on a row's place in it."""
    rows_BD = np.zeros((CHUNK_ROWS, chunk_ND.shape[1]), np.float32)
    rows_BD[: len(chunk_ND)] = chunk_ND
    return torch.from_numpy(rows_BD).to(model.mean_D.device)
