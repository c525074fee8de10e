"""The self-similarity loss."""

import polars as pl
import pytest
import torch

from assets.shards.tokenizer import ExpandedTokenizer, expand_tokenizer, train_tokenizer
from assets.tokens.vocabulary import Vocabulary
from assets.training.self_similarity import CodeSimilarity, code_similarities, self_similarity_loss


@pytest.fixture(scope="module")
def tokenizer() -> ExpandedTokenizer:
    """Two modalities of two codes and a missing one."""
    vocabulary = Vocabulary(("playlist", "audio"), (2, 2))
    return expand_tokenizer(train_tokenizer(["a calm track"], vocabulary_size=270), vocabulary)


def codebook(modality: str, vectors: list[list[float]]) -> dict[str, pl.DataFrame]:
    """A modality's rows of `tokens/codebooks`, as far as they are read."""
    rows = {"code": list(range(len(vectors))), "vector": vectors}
    return {modality: pl.DataFrame(rows, schema={"code": pl.Int32, "vector": pl.Array(pl.Float32, len(vectors[0]))})}


def test_embeddings_like_the_centroids_cost_nothing(tokenizer: ExpandedTokenizer) -> None:
    """Equal angles are all that counts: neither length nor dimensions."""
    similarities = code_similarities(codebook("playlist", [[3.0, 0.0], [1.0, 1.0]]), tokenizer)
    embeddings = torch.zeros(tokenizer.size, 3)
    embeddings[tokenizer.first_id] = torch.tensor([0.0, 0.0, 7.0])
    embeddings[tokenizer.first_id + 1] = torch.tensor([0.0, 2.0, 2.0])
    assert float(self_similarity_loss(embeddings, similarities)) == pytest.approx(0, abs=1e-12)


def test_parallel_embeddings_of_orthogonal_centroids() -> None:
    """Two of four cosines are 1 instead of 0: 2 / 4."""
    similarity = CodeSimilarity(torch.tensor([0, 1]), torch.eye(2))
    assert float(self_similarity_loss(torch.ones(2, 4), [similarity])) == pytest.approx(0.5)


def test_modalities_count_alike() -> None:
    """The mean of .5 and 0 is .25."""
    parallel, alone = (
        CodeSimilarity(torch.tensor([0, 1]), torch.eye(2)),
        CodeSimilarity(torch.tensor([2]), torch.eye(1)),
    )
    assert float(self_similarity_loss(torch.ones(3, 4), [parallel, alone])) == pytest.approx(0.25)


def test_no_codebook_costs_nothing() -> None:
    """A corpus without vectors has no loss of them."""
    assert float(self_similarity_loss(torch.ones(3, 4), [])) == 0.0


def test_only_the_codes_are_moved() -> None:
    """Rows of text and of the missing codes have no gradient."""
    embeddings = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    self_similarity_loss(embeddings, [CodeSimilarity(torch.tensor([1, 3]), torch.eye(2))]).backward()
    assert embeddings.grad is not None
    assert embeddings.grad.abs().sum(dim=1).gt(0).tolist() == [False, True, False, True, False]


def test_gradient_is_that_of_finite_differences() -> None:
    """In the middle of autocast, too."""
    embeddings = torch.randn(3, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    similarity = [CodeSimilarity(torch.arange(3), torch.eye(3))]
    with torch.autocast("cpu", torch.bfloat16):
        loss = self_similarity_loss(embeddings, similarity)
    loss.backward()
    step = torch.zeros(3, 4)
    step[1, 2] = 1e-2
    with torch.no_grad():
        ahead, behind = (self_similarity_loss(embeddings + sign * step, similarity) for sign in (1, -1))
    assert embeddings.grad is not None
    assert float(embeddings.grad[1, 2]) == pytest.approx(float(ahead - behind) / 2e-2, rel=1e-2)


def test_ids_skip_the_missing_code(tokenizer: ExpandedTokenizer) -> None:
    """Playlist's codes are the first two tokens; its missing code comes before audio's."""
    books = codebook("audio", [[1.0], [2.0]]) | codebook("playlist", [[1.0, 0.0], [2.0, 1.0]])
    ids = [similarity.ids_K.tolist() for similarity in code_similarities(books, tokenizer)]
    assert ids == [[tokenizer.first_id, tokenizer.first_id + 1], [tokenizer.first_id + 3, tokenizer.first_id + 4]]


def test_order_of_rows_changes_nothing(tokenizer: ExpandedTokenizer) -> None:
    """Frames arrive in any order."""
    book = codebook("audio", [[1.0, 0.0], [1.0, 1.0]])
    reverse = {"audio": book["audio"].reverse()}
    (forwards,), (backwards,) = code_similarities(book, tokenizer), code_similarities(reverse, tokenizer)
    assert torch.equal(forwards.ids_K, backwards.ids_K)
    assert torch.equal(forwards.cosines_KK, backwards.cosines_KK)


def test_a_modality_can_be_left_out(tokenizer: ExpandedTokenizer) -> None:
    """A variant without audio has no loss of it."""
    books = codebook("audio", [[1.0]]) | codebook("playlist", [[1.0]])
    assert [part.ids_K.tolist() for part in code_similarities(books, tokenizer, without="audio")] == [
        [tokenizer.first_id]
    ]


def test_a_code_beyond_the_vocabulary_is_an_error(tokenizer: ExpandedTokenizer) -> None:
    """The third code would be the missing one's token."""
    with pytest.raises(ValueError, match="audio has code 2; wanted each of 0 to 1 once"):
        code_similarities(codebook("audio", [[1.0], [2.0], [3.0]]), tokenizer)


def test_an_unknown_modality_is_an_error(tokenizer: ExpandedTokenizer) -> None:
    """Codebooks of another vocabulary would be left out in silence."""
    with pytest.raises(ValueError, match=r"codebooks of \['lyrics'\]; the tokenizer knows playlist, audio"):
        code_similarities(codebook("lyrics", [[1.0]]), tokenizer)
