"""Tables: read, typed, split and encoded; numpy and pyarrow, no torch."""
