"""Decoding: tracks among the catalog's sequences against free ones, and 32 conversations at once against one by one.

Models of random weights, of the embedded profile's size and of a bigger one (hidden 512, 8 layers), with 4,096 words
and 5,127 music tokens (5 x 1,024, five missing ones, two boundaries); 100,000 tracks whose codes are drawn by Zipf
(0.8) for the first modality and around it for the others; prompts of 200 to 600 random words. Two threads. Constrained
and free sampling are one function, which computes the logits of one place's tokens where it is constrained and of all
otherwise. A response has at most 96 tokens; random weights hardly ever end it earlier.

On a processor, reading a prompt and feeding 128 beams are bound by arithmetic already for one conversation, so that a
batch gains little there; what it gains lies in the steps of one token, of which a response has most.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from assets.shards.tokenizer import ExpandedTokenizer, expand_tokenizer, train_tokenizer
from assets.tokens.vocabulary import Vocabulary
from assets.training.beams import Beams, beam_search
from assets.training.prompts import response_prompt
from assets.training.sampling import Sampled, sample_tracks, write_responses
from assets.training.trie import TrackTrie
from benchmarks.claims import Claim, median_s
from benchmarks.matching import zipf
from resources.talkplay_settings import MODALITIES

CODES, TRACKS, WORDS, CONVERSATIONS, BEAMS, RESPONSE_TOKENS = 1024, 100_000, 4096, 32, 128, 96
LENGTHS = (200, 600)
SIZES = {
    "embedded": {"hidden_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 768},
    "bigger": {"hidden_size": 512, "num_hidden_layers": 8, "num_attention_heads": 8, "intermediate_size": 1536},
}
Prompts = Sequence[npt.NDArray[np.int32]]


def measure() -> list[Claim]:
    """Every claim about TalkPlay's decoding."""
    torch.set_num_threads(2)
    random = np.random.default_rng(0)
    tokenizer = made_up_tokenizer(random)
    codes_NM = made_up_catalog(random)
    trie = TrackTrie.build(codes_NM, tokenizer.vocabulary)
    build_s = median_s(lambda: TrackTrie.build(np.tile(codes_NM, (17, 1)), tokenizer.vocabulary))
    claims = [Claim("decoding: trie of 1.7 M tracks", build_s, 5, 5 / build_s, "at most 5 s", build_s <= 5, "s")]
    prompts = made_up_prompts(random)
    for name, size in SIZES.items():
        all_works = works(made_up_model(size, tokenizer), trie, tokenizer)
        check_tracks(all_works[1](prompts), all_works[2](prompts), trie)
        is_small = name == "embedded"  # the bigger one takes minutes to answer one by one
        together_s = [median_s(partial(work, prompts)) for work in all_works[: 4 if is_small else 3]]
        claims += cost_claims(name, together_s)
        if is_small:
            singly_s = [median_s(partial(one_by_one, work, prompts), rounds=1) for work in all_works[1:]]
            claims += batch_claims(name, together_s[1:], singly_s)
    return claims


def cost_claims(name: str, times_s: Sequence[float]) -> list[Claim]:
    """What constrained decoding costs; times of all conversations at once, in the order of `works`."""
    free_s, constrained_s, beams_s = times_s[:3]
    return [
        cost_claim(f"decoding, {name}: constrained track against free, per track", constrained_s, free_s, 1),
        cost_claim(f"decoding, {name}: beam search against free, per returned track", beams_s, free_s, BEAMS),
    ]


def batch_claims(name: str, together_s: Sequence[float], singly_s: Sequence[float]) -> list[Claim]:
    """What a batch gains; both in the order of `works` without free sampling."""
    sampled, beams, responses = zip(together_s, singly_s, strict=True)
    whole = [tuple(map(sum, zip(track, responses, strict=True))) for track in (sampled, beams)]
    names = ("sampled tracks", f"{BEAMS} beams", "responses", "sampled tracks and responses", "beams and responses")
    pairs = zip(names, (sampled, beams, responses, *whole), strict=True)
    return [batch_claim(f"decoding, {name}: 32 at once, {work}", *times) for work, times in pairs]


