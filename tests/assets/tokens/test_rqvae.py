from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from vector_quantize_pytorch import ResidualVQ

from assets.tokens.rqvae import CHUNK_ROWS, RQVAE, codes_of, decoded, from_bytes, nearest, quantized, to_bytes

SIZES = (6, 5, 4)


def a_model(*, dimensions: int = 10, sizes: tuple[int, ...] = SIZES, seed: int = 0) -> RQVAE:
    """A model with random weights, codebooks, scales and running statistics, none of them at its default."""
    random = torch.Generator().manual_seed(seed)
    model = RQVAE(dimensions, hidden=[16, 12], latent_dimensions=8, sizes=sizes)
    with torch.no_grad():
        for name, tensor in model.state_dict(keep_vars=True).items():
            if tensor.is_floating_point():
                tensor.copy_(0.5 * torch.randn(tensor.shape, generator=random))
            if "var" in name or "deviation" in name:
                tensor.abs_().add_(0.5)
        # among the latents, so that all codes are used
        model.codebooks[0].copy_(model.eval().encoder(torch.randn(sizes[0], dimensions, generator=random)))
    return model


def some_vectors(n: int = 50, *, dimensions: int = 10, seed: int = 1) -> np.ndarray:
    """Normal vectors."""
    return np.random.default_rng(seed).standard_normal((n, dimensions)).astype(np.float32)


def random_codebooks(*, seed: int = 0, z: int = 8) -> list[torch.Tensor]:
    """Codebooks of SIZES that take gradients."""
    random = torch.Generator().manual_seed(seed)
    return [torch.randn(k, z, generator=random).requires_grad_() for k in SIZES]


