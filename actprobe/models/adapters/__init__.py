"""Networks of other frameworks, opened like those of the catalog."""
