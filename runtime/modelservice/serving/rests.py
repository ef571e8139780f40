"""How long who was turned away is not heard again, so that a server at its limit does more than say so."""

import asyncio


class Rests:
    """Turns in which callers that were turned away are heard again, one after the other.

    So who is turned away now and then waits for no time that it would notice, however many others there are; and who
    asks many times at once, without waiting for answers, waits for all of them the next time.

    Args:
        turn: seconds of each.
        most: seconds that one rests at most.
    """

    def __init__(self, *, turn: float, most: float) -> None:
        self._turn = turn
        self._most = most
        self._until = 0.0

    def begin(self, now: float) -> float:
        """One is turned away, by the clock of the event loop.

        Returns:
            When it is heard again.
        """
        self._until = min(max(self._until, now) + self._turn, now + self._most)
        return self._until

    async def rest(self) -> None:
        """One is turned away: return when it is heard again."""
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(self.begin(now) - now)