def random_latents(*, n: int = 40, seed: int = 1, z: int = 8) -> torch.Tensor:
    """Latents that take a gradient."""
    return torch.randn(n, z, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def written_out(
    latents_BZ: torch.Tensor, codebooks: list[torch.Tensor], beta: float
) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    """Section 2.2 term by term: straight-through sum, codes, and each level's codebook and commitment loss."""
    residual_BZ, codewords, codes, codebook_losses, commitments = latents_BZ, [], [], [], []
    for codebook_KZ in codebooks:
        distances_BK = (residual_BZ[:, None] - codebook_KZ[None]).square().sum(2)
        codes_B = distances_BK.argmin(1)
        codeword_BZ = codebook_KZ[codes_B]
        codebook_losses.append((residual_BZ.detach() - codeword_BZ).square().sum(1).mean())
        commitments.append(beta * (residual_BZ - codeword_BZ.detach()).square().sum(1).mean())
        codewords.append(codeword_BZ)
        codes.append(codes_B)
        residual_BZ = residual_BZ - codeword_BZ.detach()
    sum_BZ = latents_BZ + (torch.stack(codewords).sum(0) - latents_BZ).detach()
    return sum_BZ, codes, codebook_losses, commitments


def written_out_layers(state: dict[str, torch.Tensor], side: str, layers: int, x_BD: torch.Tensor) -> torch.Tensor:
    """Linear, batch norm of running statistics, ReLU; the last linear alone."""
    for layer in range(layers):
        linear, norm = f"{side}.{3 * layer}", f"{side}.{3 * layer + 1}"
        x_BD = x_BD @ state[f"{linear}.weight"].T + state[f"{linear}.bias"]
        if layer < layers - 1:
            deviation = (state[f"{norm}.running_var"] + 1e-5).sqrt()
            x_BD = (x_BD - state[f"{norm}.running_mean"]) / deviation
            x_BD = (x_BD * state[f"{norm}.weight"] + state[f"{norm}.bias"]).clamp(min=0)
    return x_BD


def test_the_network_has_the_papers_layers():
    """3.2: 512, 256, 128 and d_z with batch norm and ReLU between, and the mirror image as decoder."""
    model = RQVAE(4096, hidden=[512, 256, 128], latent_dimensions=32, sizes=(32, 64, 128))
    widths = [4096, 512, 256, 128, 32]
    for side, sides_widths in ((model.encoder, widths), (model.decoder, widths[::-1])):
        linears = [layer for layer in side if isinstance(layer, torch.nn.Linear)]
        assert [(layer.in_features, layer.out_features) for layer in linears] == list(pairwise(sides_widths))
        assert [type(layer).__name__ for layer in side] == ["Linear", "BatchNorm1d", "ReLU"] * 3 + ["Linear"]
    assert [tuple(codebook.shape) for codebook in model.codebooks] == [(32, 32), (64, 32), (128, 32)]


def test_codes_equal_the_written_out_forward_pass():
    """Scaling, encoder and nearest codeword of each residual, written out in float64, give the codes of the module."""
    model, x_ND = a_model(), some_vectors(300)
    state = {name: tensor.double() for name, tensor in model.state_dict().items()}
    scaled_ND = (torch.from_numpy(x_ND).double() - state["mean_D"]) / state["deviation_D"]
    latents_NZ = written_out_layers(state, "encoder", 3, scaled_ND)
    codes = written_out(latents_NZ, [state[f"codebooks.{level}"] for level in range(3)], 0.25)[1]
    codes_NL = codes_of(model, x_ND)
    assert codes_NL.dtype == np.int32
    assert codes_NL.tolist() == torch.stack(codes, 1).tolist()
    assert len(np.unique(codes_NL, axis=0)) > 20


def test_decoding_equals_the_written_out_decoder():
    """The sum of codewords through the decoder, scaled back, is the vector of the codes."""
    model = a_model()
    codes_NL = np.array([[0, 0, 0], [5, 4, 3], [2, 1, 3]])
    state = {name: tensor.double() for name, tensor in model.state_dict().items()}
    sum_NZ = torch.stack([state[f"codebooks.{level}"][codes_NL[:, level]] for level in range(3)]).sum(0)
    expected_ND = written_out_layers(state, "decoder", 3, sum_NZ) * state["deviation_D"] + state["mean_D"]
    np.testing.assert_allclose(decoded(model, codes_NL), expected_ND, rtol=1e-5, atol=1e-5)


def test_loss_and_every_gradient_equal_the_written_out_loss():
    """Value, gradient of the latents and of each codebook are autograd's of eq. 2.2 with a straight-through sum."""
    codebooks, latents_BZ = random_codebooks(), random_latents()
    weights_BZ = random_latents(seed=2).detach()  # a decoder's gradient
    inputs = [latents_BZ, *codebooks]
    ours = quantized(latents_BZ, codebooks, commitment=0.25)
    ours_gradients = torch.autograd.grad((ours.sum_BZ * weights_BZ).sum() + ours.loss, inputs)

    sum_BZ, codes, codebook_losses, commitments = written_out(latents_BZ, codebooks, 0.25)
    loss = torch.stack(codebook_losses + commitments).sum()
    gradients = torch.autograd.grad((sum_BZ * weights_BZ).sum() + loss, inputs)

    assert ours.codes_BL.tolist() == torch.stack(codes, 1).tolist()
    torch.testing.assert_close(ours.sum_BZ, sum_BZ)
    torch.testing.assert_close(ours.loss, loss)
    torch.testing.assert_close(ours.distance, torch.stack(codebook_losses).sum())
    for gradient, expected in zip(ours_gradients, gradients, strict=True):
        torch.testing.assert_close(gradient, expected)


def test_every_level_commits_to_the_encoder():
    """The encoder's gradient of the loss is the sum of what each level's commitment sends it, and none of them is 0."""
    model, codebooks = a_model().train(), random_codebooks()
    weights = [layer.weight for layer in model.encoder if isinstance(layer, torch.nn.Linear)]
    latents_BZ = model.encoder(torch.from_numpy(some_vectors()))
    commitments = written_out(latents_BZ, codebooks, 0.25)[3]
    by_level = [torch.autograd.grad(level, weights, retain_graph=True) for level in commitments]
    for gradients in by_level:
        assert all(gradient.norm() > 1e-4 for gradient in gradients)
    ours = torch.autograd.grad(quantized(latents_BZ, codebooks, commitment=0.25).loss, weights)
    for gradient, *levels in zip(ours, *by_level, strict=True):
        torch.testing.assert_close(gradient, torch.stack(levels).sum(0))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_level_alone_moves_the_latents(level):
    """With the other levels' residuals taken out, a level's part of the gradient is 2 beta r_l / B: not zero."""
    codebooks, latents_BZ = random_codebooks(), random_latents()
    shorter, longer = (
        torch.autograd.grad(quantized(latents_BZ, codebooks[:levels], commitment=0.25).loss, latents_BZ)[0]
        if levels
        else torch.zeros(40, 8)
        for levels in (level, level + 1)
    )
    left_BZ = latents_BZ - quantized(latents_BZ, codebooks[: level + 1], commitment=0.25).sum_BZ
    torch.testing.assert_close(longer - shorter, 2 * 0.25 * left_BZ.detach() / 40)
    assert (longer - shorter).norm() > 1e-3


def test_codebook_losses_do_not_reach_the_encoder():
    """With beta 0 the loss leaves the latents alone and still moves every codebook."""
    codebooks, latents_BZ = random_codebooks(), random_latents()
    loss = quantized(latents_BZ, codebooks, commitment=0).loss
    gradient_BZ, *gradients = torch.autograd.grad(loss, [latents_BZ, *codebooks])
    assert not gradient_BZ.any()
    assert all(gradient.any() for gradient in gradients)


def test_commitments_do_not_move_the_codebooks():
    """The codebooks' gradients are the same whatever beta."""
    codebooks, latents_BZ = random_codebooks(), random_latents()
    low, high = (
        torch.autograd.grad(quantized(latents_BZ, codebooks, commitment=beta).loss, codebooks) for beta in (0, 10)
    )
    for gradient, other in zip(low, high, strict=True):
        torch.testing.assert_close(gradient, other, rtol=0, atol=0)


def test_the_residual_is_of_the_detached_codeword():
    """Levels 2 and 3 add nothing to the gradient of level 1's codebook."""
    codebooks, latents_BZ = random_codebooks(), random_latents()
    alone, among = (
        torch.autograd.grad(quantized(latents_BZ, codebooks[:levels], commitment=0.25).loss, codebooks[0])[0]
        for levels in (1, 3)
    )
    torch.testing.assert_close(alone, among, rtol=0, atol=0)


def test_the_decoder_does_not_move_the_codebooks():
    """The sum's gradient goes to the latents alone: codewords learn by eq. 2.2's second term."""
    codebooks, latents_BZ = random_codebooks(), random_latents()
    gradients = torch.autograd.grad(quantized(latents_BZ, codebooks, commitment=0.25).sum_BZ.sum(), codebooks)
    assert not any(gradient.any() for gradient in gradients)


def test_quantization_equals_the_librarys():
    """With the same codebooks vector-quantize-pytorch finds the same codes and the same sums."""
    codebooks, latents_BZ = random_codebooks(), random_latents(n=500)
    library = ResidualVQ(dim=8, codebook_size=SIZES).eval()
    for layer, codebook_KZ in zip(library.layers, codebooks, strict=True):
        layer._codebook.embed.copy_(codebook_KZ[None].detach())
    sum_BZ, codes_BL, _ = library(latents_BZ.detach())
    ours = quantized(latents_BZ, codebooks, commitment=0.25)
    assert ours.codes_BL.tolist() == codes_BL.tolist()
    torch.testing.assert_close(ours.sum_BZ, sum_BZ)


def test_rotation_equals_the_papers_matrix():
    """The gradient is (|q|/|z|) (I - 2 w w' + 2 q z')' g of unit q and z: Fifty et al. 2024, section 4.2."""
    codebooks, latents_BZ = random_codebooks(), random_latents(n=20)
    weights_BZ = random_latents(n=20, seed=2).detach()
    found = quantized(latents_BZ, codebooks, commitment=0.25, is_rotated=True)
    gradient_BZ = torch.autograd.grad((found.sum_BZ * weights_BZ).sum(), latents_BZ)[0]
    for z, q, g, gradient in zip(latents_BZ.detach(), found.sum_BZ.detach(), weights_BZ, gradient_BZ, strict=True):
        unit_z, unit_q = z / z.norm(), q / q.norm()
        w = (unit_z + unit_q) / (unit_z + unit_q).norm()
        matrix = torch.eye(8) - 2 * torch.outer(w, w) + 2 * torch.outer(unit_q, unit_z)
        torch.testing.assert_close(matrix @ z * (q.norm() / z.norm()), q, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradient, (q.norm() / z.norm()) * matrix.T @ g, rtol=1e-4, atol=1e-5)


def test_rotation_of_nothing_is_finite():
    """A latent of length 0, a sum of length 0 and a sum opposite to the latent give finite gradients."""
    latents_BZ = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, -2.0]], requires_grad=True)
    for codeword in ([0.0, 0.0], [0.0, 2.0]):
        found = quantized(latents_BZ, [torch.tensor([codeword])], commitment=0.25, is_rotated=True)
        gradient_BZ = torch.autograd.grad(found.sum_BZ.sum(), latents_BZ)[0]
        assert gradient_BZ.isfinite().all()


