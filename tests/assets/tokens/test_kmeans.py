import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans as ReferenceKMeans

from assets.tokens import nearest
from assets.tokens.kmeans import assign, fit_kmeans, lloyd, start_centroids, torch_sums


def clustered(*, vectors: int, dimensions: int, clusters: int, seed: int = 0) -> np.ndarray:
    """Unit vectors around random centers, with overlap."""
    random = np.random.default_rng(seed)
    centers = random.standard_normal((clusters, dimensions))
    x_ND = centers[random.integers(clusters, size=vectors)] + random.standard_normal((vectors, dimensions))
    return (x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True)).astype(np.float32)


def brute_force_codes(x_ND: np.ndarray, centroids_KD: np.ndarray) -> np.ndarray:
    """The definition: the lowest code of the smallest squared distance, in float64."""
    differences_NKD = x_ND[:, None].astype(np.float64) - centroids_KD[None]
    return np.square(differences_NKD).sum(2).argmin(1)


def test_lloyd_equals_the_reference_from_the_same_start():
    """From one start our iterations give scikit-learn's inertia, centroids and codes."""
    x_ND = clustered(vectors=3000, dimensions=24, clusters=40)
    start_KD = x_ND[:40]
    ours = lloyd(x_ND, start_KD, iterations=12, tolerance=-1)
    reference = ReferenceKMeans(40, init=start_KD, n_init=1, max_iter=12, tol=0, algorithm="lloyd").fit(x_ND)
    assert ours.iterations == 12
    assert ours.inertia == pytest.approx(reference.inertia_, rel=1e-5)
    np.testing.assert_allclose(ours.centroids_KD, reference.cluster_centers_, atol=1e-5)
    assert (ours.codes_N == reference.labels_).mean() > 0.999


@pytest.mark.parametrize(
    ("vectors", "k", "dimensions"), [(1, 1, 1), (7, 3, 5), (100, 64, 16), (301, 65, 33), (97, 130, 8)]
)
@pytest.mark.parametrize(
    "codes_of", [nearest.nearest_codes, nearest.screened_nearest_codes, nearest.torch_nearest_codes]
)
def test_codes_are_the_nearest_whatever_the_sizes(codes_of, vectors, k, dimensions):
    """Every path finds the brute-force codes, also where sizes are no multiple of a tile."""
    random = np.random.default_rng(vectors)
    x_ND = random.standard_normal((vectors, dimensions), np.float32)
    centroids_KD = random.standard_normal((k, dimensions), np.float32)
    codes_N = codes_of(torch.from_numpy(x_ND), torch.from_numpy(centroids_KD))
    assert codes_N.dtype == torch.int32
    assert codes_N.tolist() == brute_force_codes(x_ND, centroids_KD).tolist()


def test_screening_changes_no_code():
    """bf16 products followed by a float32 check of close calls give float32's codes."""
    x_ND = torch.from_numpy(clustered(vectors=20_000, dimensions=96, clusters=300))
    centroids_KD = x_ND[:300]
    screened_N = nearest.screened_nearest_codes(x_ND, centroids_KD)
    assert torch.equal(screened_N, nearest.nearest_codes(x_ND, centroids_KD))


def test_offset_does_not_eat_the_digits():
    """Vectors far from the origin get the codes that they have near it."""
    x_ND = clustered(vectors=500, dimensions=16, clusters=20)
    moved_ND = x_ND + np.float32(512)
    assert assign(moved_ND, moved_ND[:20]).codes_N.tolist() == brute_force_codes(moved_ND, moved_ND[:20]).tolist()


def test_as_many_centroids_as_distinct_vectors_fit_exactly():
    """K equal to the number of distinct vectors leaves no inertia, whatever the repeats."""
    distinct_KD = np.random.default_rng(0).standard_normal((50, 6), np.float32)
    fitted = fit_kmeans(np.tile(distinct_KD, (7, 1)), k=50, iterations=10, seed=0, tolerance=0)
    assert fitted.inertia == 0
    assert len(set(fitted.codes_N.tolist())) == 50
    assert sorted(map(tuple, fitted.centroids_KD)) == sorted(map(tuple, distinct_KD))


def test_one_centroid_is_the_mean():
    """K = 1 is the mean, and inertia the variance times N."""
    x_ND = np.array([[0, 0], [2, 0], [1, 3]], np.float32)
    fitted = fit_kmeans(x_ND, k=1, iterations=5, seed=0, tolerance=0)
    assert fitted.centroids_KD.tolist() == [[1, 1]]
    assert fitted.inertia == (1 + 1) + (1 + 1) + (0 + 4)


