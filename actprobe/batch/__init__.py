"""Walking many recordings: jobs and executors, feature processes, shards and resume, the ledger."""
