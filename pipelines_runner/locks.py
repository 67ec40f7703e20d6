"""Checks of environments: an approval, and the exclusive lock, which comes last and which one stage at a time holds.

learn.microsoft.com/azure/devops/pipelines/process/approvals#exclusive-lock
"""

from dataclasses import dataclass, field

from .errors import PipelineError

APPROVAL, LOCK = CHECKS = ("approval", "lock")
BEHAVIORS = ("runLatest", "sequential")  # the first is what Azure DevOps takes where a file says nothing


@dataclass(eq=False)
class Turn:
    """A stage that wants to run: the environments that it locks, and the number of its run."""

    environments: set[str]
    behavior: str
    number: int
    waits: bool = False
    canceled: bool = False


@dataclass
class Locks:
    """Who holds which lock, and who waits, the first first."""

    held: list[Turn] = field(default_factory=list)
    waiting: list[Turn] = field(default_factory=list)

    def ask(self, environments: set[str], behavior: str, number: int) -> Turn:
        """Return a stage's turn, which has come, or waits for others that hold one of its locks.

        With `runLatest`, only the latest run of those that wait goes on waiting.
        """
        if behavior not in BEHAVIORS:
            raise PipelineError(f"lockBehavior is {behavior!r}, not one of {', '.join(BEHAVIORS)}.")
        turn = Turn(environments, behavior, number)
        turn.waits = any(environments & other.environments for other in [*self.held, *self.waiting])
        (self.waiting if turn.waits else self.held).append(turn)
        rivals = [one for one in self.waiting if one.environments & environments and one.behavior == "runLatest"]
        for one in sorted(rivals, key=lambda one: one.number)[:-1]:
            self.waiting.remove(one)
            one.waits, one.canceled = False, True
        return turn

    def free(self, turn: Turn) -> None:
        """End a stage, and let the first go on that waited for it."""
        self.held.remove(turn)
        for one in list(self.waiting):
            if not any(one.environments & other.environments for other in self.held):
                self.waiting.remove(one)
                self.held.append(one)
                one.waits = False