def works(
    model: PreTrainedModel, trie: TrackTrie, tokenizer: ExpandedTokenizer
) -> tuple[Callable[..., Any], Callable[..., Sampled], Callable[..., Beams], Callable[..., Any]]:
    """What is timed, each a function of prompts."""
    given: dict[str, Any] = {"temperature": 1.0, "top_p": 0.9, "seed": 7}
    free = partial(sample_tracks, model, tokenizer=tokenizer, trie=None, **given)
    constrained = partial(sample_tracks, model, tokenizer=tokenizer, trie=trie, **given)
    searched = partial(beam_search, model, trie=trie, tokenizer=tokenizer, beams=BEAMS, scores="catalog")

    def responded(prompts: Prompts) -> list[str]:
        told = [response_prompt(prompt, trie.codes_SM[0], tokenizer) for prompt in prompts]
        return write_responses(model, told, tokenizer, most_tokens=RESPONSE_TOKENS, **given)

    return free, constrained, searched, responded


def one_by_one(work: Callable[[Prompts], object], prompts: Prompts) -> None:
    """The same work, a conversation at a time."""
    for prompt in prompts:
        work([prompt])


def check_tracks(sampled: Sampled, found: Beams, trie: TrackTrie) -> None:
    """All sampled tracks are the catalog's, and so is every beam."""
    assert (trie.find(sampled.codes_BM) >= 0).all()
    assert (found.sequences >= 0).all()
    assert all(len(trie.rows(int(sequence))) for sequence in found.sequences.flat)


def cost_claim(name: str, ours_s: float, free_s: float, tracks: int) -> Claim:
    """Milliseconds per track, at most 1.3 times those of free sampling."""
    ours_ms, free_ms = (1e3 * time_s / CONVERSATIONS / many for time_s, many in ((ours_s, tracks), (free_s, 1)))
    return Claim(name, ours_ms, free_ms, free_ms / ours_ms, "at most 1.3x", ours_ms <= 1.3 * free_ms, "ms")


def batch_claim(name: str, together_s: float, singly_s: float) -> Claim:
    """Conversations a second, at least 4 times those of one by one."""
    ratio = singly_s / together_s
    return Claim(name, CONVERSATIONS / together_s, CONVERSATIONS / singly_s, ratio, "at least 4x", ratio >= 4, "/s")


def made_up_tokenizer(random: np.random.Generator) -> ExpandedTokenizer:
    """4,096 words of random letters and the music tokens."""
    letters = random.integers(ord("a"), ord("z") + 1, (20_000, 6), dtype=np.uint8)
    texts = [bytes(word).decode() for word in letters]
    trained = train_tokenizer(texts, vocabulary_size=WORDS)
    return expand_tokenizer(trained, Vocabulary(MODALITIES, (CODES,) * len(MODALITIES)))


def made_up_catalog(random: np.random.Generator) -> npt.NDArray[np.int64]:
    """Codes of tracks whose modalities agree in part, as those of real ones do."""
    first_N = zipf(random, CODES, 0.8, TRACKS)
    columns = [first_N]
    for _ in MODALITIES[1:]:
        home_K = random.permutation(CODES)
        columns.append((home_K[first_N] + random.geometric(0.05, TRACKS) - 1) % CODES)
    return np.stack(columns, axis=1)


def made_up_prompts(random: np.random.Generator) -> list[npt.NDArray[np.int32]]:
    """Random words, none of them a control token."""
    lengths = random.integers(LENGTHS[0], LENGTHS[1] + 1, CONVERSATIONS)
    return [random.integers(10, WORDS, length, dtype=np.int32) for length in lengths]


def made_up_model(size: dict[str, int], tokenizer: ExpandedTokenizer) -> PreTrainedModel:
    """A Llama of random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=tokenizer.size, tie_word_embeddings=True, max_position_embeddings=1024, **size)
    return LlamaForCausalLM(config).eval()


if __name__ == "__main__":
    for claim in measure():
        figures = f"{claim.ours:10.3f} {claim.alternative:10.3f} {claim.ratio:8.2f}"
        print(f"{claim.name:66} {figures} {claim.unit:4} {claim.goal} {claim.holds}")
