"""A real Kubernetes on one Linux machine, for the demo and the end-to-end tests.

`python -m tests.cluster up` builds the components from pinned Go modules, starts a control plane and one or two
nodes, each node in a network namespace of its own, and leaves the machine's own network and containers alone.
"""
