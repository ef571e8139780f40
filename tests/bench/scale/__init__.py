"""What the operator costs, and how fast it is, while it has many ModelServices."""
