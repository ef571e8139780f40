"""gRPC on the event loop of HTTP; imported only where it is asked for."""