def test_row_order_changes_only_the_codes_order():
    """From one start, rows in another order give the same inertia, centroids and codes."""
    x_ND = clustered(vectors=2000, dimensions=12, clusters=20)
    order_N = np.random.default_rng(1).permutation(len(x_ND))
    one = lloyd(x_ND, x_ND[:20], iterations=8, tolerance=-1)
    other = lloyd(x_ND[order_N], x_ND[:20], iterations=8, tolerance=-1)
    assert other.inertia == pytest.approx(one.inertia, rel=1e-6)
    np.testing.assert_allclose(other.centroids_KD, one.centroids_KD, atol=1e-6)
    assert other.codes_N.tolist() == one.codes_N[order_N].tolist()


def test_same_seed_gives_the_same_bytes():
    """Two fits are equal to the last bit, also with another number of threads; another seed is another fit."""
    x_ND = clustered(vectors=5000, dimensions=20, clusters=60)
    settings = {"k": 60, "iterations": 6, "tolerance": 1e-4}
    one, again = (fit_kmeans(x_ND, seed=3, **settings) for _ in range(2))
    threads = torch.get_num_threads()
    torch.set_num_threads(threads % 4 + 1)
    try:
        threaded = lloyd(x_ND, start_centroids(x_ND, k=60, seed=3), iterations=6, tolerance=1e-4)
    finally:
        torch.set_num_threads(threads)
    for fitted in (again, threaded):
        assert fitted.centroids_KD.tobytes() == one.centroids_KD.tobytes()
        assert fitted.codes_N.tobytes() == one.codes_N.tobytes()
        assert fitted.inertia_by_iteration == one.inertia_by_iteration
    assert fit_kmeans(x_ND, seed=4, **settings).centroids_KD.tobytes() != one.centroids_KD.tobytes()


def test_empty_cluster_takes_the_worst_fit_vector():
    """A centroid that no vector chose moves to the vector farthest from its own."""
    x_ND = np.array([[0], [1], [2], [9]], np.float32)
    fitted = lloyd(x_ND, np.array([[1], [100]], np.float32), iterations=1, tolerance=0)
    assert fitted.revived == 1
    assert fitted.centroids_KD.tolist() == [[1], [9]]
    assert fitted.codes_N.tolist() == [0, 0, 0, 1]


def test_empty_clusters_take_distinct_vectors():
    """Two empty clusters never move to equal vectors."""
    x_ND = np.array([[0], [1], [2], [9], [9], [-8]], np.float32)
    fitted = lloyd(x_ND, np.array([[1], [100], [200]], np.float32), iterations=1, tolerance=0)
    assert fitted.revived == 2
    assert sorted(fitted.centroids_KD[1:, 0].tolist()) == [-8, 9]


def test_empty_clusters_leave_each_code_its_last_vector():
    """A code's only vector is not taken, however badly it fits."""
    x_ND = np.array([[0], [50], [1], [2]], np.float32)
    fitted = lloyd(x_ND, np.array([[1], [70], [900]], np.float32), iterations=1, tolerance=0)
    assert fitted.centroids_KD.tolist() == [[1.5], [50], [0]]


def test_ties_go_to_the_lowest_code():
    """A vector as far from two centroids takes the lower code, and so does one that finds its centroid twice."""
    centroids_KD = np.array([[2, 0], [0, 0], [2, 0], [0, 0]], np.float32)
    x_ND = np.array([[1, 0], [0, 0], [2, 0], [1, 5]], np.float32)
    assert assign(x_ND, centroids_KD).codes_N.tolist() == [0, 1, 0, 0]
    assert assign(x_ND, np.repeat(centroids_KD, 40, axis=0)).codes_N.tolist() == [0, 40, 0, 0]


def test_assign_gives_the_codes_and_inertia_of_the_fit():
    """The fitted vectors, coded anew together or alone, have the fit's codes; their distances sum to its inertia."""
    x_ND = clustered(vectors=1500, dimensions=10, clusters=12)
    fitted = fit_kmeans(x_ND, k=12, iterations=4, seed=0, tolerance=0)
    assigned = assign(x_ND, fitted.centroids_KD)
    assert assigned.codes_N.dtype == np.int32
    assert assigned.codes_N.tolist() == fitted.codes_N.tolist()
    assert assigned.squared_distances_N.sum(dtype=np.float64) == fitted.inertia
    assert [int(assign(x_ND[n : n + 1], fitted.centroids_KD).codes_N[0]) for n in range(20)] == fitted.codes_N[
        :20
    ].tolist()


