"""What the operator, the runtime and a user agree on: pydantic models and pure functions, no torch, no Kubernetes."""
