"""What an architecture is, as a document and as a torch module."""
