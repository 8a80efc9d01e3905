"""Pictures: find, validate, normalise, hash."""
