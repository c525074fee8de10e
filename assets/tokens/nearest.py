"""The nearest centroid of each vector, without ever writing a distance to memory.

In: vectors and centroids, float32. Out: one int32 code a vector. Nearest is the largest x.c - |c|^2 / 2, which orders
centroids as the squared distance does. On a CPU a tile of 6 vectors by 64 centroids is multiplied in registers and
reduced to its best codes there, so memory holds no N x K matrix; the tile is LLVM vector code, built for the registers
of the CPU it runs on. Each score is summed in the order of the dimensions: codes depend on neither the threads nor the
other vectors. Other devices take torch's path. Left out: the bf16 units of ARM.
"""

# N vectors, K centroids, D dimensions; G groups of C centroids, W words a vector: a float32 or two bf16

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba.core import cgutils
from numba.extending import intrinsic

_CPU = binding.get_host_cpu_features()
HAS_BF16_UNITS: bool = bool(_CPU.get("avx512bf16", False))

LANES = 16 if _CPU.get("avx512f", False) else 8 if _CPU.get("avx2", False) else 4
IS_X86_OF_16_REGISTERS = "sse2" in _CPU and LANES < 16
TILE_ROWS = 6
# 6 rows of 4 vectors are 24 sums; with 4 of centroids and one of x they fit 32 registers, half of them fit 16
TILE_VECTORS = 2 if IS_X86_OF_16_REGISTERS else 4
GROUP = TILE_VECTORS * LANES
BLOCK_BYTES = 384 * 1024  # of vectors: with one group of centroids it stays in a 1 MiB second-level cache
SPAN_ROWS = 4096  # a thread's turn
RECHECKED_ROWS = 65_536
TORCH_SCORES = 2**26  # scores held at once on another device: 256 MiB


def nearest_codes(vectors_ND: torch.Tensor, centroids_KD: torch.Tensor) -> torch.Tensor:
    """Code of the nearest centroid, in float32.

    Returns int32 [N] on the vectors' device; ties go to the lowest code.
    """
    if vectors_ND.device.type != "cpu":
        return torch_nearest_codes(vectors_ND, centroids_KD)
    return _best(vectors_ND, centroids_KD, is_bf16=False).codes_N


def screened_nearest_codes(vectors_ND: torch.Tensor, centroids_KD: torch.Tensor) -> torch.Tensor:
    """`nearest_codes` at up to twice the speed where `HAS_BF16_UNITS`, equal to it but for a few ties in a million.

    Products rounded to bf16 find the two best centroids; where their scores are closer than rounding may have moved
    them, float32 decides.
    """
    if not HAS_BF16_UNITS or vectors_ND.device.type != "cpu":
        return nearest_codes(vectors_ND, centroids_KD)
    best = _best(vectors_ND, centroids_KD, is_bf16=True)
    for rows in best.is_close_N.nonzero().flatten().split(RECHECKED_ROWS):
        best.codes_N[rows] = nearest_codes(vectors_ND[rows], centroids_KD)
    return best.codes_N


