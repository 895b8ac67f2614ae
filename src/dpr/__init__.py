"""Dense Passage Retrieval."""
