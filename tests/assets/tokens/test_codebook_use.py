import io
import struct

import numpy as np
import pytest

from assets.tokens.codebook_use import codebook_use, plot_use


def test_even_use_has_a_perplexity_of_k():
    """K codes used alike are all used and have perplexity K."""
    use = codebook_use(np.repeat(np.arange(4), 5), k=4)
    assert use.counts_K.tolist() == [5, 5, 5, 5]
    assert use.share_used == 1
    assert use.perplexity == pytest.approx(4)
    assert use.dead_codes.tolist() == []


def test_collapsed_use_has_a_perplexity_of_one():
    """One code for all tracks has perplexity 1, and every other code is dead."""
    use = codebook_use(np.array([2, 2, 2]), k=4)
    assert use.perplexity == 1
    assert use.share_used == 1 / 4
    assert use.dead_codes.tolist() == [0, 1, 3]


def test_perplexity_is_the_exponential_of_the_entropy():
    """Shares 1/2, 1/4, 1/4 have 1.5 bits of entropy, which is a perplexity of 2^1.5."""
    assert codebook_use(np.array([0, 0, 1, 2]), k=3).perplexity == pytest.approx(2**1.5)


def test_use_does_not_depend_on_row_order():
    """Rows in another order give the same use."""
    codes_N = np.array([3, 0, 0, 1, 3, 3])
    use, shuffled = codebook_use(codes_N, k=5), codebook_use(codes_N[[5, 2, 0, 4, 1, 3]], k=5)
    assert use.counts_K.tolist() == shuffled.counts_K.tolist()
    assert use.perplexity == shuffled.perplexity


@pytest.mark.parametrize("codes", [[0, 4], [-1, 0]])
def test_code_outside_the_codebook_is_an_error(codes):
    """A code outside 0..K-1, such as the reserved one, is named by its range."""
    with pytest.raises(ValueError, match=r"expected 0\.\.3"):
        codebook_use(np.array(codes), k=4)


def test_no_codes_is_an_error():
    """Use of nothing has no perplexity."""
    with pytest.raises(ValueError, match="no codes"):
        codebook_use(np.array([], np.int32), k=4)


def test_plot_is_a_small_png_of_the_same_bytes():
    """The picture is a PNG of 500 x 260 dots, at most 30 KB, and the same at every call."""
    use = codebook_use(np.random.default_rng(0).geometric(0.01, 20_000) % 1024, k=1024)
    png = plot_use(use, title="audio")
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", io.BytesIO(png).read(24)[16:]) == (500, 260)
    assert len(png) <= 30 * 1024
    assert png == plot_use(use, title="audio")


def test_plot_of_one_code():
    """A codebook of one code can be drawn."""
    assert len(plot_use(codebook_use(np.zeros(3, np.int32), k=1), title="audio")) > 0
