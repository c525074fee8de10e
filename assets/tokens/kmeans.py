"""Lloyd's K-means (1982) from a k-means++ start (Arthur and Vassilvitskii 2007), and the codes of new vectors.

In: finite vectors; the caller leaves missing ones out. Out: K centroids in float32, a code for each vector, the
inertia (sum of squared distances) of every iteration. Sums are float64 in row order: the same rows and seed give the
same bytes, whatever the number of threads. No minibatches: an iteration over 200,000 x 1,024 with K = 1,024 takes about
a second on two cores with bf16 units.
"""

# N vectors, K centroids, D dimensions, S sampled vectors, B candidates

from typing import NamedTuple

import numba
import numpy as np
import torch

from assets.tokens.nearest import in_threads, nearest_codes, screened_nearest_codes

SAMPLE_PER_CENTROID = 32  # the start looks at this many vectors a centroid: our choice
SMALLEST_SAMPLE = 16_384
CANDIDATES = 64  # drawn at once by the start
CHUNK_ROWS = 4096
CODES_AT_ONCE = 16  # a thread's turn
COLUMNS_AT_ONCE = 64
LARGEST_LENGTH = 1e18  # squares of longer vectors overflow float32

Vectors = np.ndarray | torch.Tensor


class KMeans(NamedTuple):
    """A fitted codebook; each of `inertia_by_iteration` is of the centroids that the iteration began with."""

    centroids_KD: np.ndarray
    codes_N: np.ndarray
    inertia: float
    inertia_by_iteration: list[float]
    revived: int
    iterations: int


class Assignment(NamedTuple):
    """The code of each vector (int32) and its squared distance to that centroid (float32)."""

    codes_N: np.ndarray
    squared_distances_N: np.ndarray


def fit_kmeans(
    vectors_ND: Vectors, *, k: int, iterations: int, seed: int, tolerance: float, device: str | None = None
) -> KMeans:
    """K centroids that fit the vectors, by at most `iterations` of Lloyd's.

    Stops early once an iteration lowers inertia by no more than `tolerance` times itself. Ties go to the lowest code.
    Runs on `device`, or where the vectors are. Raises ValueError for a vector that is not finite and for fewer than K
    distinct ones.
    """
    x_ND = _checked(vectors_ND, device)
    _check_distinct(x_ND, k)
    return lloyd(x_ND, start_centroids(x_ND, k=k, seed=seed), iterations=iterations, tolerance=tolerance)


def lloyd(
    vectors_ND: Vectors, start_KD: Vectors, *, iterations: int, tolerance: float, device: str | None = None
) -> KMeans:
    """Lloyd's iterations from given centroids; a centroid that no vector chose moves to a worst-fit vector."""
    x_ND = _checked(vectors_ND, device)
    centroids_KD = _centroids_for(x_ND, start_KD)
    squares = sum(_total(chunk.square()) for chunk in x_ND.split(CHUNK_ROWS))
    inertias: list[float] = []
    revived = 0

    for _ in range(iterations):
        codes_N = screened_nearest_codes(x_ND, centroids_KD)
        sums = _sums(x_ND, codes_N, len(centroids_KD))
        inertias.append(_inertia(squares, sums, centroids_KD))

        moved = _revive(sums, x_ND, codes_N, centroids_KD)
        revived += moved
        counts_K1 = sums.counts_K[:, None]
        centroids_KD = torch.where(counts_K1 > 0, (sums.sums_KD / counts_K1.clamp(min=1)).float(), centroids_KD)
        if not moved and len(inertias) > 1 and inertias[-2] - inertias[-1] <= tolerance * inertias[-2]:
            break

    codes, squared_distances = assign(x_ND, centroids_KD)
    inertia = float(squared_distances.sum(dtype=np.float64))
    return KMeans(centroids_KD.cpu().numpy(), codes, inertia, inertias, revived, len(inertias))


def assign(vectors_ND: Vectors, centroids_KD: Vectors, *, device: str | None = None) -> Assignment:
    """Code of the nearest centroid of each vector; ties go to the lowest code.

    A vector's code depends on itself and the centroids alone. Raises ValueError if D differs or a vector is not finite.
    """
    x_ND = _checked(vectors_ND, device)
    c_KD = _centroids_for(x_ND, centroids_KD)
    codes_N = nearest_codes(x_ND, c_KD)
    return Assignment(codes_N.cpu().numpy(), _squared_distances(x_ND, codes_N, c_KD).cpu().numpy())


class Sums(NamedTuple):
    """Sum (float64) and number of the vectors of each code."""

    sums_KD: torch.Tensor
    counts_K: torch.Tensor


