"""Tables: read from CSV and frames, typed and encoded. Only what training needs imports pyarrow."""
