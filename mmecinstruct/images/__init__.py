"""Images: locate, measure, normalise, filter and hash them."""
