"""What somebody with ``edit`` in one namespace can do to an operator that works for all, and what it may cost."""

from tests.bench.attacks.base import Attack
from tests.bench.attacks.broken_webhook import BROKEN_WEBHOOK
from tests.bench.attacks.large_events import LARGE_EVENTS
from tests.bench.attacks.large_objects import LARGE_OBJECTS
from tests.bench.attacks.pending_pods import PENDING_PODS
from tests.bench.attacks.slow_lookups import SLOW_LOOKUPS

ATTACKS: tuple[Attack, ...] = (LARGE_OBJECTS, LARGE_EVENTS, SLOW_LOOKUPS, PENDING_PODS, BROKEN_WEBHOOK)
"""All of them, in the order of the table."""
