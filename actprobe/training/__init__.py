"""One training loop for everything that is trained: batches, schedule, resume, logs."""
