"""Training samples: read, looked over, given negatives and teachers' scores, made of documents."""