def torch_sums(x_ND: torch.Tensor, codes_N: torch.Tensor, k: int) -> Sums:
    """Sums by torch alone, for any device, and the same at every run: no atomic additions."""
    counts_K = torch.bincount(codes_N, minlength=k)
    order_N = torch.argsort(codes_N, stable=True)
    # a few columns at a time: a float64 copy of all would be twice the vectors
    parts = [
        torch.segment_reduce(columns[order_N].double(), "sum", lengths=counts_K, initial=0.0)
        for columns in x_ND.split(COLUMNS_AT_ONCE, dim=1)
    ]
    return Sums(torch.cat(parts, dim=1), counts_K)


def start_centroids(vectors_ND: Vectors, *, k: int, seed: int) -> torch.Tensor:
    """K of the vectors by k-means++ on a random sample of them.

    Candidates are drawn a batch at a time with the chances of the batch's beginning, and each is kept with the share of
    its chance that is left: k-means++'s own distribution, with one matrix product a batch and not one pass a centroid.
    """
    x_ND = _checked(vectors_ND, None)
    random = np.random.default_rng(seed)
    rows = min(len(x_ND), max(SAMPLE_PER_CENTROID * k, SMALLEST_SAMPLE))
    sample_SD = x_ND[torch.from_numpy(np.sort(random.choice(len(x_ND), rows, replace=False))).to(x_ND.device)]
    centred_SD = sample_SD - sample_SD.mean(0)  # products of vectors far from the origin lose digits

    chosen = [int(random.integers(rows))]
    lengths_S = centred_SD.square().sum(1)
    left_S = _distances_to(centred_SD, lengths_S, chosen)[0]
    while len(chosen) < k and left_S.any():
        shares_S = left_S.cumsum(dtype=np.float64)
        batch = np.searchsorted(shares_S, shares_S[-1] * random.random(min(CANDIDATES, len(chosen))), side="right")
        chances_B = left_S[batch] * random.random(len(batch))
        distances_BS = _distances_to(centred_SD, lengths_S, batch.tolist())
        for candidate, chance, distances_S in zip(batch.tolist(), chances_B, distances_BS, strict=True):
            if chance < left_S[candidate] and len(chosen) < k:
                chosen.append(candidate)
                np.minimum(left_S, distances_S, out=left_S)

    # a sample with fewer distinct vectors than K repeats one: Lloyd's first iteration revives the copies
    return sample_SD[chosen + chosen[:1] * (k - len(chosen))]


def _distances_to(vectors_SD: torch.Tensor, lengths_S: torch.Tensor, rows: list[int]) -> np.ndarray:
    """Squared distances [B, S] of all vectors, whose squared lengths are given, to some of them; 0 to itself."""
    distances_BS = torch.addmm(lengths_S, vectors_SD[rows], vectors_SD.T, alpha=-2)
    distances_BS = distances_BS.add_(lengths_S[rows, None]).clamp_(min=0)
    distances_BS[range(len(rows)), rows] = 0
    return distances_BS.cpu().numpy()


def _checked(vectors_ND: Vectors, device: str | None) -> torch.Tensor:
    """The vectors as a float32 tensor on the device, each finite."""
    tensor = torch.from_numpy(np.ascontiguousarray(vectors_ND)) if isinstance(vectors_ND, np.ndarray) else vectors_ND
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(f"vectors have shape {list(tensor.shape)}; expected [N, D] with at least one vector")
    x_ND = tensor.detach().to(device or tensor.device, torch.float32).contiguous()
    for first in range(0, len(x_ND), CHUNK_ROWS):
        lengths = torch.linalg.vector_norm(x_ND[first : first + CHUNK_ROWS], dim=1)
        wrong = (~(lengths < LARGEST_LENGTH)).nonzero()
        if len(wrong):
            row = int(wrong[0])
            raise ValueError(
                f"vector {first + row} has length {float(lengths[row])}; expected finite values and a length below "
                f"{LARGEST_LENGTH:g}: leave missing vectors out, scale long ones"
            )
    return x_ND


def _check_distinct(x_ND: torch.Tensor, k: int) -> None:
    if k < 1:
        raise ValueError(f"K={k}; expected at least 1")
    distinct: set[bytes] = set()
    for chunk in x_ND.split(CHUNK_ROWS):
        for row in (chunk + 0.0).cpu().numpy():  # -0.0 becomes 0.0
            distinct.add(row.tobytes())
            if len(distinct) == k:
                return
    raise ValueError(
        f"K={k} needs at least {k} distinct vectors, found {len(distinct)}; set codebook size <= {len(distinct)}"
    )


def _centroids_for(x_ND: torch.Tensor, centroids_KD: Vectors) -> torch.Tensor:
    c_KD = _checked(centroids_KD, str(x_ND.device))
    if c_KD.shape[1] != x_ND.shape[1]:
        raise ValueError(f"vectors have {x_ND.shape[1]} dimensions, centroids {c_KD.shape[1]}; expected the same")
    return c_KD


