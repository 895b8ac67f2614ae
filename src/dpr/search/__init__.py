"""Searching: an open collection and a question's vector or words in, rows with scores out."""
