"""How the parts of one work are done: in turn in this process, or wherever a cluster does them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")


class Spread(Protocol):
    """Does the same work on many parts and yields the results in the order of the parts.

    The work and the parts may have to travel to another process: functions are importable by
    name (or a `functools.partial` of one), and what they are given can be pickled.
    """

    def __call__(
        self, work: Callable[[Part], Result], parts: Iterable[Part], /
    ) -> Iterator[Result]:
        """Yield ``work(part)`` of every part, in order."""
        ...


def in_turn(work: Callable[[Part], Result], parts: Iterable[Part], /) -> Iterator[Result]:
    """Do a part when its result is asked for, in this process: one is in memory at a time."""
    return map(work, parts)
