"""How neurons respond when one thing changes and all else stays."""
