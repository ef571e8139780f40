"""What the apiserver's admission adds to objects again whenever it is taken away: nobody can win against a webhook."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping

Addition = tuple[str, str]
"""Where something was added, for people, and a hash of what: something else in its place is another addition."""

_REMEMBERED = 10_000


class Impositions:
    """Remembers additions by the UID of the object that has them, for as long as the process lives.

    The next process takes each of them away once more, and learns it again from the answer.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, frozenset[Addition]] = OrderedDict()

    def learn(self, uid: str, additions: Iterable[Addition]) -> None:
        """These came back in the answer to the write that removed them."""
        self._known[uid] = self._known.pop(uid, frozenset()) | frozenset(additions)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def of(self, uids: Iterable[str]) -> Mapping[str, frozenset[Addition]]:
        """What is known by now of these objects, by UID."""
        return {uid: self._known[uid] for uid in uids if uid in self._known} if self._known else {}