def test_ties_go_to_the_lowest_code():
    """Of equal codewords, and of two at the same distance, the first is chosen."""
    codebook_KZ = torch.tensor([[5.0, 0], [1, 0], [-1, 0], [1, 0]])
    assert nearest(torch.tensor([[1.0, 0], [0, 0], [0, 7]]), codebook_KZ).tolist() == [1, 1, 1]


@given(first=st.integers(0, 3 * CHUNK_ROWS), n=st.integers(1, 2 * CHUNK_ROWS), threads=st.integers(1, 2))
@settings(max_examples=20, deadline=None)
def test_codes_do_not_depend_on_the_batch(first, n, threads):
    """Any slice of the vectors has the codes that the vectors have among all the others, in any number of threads."""
    model, x_ND = a_model(dimensions=33, sizes=(40, 30)), some_vectors(4 * CHUNK_ROWS, dimensions=33)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        codes_NL = codes_of(model, x_ND[first : first + n])
    finally:
        torch.set_num_threads(before)
    assert codes_NL.tolist() == codes_of(model, x_ND)[first : first + n].tolist()


def test_bytes_round_trip_and_are_the_same_for_the_same_weights():
    """`from_bytes` gives codes and vectors of the model, draws no random numbers, and writes the same bytes again."""
    model, x_ND = a_model(), some_vectors()
    data = to_bytes(model)
    assert data == to_bytes(a_model())
    assert data != to_bytes(a_model(seed=1))
    state = torch.get_rng_state()
    back = from_bytes(data)
    assert torch.equal(torch.get_rng_state(), state)
    assert to_bytes(back) == data
    assert back.sizes == SIZES
    codes_NL = codes_of(model, x_ND)
    assert codes_of(back, x_ND).tolist() == codes_NL.tolist()
    assert decoded(back, codes_NL).tobytes() == decoded(model, codes_NL).tobytes()