def test_inertia_falls_and_ends_at_the_fit():
    """Without empty clusters inertia never rises, and a settled fit's last iteration has the final inertia."""
    fitted = fit_kmeans(clustered(vectors=2000, dimensions=8, clusters=10), k=10, iterations=200, seed=0, tolerance=0)
    assert fitted.revived == 0
    assert fitted.iterations < 200
    assert fitted.inertia_by_iteration == sorted(fitted.inertia_by_iteration, reverse=True)
    assert fitted.inertia_by_iteration[-1] == pytest.approx(fitted.inertia, rel=1e-6)


def test_tolerance_stops_early():
    """A wider tolerance takes fewer iterations."""
    x_ND = clustered(vectors=2000, dimensions=8, clusters=30)
    wide, narrow = (fit_kmeans(x_ND, k=30, iterations=100, seed=0, tolerance=t) for t in (0.01, 0.0))
    assert wide.iterations < narrow.iterations


def test_start_is_spread_over_far_clusters():
    """k-means++ takes one vector of each of ten far and tight clusters of very different sizes."""
    random = np.random.default_rng(0)
    clusters_N = np.repeat(np.arange(10), [1000, *[20] * 9])
    x_ND = (np.eye(10)[clusters_N] * 1000 + random.standard_normal((len(clusters_N), 10))).astype(np.float32)
    start_KD = start_centroids(x_ND, k=10, seed=0).numpy()
    assert sorted(start_KD.argmax(1).tolist()) == list(range(10))


def test_start_follows_the_squared_distance():
    """From the vectors 0, 1, 3 the pair (0, 1) is drawn with chance (1 / 10 + 1 / 5) / 3."""
    x_ND = np.array([[0], [1], [3]], np.float32)
    pairs = [frozenset(start_centroids(x_ND, k=2, seed=seed)[:, 0].tolist()) for seed in range(2000)]
    chance = (1 / (1 + 9) + 1 / (1 + 4)) / 3
    assert pairs.count(frozenset([0.0, 1.0])) / len(pairs) == pytest.approx(chance, abs=0.02)


def test_torch_sums_are_those_of_each_code():
    """The sums of other devices are float64 sums of each code's vectors, zero for an empty code."""
    x_ND = np.random.default_rng(0).standard_normal((200, 70), np.float32)
    codes_N = np.arange(200, dtype=np.int32) % 6
    sums = torch_sums(torch.from_numpy(x_ND), torch.from_numpy(codes_N), 7)
    expected_KD = [x_ND[codes_N == code].sum(0, dtype=np.float64) for code in range(7)]
    np.testing.assert_allclose(sums.sums_KD.numpy(), expected_KD, atol=1e-12)
    assert sums.counts_K.tolist() == np.bincount(codes_N, minlength=7).tolist()


def test_tensors_and_halves_are_vectors_too():
    """A float16 array or a tensor gives what its float32 array gives."""
    x_ND = clustered(vectors=300, dimensions=6, clusters=5).astype(np.float16)
    settings = {"k": 5, "iterations": 5, "seed": 0, "tolerance": 0}
    codes = fit_kmeans(x_ND.astype(np.float32), **settings).codes_N.tolist()
    assert fit_kmeans(x_ND, **settings).codes_N.tolist() == codes
    assert fit_kmeans(torch.from_numpy(x_ND), device="cpu", **settings).codes_N.tolist() == codes


def test_too_few_distinct_vectors_is_an_error():
    """K above the number of distinct vectors says how many there are; 0.0 and -0.0 are the same."""
    x_ND = np.array([[0.0, 1], [-0.0, 1], [2, 2], [2, 2]], np.float32)
    with pytest.raises(ValueError, match="K=3 needs at least 3 distinct vectors, found 2; set codebook size <= 2"):
        fit_kmeans(x_ND, k=3, iterations=1, seed=0, tolerance=0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_first_row_that_is_not_finite_is_named(value):
    """NaN, infinities and lengths whose square overflows are refused, naming the first such row."""
    x_ND = np.ones((6000, 3), np.float32)
    x_ND[[5001, 5500], 1] = value
    with pytest.raises(ValueError, match="vector 5001 has length"):
        assign(x_ND, x_ND[:2])


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_an_error(k):
    """A codebook has at least one code."""
    with pytest.raises(ValueError, match="expected at least 1"):
        fit_kmeans(np.ones((3, 2), np.float32), k=k, iterations=1, seed=0, tolerance=0)


def test_no_vectors_is_an_error():
    """An empty modality has no codebook."""
    with pytest.raises(ValueError, match="at least one vector"):
        fit_kmeans(np.ones((0, 2), np.float32), k=1, iterations=1, seed=0, tolerance=0)


def test_other_dimensions_are_an_error():
    """Vectors of another model do not fit the codebook."""
    with pytest.raises(ValueError, match="vectors have 3 dimensions, centroids 2"):
        assign(np.ones((3, 3), np.float32), np.ones((1, 2), np.float32))