def _sums(x_ND: torch.Tensor, codes_N: torch.Tensor, k: int) -> Sums:
    if x_ND.device.type != "cpu":
        return torch_sums(x_ND, codes_N, k)
    counts_K = torch.bincount(codes_N, minlength=k)
    order_N = torch.argsort(codes_N, stable=True)
    sums_KD = torch.zeros(k, x_ND.shape[1], dtype=torch.float64)
    arrays = [array.numpy() for array in (x_ND, order_N, counts_K.cumsum(0), sums_KD)]
    in_threads(_add_rows, *arrays, count=k, step=CODES_AT_ONCE)
    return Sums(sums_KD, counts_K)


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def _add_rows(
    x_ND: np.ndarray, order_N: np.ndarray, ends_K: np.ndarray, sums_KD: np.ndarray, first_code: int, last_code: int
) -> None:
    """Adds each code's vectors in row order, for codes first..last."""
    for code in range(first_code, last_code):
        for place in range(ends_K[code - 1] if code else 0, ends_K[code]):
            row = order_N[place]
            for d in range(x_ND.shape[1]):
                sums_KD[code, d] += x_ND[row, d]


def _inertia(squares: float, sums: Sums, centroids_KD: torch.Tensor) -> float:
    """Sum of |x - c|^2 by its three terms, from the sums at hand: no pass over the vectors."""
    c_KD = centroids_KD.double()
    products = _total(c_KD * sums.sums_KD)
    return max(0.0, squares - 2 * products + _total(c_KD.square() * sums.counts_K[:, None]))


def _total(tensor: torch.Tensor) -> float:
    """The sum in float64, by numpy: torch cuts a sum by its threads, which changes the last bits."""
    return float(tensor.cpu().numpy().sum(dtype=np.float64))


def _squared_distances(x_ND: torch.Tensor, codes_N: torch.Tensor, centroids_KD: torch.Tensor) -> torch.Tensor:
    if x_ND.device.type != "cpu":
        chunks = zip(x_ND.split(CHUNK_ROWS), codes_N.split(CHUNK_ROWS), strict=True)
        return torch.cat([(x - centroids_KD[codes]).square().sum(1) for x, codes in chunks])
    distances_N = torch.empty(len(x_ND))
    arrays = [array.numpy() for array in (x_ND, codes_N, centroids_KD, distances_N)]
    in_threads(_write_distances, *arrays, count=len(x_ND), step=CHUNK_ROWS)
    return distances_N


@numba.njit(nogil=True, fastmath={"reassoc"})  # type: ignore[untyped-decorator]
def _write_distances(
    x_ND: np.ndarray, codes_N: np.ndarray, centroids_KD: np.ndarray, distances_N: np.ndarray, first: int, last: int
) -> None:
    for n in range(first, last):
        total = np.float32(0)
        for d in range(x_ND.shape[1]):
            total += (x_ND[n, d] - centroids_KD[codes_N[n], d]) ** 2
        distances_N[n] = total


def _revive(sums: Sums, x_ND: torch.Tensor, codes_N: torch.Tensor, centroids_KD: torch.Tensor) -> int:
    """Gives each code without vectors a badly fitted one, taking it out of its own code's sum; returns how many.

    Vectors equal to one already given, and the only vector of a code, stay where they are.
    """
    empty = (sums.counts_K == 0).nonzero().flatten().tolist()
    if not empty:
        return 0
    given: set[bytes] = set()
    for row in _worst_fit(_squared_distances(x_ND, codes_N, centroids_KD), codes_N):
        if len(given) == len(empty):
            break
        donor, content = int(codes_N[row]), (x_ND[row] + 0.0).cpu().numpy().tobytes()
        if sums.counts_K[donor] == 1 or content in given:
            continue
        code = empty[len(given)]
        given.add(content)
        sums.sums_KD[donor] -= x_ND[row]
        sums.sums_KD[code] = x_ND[row].double()
        sums.counts_K[donor] -= 1
        sums.counts_K[code] = 1
    return len(given)


def _worst_fit(distances_N: torch.Tensor, codes_N: torch.Tensor) -> list[int]:
    """Rows by falling distance, the worst of each code first: the worst of all often share one code of two clusters."""
    order = torch.argsort(distances_N, descending=True, stable=True).cpu().numpy()
    order = order[: int((distances_N > 0).sum())]
    is_first = np.zeros(len(order), bool)
    is_first[np.unique(codes_N.cpu().numpy()[order], return_index=True)[1]] = True
    return [*order[is_first].tolist(), *order[~is_first].tolist()]