@pytest.mark.parametrize("data", [b"", b"not a model", to_bytes(a_model())[:-8]])
def test_other_bytes_are_refused(data):
    """Bytes that `to_bytes` did not write raise an error that says so."""
    with pytest.raises(ValueError, match="no RQ-VAE"):
        from_bytes(data)


def test_no_vectors_have_no_codes():
    """An empty shard gives empty codes and vectors of the right width."""
    model = a_model()
    assert codes_of(model, np.empty((0, 10), np.float32)).shape == (0, 3)
    assert decoded(model, np.empty((0, 3), np.int32)).shape == (0, 10)


def test_wrong_vectors_are_refused():
    """A vector of another width, and one that is not finite, are named."""
    x_ND = some_vectors(CHUNK_ROWS + 5)
    x_ND[CHUNK_ROWS + 2, 3] = np.nan
    with pytest.raises(ValueError, match=f"vector {CHUNK_ROWS + 2} is not finite"):
        codes_of(a_model(), x_ND)
    with pytest.raises(ValueError, match=r"shape \[5, 9\]"):
        codes_of(a_model(), some_vectors(5, dimensions=9))


@pytest.mark.parametrize("codes_NL", [[[6, 0, 0]], [[0, -1, 0]], [[0, 0]]])
def test_codes_of_a_missing_vector_are_refused(codes_NL):
    """One past the last code, a negative one and a missing level have no vector."""
    with pytest.raises(ValueError, match="codes"):
        decoded(a_model(), np.array(codes_NL))


def test_frozen_codebooks_get_no_gradient():
    """Under moving averages the loss asks for no gradient of the codebooks."""
    frozen = [codebook.detach() for codebook in random_codebooks()]
    latents_BZ = random_latents()
    loss = quantized(latents_BZ, frozen, commitment=0.25).loss + functional.relu(latents_BZ).sum()
    loss.backward()
    assert latents_BZ.grad is not None
    assert all(codebook.grad is None for codebook in frozen)
