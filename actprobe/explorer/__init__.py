"""The report: one page, a part for each question."""
