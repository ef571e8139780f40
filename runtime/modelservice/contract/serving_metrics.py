"""Names of what a server tells on its page of metrics that the operator and autoscalers ask for."""

REQUESTS_IN_FLIGHT = "modelservice_requests_in_flight"
"""Requests that wait or are computed, a mean over the last seconds."""
QUEUE_WAIT_SECONDS = "modelservice_queue_wait_seconds"
"""Seconds that requests waited before their first row was computed, a mean over those of the last seconds."""
