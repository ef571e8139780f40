"""Who may call, and how much: what ``spec.serving`` says of auth, tls, limits and audit.

Each part is a guard or an observer of the one chain (``serving.chain``), or a TLS context that transports listen with.
What is not asked for is neither imported nor in the chain.
"""
