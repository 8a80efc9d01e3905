"""Images: find, validate, normalise, hash."""
