"""One `answer` under way, and each of its requests."""

from collections import deque
from concurrent.futures import Future
from dataclasses import fields

from resources.desk.calls import CallError, Prompt, Reply
from resources.desk.chains import chain
from resources.desk.clerks import Clerks, Clock, Door, result_of
from resources.desk_settings import Answers
from resources.language_model import Answer, Refused, Request, Tally


class Visit:
    """One `answer`: its doors, its threads, and what its requests took. Calls that may not go on leave jobs to end."""

    def __init__(self, clock: Clock, threads: int) -> None:
        self.door, self.jobs_door = Door(clock), Door(clock)
        self.clerks, self.tally = Clerks(threads), Tally()
        self.walks: deque[Walk] = deque()
        self.late: list[Tally] = []  # of calls in threads, to be added up when these have ended

    def next_outcome(self) -> Answer | Refused:
        """That of the first request under way."""
        walk = self.walks[0]
        if walk.future:
            result_of(walk.future)
        assert walk.outcome is not None
        self.walks.popleft()
        _add(self.tally, walk.tally)
        return walk.outcome

    def add_up(self) -> None:
        """Counts what was not waited for, but may have cost something."""
        for part in [*self.late, *(walk.tally for walk in self.walks)]:
            _add(self.tally, part)
        self.late, self.walks = [], deque()


class Walk:
    """A request on its way: the prompt that wants a reply, until there is an outcome."""

    def __init__(self, request: Request, settings: Answers) -> None:
        self.tally = Tally()
        self.outcome: Answer | Refused | None = None
        self.future: Future[None] | None = None
        self._chain = chain(request, settings, self.tally)
        self.prompt: Prompt | None = next(self._chain)

    def take(self, reply: Reply | CallError) -> None:
        """Goes on with the reply to its prompt."""
        try:
            self.prompt = self._chain.throw(reply) if isinstance(reply, CallError) else self._chain.send(reply)
        except StopIteration as end:
            self.prompt, self.outcome = None, end.value


def _add(total: Tally, part: Tally) -> None:
    total.versions |= part.versions
    for field in fields(Tally):
        if field.compare:
            setattr(total, field.name, getattr(total, field.name) + getattr(part, field.name))
