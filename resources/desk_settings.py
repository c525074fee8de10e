"""The profile's sections on language models: what decides their answers, and what bounds money and pace."""

from typing import Literal

import dagster as dg
from pydantic import Field

LanguageModelName = Literal["rules", "gemini", "chat"]


class Answers(dg.Config):
    """How any language model is asked, and what of its replies is accepted."""

    re_asks: int = Field(default=2, ge=0, description="Times that a bad answer is asked for again (our choice)")
    is_datamarked: bool = Field(
        default=True, description="Whether words from outside are joined by a mark (spotlighting, Hines et al. 2024)"
    )
    max_output_tokens: int = Field(
        default=8192,
        ge=1,
        description="Longest reply, hidden thinking included; one cut off is asked for once more at twice this",
    )


class DeskSection(dg.Config):
    """Money and pace of calls that cost something. None of it changes what comes out."""

    folder: str = Field(
        default="", description="Folder of kept replies and the ledger; empty: music-desk beside the lake"
    )
    budget_usd: float = Field(
        default=0.0, ge=0, description="Most that may be spent through this ledger, ever; 0: nothing that costs runs"
    )
    daily_budget_usd: float = Field(default=0.0, ge=0, description="Most in one UTC day; 0: no bound of its own")
    requests_per_minute: int = Field(default=1000, ge=1, description="All processes together; Gemini's first paid tier")
    tokens_per_minute: int = Field(default=1_000_000, ge=1, description="Input tokens, likewise")
    concurrency: int = Field(default=16, ge=1, description="Calls under way at once in one process (our choice)")
    attempts: int = Field(default=6, ge=1, description="Calls for one reply, waits for rate limits not counted")
    longest_wait_s: float = Field(default=60.0, gt=0, description="Cap of one wait between two calls (our choice)")
    connect_timeout_s: float = Field(default=10.0, gt=0, description="Longest wait for a connection")
    read_timeout_s: float = Field(default=120.0, gt=0, description="Longest wait for a reply")
    deadline_s: float = Field(default=900.0, gt=0, description="Longest time for one reply, all attempts and waits")
    batch_from: int = Field(
        default=1000, ge=0, description="So many requests of a partition go as a batch job, at half the price; 0: never"
    )
    batch_most_calls: int = Field(default=20_000, ge=1, description="Requests of one batch job (our choice)")
    batch_poll_s: float = Field(default=30.0, gt=0, description="Time between looks at a batch job")
    usd_per_million_input: float = Field(
        default=0.0, ge=0, description="Price of input tokens; 0: by the table in resources/desk/prices.py"
    )
    usd_per_million_output: float = Field(default=0.0, ge=0, description="Price of output tokens, likewise")


class Gemini(dg.Config):
    """Gemini. The key is `GEMINI_API_KEY` in the environment and nowhere else."""

    model: str = Field(
        default="gemini-2.5-flash", description="Model id, best with its version; TalkPlay: gemini-1.5-flash-002, gone"
    )
    endpoint: str = Field(default="", description="REST endpoint, as in http://127.0.0.1:8080; empty: Google's")
    temperature: float = Field(default=1.0, ge=0, le=2, description="Not in the paper (our choice)")
    top_p: float = Field(default=0.95, gt=0, le=1, description="Not in the paper (our choice)")


class ChatModel(dg.Config):
    """A chat model of transformers, in a folder, on the workers."""

    folder: str = Field(
        default="Qwen/Qwen2.5-7B-Instruct", description="The model's folder; E4SRec study: Qwen2.5-7B-Instruct"
    )
    batch: int = Field(default=8, ge=1, description="Prompts in a batch; E4SRec study: 8 to 16")
    temperature: float = Field(default=0.0, ge=0, description="0: greedy, as the E4SRec study")
    top_p: float = Field(default=1.0, gt=0, le=1, description="Of the sampled probability mass (our choice)")
    seed: int = Field(default=7, description="Seed of sampling (our choice)")
    precision: str = Field(default="float32", pattern="^(float32|bfloat16)$", description="Numbers it computes in")
