"""What any operator needs, and nothing of ModelServices: cache, queue, workers, election, clock."""