def torch_nearest_codes(vectors_ND: torch.Tensor, centroids_KD: torch.Tensor) -> torch.Tensor:
    """`nearest_codes` by matrix products a chunk of rows at a time, for any device."""
    origin_D = _origin(centroids_KD)
    centred_KD = centroids_KD - origin_D
    bias_K = (-0.5 * centred_KD.double().square().sum(1)).float()
    codes_N = torch.empty(len(vectors_ND), dtype=torch.int32, device=vectors_ND.device)
    rows = max(1, TORCH_SCORES // len(centroids_KD))
    for first in range(0, len(vectors_ND), rows):
        scores = torch.addmm(bias_K, vectors_ND[first : first + rows] - origin_D, centred_KD.T)
        codes_N[first : first + rows] = scores.argmax(1)
    return codes_N


def in_threads(work: Callable[..., None], *arrays: np.ndarray, count: int, step: int) -> None:
    """Calls work(*arrays, first, last) for spans of `step` that cover 0..count, on torch's number of threads."""
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        spans = [pool.submit(work, *arrays, first, min(first + step, count)) for first in range(0, count, step)]
        for span in spans:
            span.result()


def _origin(centroids_KD: torch.Tensor) -> torch.Tensor:
    """Where scores are taken from: near the centroids' mean, since a common offset would eat the products' digits.

    Its 8 significant bits leave differences of small integers exact, so that their ties stay ties.
    """
    return centroids_KD.mean(0).bfloat16().float()


class _Best(NamedTuple):
    """The best code, and whether the second best scores so nearly the same that bf16 cannot tell them apart."""

    codes_N: torch.Tensor
    is_close_N: torch.Tensor


def _best(vectors_ND: torch.Tensor, centroids_KD: torch.Tensor, *, is_bf16: bool) -> _Best:
    origin_D = _origin(centroids_KD)
    centred_KD = centroids_KD - origin_D
    packed = _packed(centred_KD, is_bf16=is_bf16)
    found = _Best(torch.empty(len(vectors_ND), dtype=torch.int32), torch.empty(len(vectors_ND), dtype=torch.bool))

    # Rounding moves scores by (x - c).(c's rounding) for both centroids and by (x's rounding).(c - c'). It is at most
    # 2^-9 of a value, 2.4 times less as a deviation, and sums like a random walk: 4 covers over five deviations.
    longest = float(torch.linalg.vector_norm(centred_KD, dim=1).max())
    margin = np.array([4 * 2.0**-9 / centroids_KD.shape[1] ** 0.5 * longest, longest], np.float32)
    arrays = [vectors_ND.contiguous(), origin_D, *packed, *found]
    in_threads(_span_work(is_bf16), *(a.numpy() for a in arrays), margin, count=len(vectors_ND), step=SPAN_ROWS)
    return found


class _Packed(NamedTuple):
    """Centroids in the order in which a tile reads them, and where each one's score starts: -|c|^2 / 2."""

    panels_GWC: torch.Tensor
    bias_GC: torch.Tensor


def _packed(centroids_KD: torch.Tensor, *, is_bf16: bool) -> _Packed:
    k, dimensions = centroids_KD.shape
    groups = -(-k // GROUP)
    padded = torch.zeros(groups * GROUP, dimensions + dimensions % 2)
    padded[:k, :dimensions] = centroids_KD
    held = padded.bfloat16() if is_bf16 else padded
    bias = torch.full((groups * GROUP,), -torch.inf)  # a padding centroid is never the best
    bias[:k] = -0.5 * held[:k].double().square().sum(1)
    words = held.view(torch.int32 if is_bf16 else torch.float32)
    panels = words.view(groups, GROUP, -1).transpose(1, 2).contiguous()
    return _Packed(panels, bias.view(groups, GROUP))


@cache
def _span_work(is_bf16: bool) -> Callable[..., None]:
    """The compiled loop over vectors first..last: copies a block, multiplies its tiles, writes its codes."""
    tile = _tile(is_bf16)

    @numba.njit(nogil=True, error_model="numpy")
    def span_work(  # type: ignore[no-untyped-def]  # noqa: PLR0913, PLR0917
        x_ND, origin_D, panels_GWC, bias_GC, codes_N, is_close_N, margin, first, last
    ):
        groups, words, _ = panels_GWC.shape
        block = TILE_ROWS * max(1, min(32, BLOCK_BYTES // (4 * words * TILE_ROWS)))
        row = np.zeros(2 * words if is_bf16 else words, np.float32)
        held = np.zeros((block, row.size), np.uint16 if is_bf16 else np.float32)
        lengths = np.zeros(block, np.float32)
        best = np.empty((block, 2, LANES), np.float32)
        best_codes = np.zeros((block, LANES), np.int32)

        for start in range(first, last, block):
            rows = min(block, last - start)
            for r in range(rows):
                for d in range(origin_D.size):
                    row[d] = x_ND[start + r, d] - origin_D[d]
                lengths[r] = _length(row)
                if is_bf16:
                    _round_to_bf16(row.view(np.uint32), held[r])
                else:
                    held[r] = row
            best[:] = -np.inf
            for g in range(groups):
                for r in range(0, rows, TILE_ROWS):
                    tile(held[r:], panels_GWC[g], bias_GC[g], best[r:], best_codes[r:], words, g * GROUP)
            for r in range(rows):
                lane = _best_lane(best[r, 0], best_codes[r])
                codes_N[start + r] = best_codes[r, lane]
                top, best[r, 0, lane] = best[r, 0, lane], best[r, 1, lane]
                is_close_N[start + r] = top - best[r, 0].max() < margin[0] * (lengths[r] + margin[1])

    return span_work  # type: ignore[no-any-return]


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _round_to_bf16(bits_D: np.ndarray, held_D: np.ndarray) -> None:
    """Upper halves of float32 bits, rounded to nearest, ties to even."""
    for d in range(bits_D.size):
        is_odd = (bits_D[d] >> np.uint32(16)) & np.uint32(1)
        held_D[d] = np.uint16((bits_D[d] + np.uint32(0x7FFF) + is_odd) >> np.uint32(16))


@numba.njit(nogil=True, fastmath={"reassoc"})  # type: ignore[untyped-decorator]
def _length(row_D: np.ndarray) -> float:
    total = np.float32(0)
    for d in range(row_D.size):
        total += row_D[d] * row_D[d]
    return np.sqrt(total)  # type: ignore[no-any-return]


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _best_lane(best: np.ndarray, codes: np.ndarray) -> int:
    lane = 0
    for other in range(1, best.size):
        if best[other] > best[lane] or (best[other] == best[lane] and codes[other] < codes[lane]):
            lane = other
    return lane


def _tile(is_bf16: bool) -> Any:
    """A function of numba: scores of TILE_ROWS vectors with a group of centroids, kept where they beat the best so far.

    tile(held, panel_WC, bias_C, best, best_codes, words, first_code): `held`, `best` and `best_codes` begin with the
    tile's first row.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(_, held, panel, bias, best, best_codes, words, first_code):  # type: ignore[no-untyped-def]
        def build(context, builder, signature, values):  # type: ignore[no-untyped-def]
            arrays = [
                builder.bitcast(context.make_array(t)(context, builder, v).data, ir.IntType(8).as_pointer())
                for t, v in zip(signature.args[:5], values[:5], strict=True)
            ]
            code = _Emitter(builder, is_bf16)
            scores = code.scores(arrays[0], arrays[1], arrays[2], values[5])
            code.keep_best(scores, arrays[3], arrays[4], builder.trunc(values[6], ir.IntType(32)))
            return context.get_dummy_value()

        return numba.void(held, panel, bias, best, best_codes, words, first_code), build

    return tile


class _Emitter:
    """Writes the tile's LLVM code with `builder`. Addresses are bytes; every word is 4 of them."""

    def __init__(self, builder: Any, is_bf16: bool) -> None:
        self.builder = builder
        self.i32, self.i64 = ir.IntType(32), ir.IntType(64)
        self.word = self.i32 if is_bf16 else ir.FloatType()
        self.words, self.codes, self.floats = (ir.VectorType(t, LANES) for t in (self.word, self.i32, ir.FloatType()))
        name = "llvm.x86.avx512bf16.dpbf16ps.512" if is_bf16 else f"llvm.fmuladd.v{LANES}f32"
        operands = [self.floats, self.words, self.words] if is_bf16 else [self.floats] * 3
        multiply = cgutils.get_or_insert_function(builder.module, ir.FunctionType(self.floats, operands), name)
        self.multiply_add = lambda total, x, c: builder.call(multiply, [total, x, c] if is_bf16 else [x, c, total])

    def scores(self, held: Any, panel: Any, bias: Any, words: Any) -> list[list[Any]]:
        """Bias plus the products over all words: a vector of LANES scores for each row and each vector of the group."""
        builder, rows, vectors = self.builder, range(TILE_ROWS), range(TILE_VECTORS)
        starts = [self.load(bias, self.i64(v * LANES), self.floats) for v in vectors]
        entry, loop, done = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        word = builder.phi(self.i64)
        totals = [[builder.phi(self.floats) for _ in vectors] for _ in rows]
        first_lane = builder.mul(word, self.i64(GROUP))
        c = [self.load(panel, builder.add(first_lane, self.i64(v * LANES)), self.words) for v in vectors]
        sums = []
        for r in rows:
            x = self.splat(self.load(held, builder.add(word, builder.mul(words, self.i64(r))), self.word), self.words)
            sums.append([self.multiply_add(totals[r][v], x, c[v]) for v in vectors])
        following = builder.add(word, self.i64(1))
        builder.cbranch(builder.icmp_signed("<", following, words), loop, done)

        word.add_incoming(self.i64(0), entry)
        word.add_incoming(following, loop)
        for r in rows:
            for v in vectors:
                totals[r][v].add_incoming(starts[v], entry)
                totals[r][v].add_incoming(sums[r][v], loop)
        builder.position_at_end(done)
        return sums

    def keep_best(self, scores: list[list[Any]], best: Any, best_codes: Any, first_code: Any) -> None:
        """Lane by lane the two highest scores and the first one's code; equal scores leave the lower code in place."""
        builder = self.builder
        lanes = ir.Constant(self.codes, list(range(LANES)))
        firsts = [builder.add(first_code, self.i32(v * LANES)) for v in range(TILE_VECTORS)]
        codes = [builder.add(self.splat(first, self.codes), lanes) for first in firsts]
        for r in range(TILE_ROWS):
            first, second, row = self.i64(2 * r * LANES), self.i64((2 * r + 1) * LANES), self.i64(r * LANES)
            top, runner_up = self.load(best, first, self.floats), self.load(best, second, self.floats)
            top_codes = self.load(best_codes, row, self.codes)
            for v in range(TILE_VECTORS):
                score = scores[r][v]
                is_higher = builder.fcmp_ordered(">", score, top)
                lower = builder.select(is_higher, top, score)
                runner_up = builder.select(builder.fcmp_ordered(">", lower, runner_up), lower, runner_up)
                top = builder.select(is_higher, score, top)
                top_codes = builder.select(is_higher, codes[v], top_codes)
            self.store(top, best, first)
            self.store(runner_up, best, second)
            self.store(top_codes, best_codes, row)

    def load(self, base: Any, words: Any, kind: Any) -> Any:
        value = self.builder.load(self.at(base, words, kind))
        value.align = 4
        return value

    def store(self, value: Any, base: Any, words: Any) -> None:
        self.builder.store(value, self.at(base, words, value.type)).align = 4

    def at(self, base: Any, words: Any, kind: Any) -> Any:
        address = self.builder.gep(base, [self.builder.mul(words, self.i64(4))])
        return self.builder.bitcast(address, kind.as_pointer())

    def splat(self, value: Any, kind: Any) -> Any:
        empty = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(empty, value, self.i32(0))
        return self.builder.shuffle_vector(first, empty, ir.Constant(self.codes, [0] * LANES))
