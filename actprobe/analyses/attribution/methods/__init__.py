"""Methods of attribution: one small module each."""
