"""Training of retriever and reader."""
