"""Settings, a clock and single steps for tests of the ledger."""

from resources.desk.calls import Reply
from resources.desk.jobs import Job, JobItem
from resources.desk.ledger import Ledger, Ticket, Wait
from resources.desk_settings import DeskSection

REPLY = Reply("a text", "stop", 10, 5, "model-001")
NOON = 1_767_268_800.0  # 2026-01-01 12:00 UTC


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        """Now."""
        return self.now


def desk(**changes: float) -> DeskSection:
    """Settings with ten dollars and no pace to speak of."""
    free = {"budget_usd": 10.0, "requests_per_minute": 10**9, "tokens_per_minute": 10**12}
    return DeskSection.model_validate(free | changes)


def admit(ledger: Ledger, key: str, usd: float = 1.0, *, tokens: int = 1, model: str = "m") -> Reply | Ticket | Wait:
    """One admission of a call for the task t."""
    return ledger.admit(key, model=model, task="t", tokens=tokens, usd=usd)


def ticket(ledger: Ledger, key: str, usd: float = 1.0) -> Ticket:
    """One admission that must succeed."""
    admitted = admit(ledger, key, usd)
    assert isinstance(admitted, Ticket), admitted
    return admitted


def job_of(ledger: Ledger, *keys: str, usd: float = 1.0) -> Job:
    """A batch job that must be opened."""
    job = ledger.open_job([JobItem(key, "t", usd) for key in keys], model="m")
    assert isinstance(job, Job), job
    return job


def total(ledger: Ledger) -> tuple[float, float]:
    """Dollars spent and reserved."""
    entries = ledger.spent()
    return sum(entry.usd for entry in entries), sum(entry.reserved_usd for entry in entries)
