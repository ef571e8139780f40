"""What carries requests: HTTP, and gRPC where it is asked for; both on one event loop, over the same core."""
