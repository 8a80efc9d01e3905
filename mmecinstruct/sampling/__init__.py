"""Choose over whole tables which records samples may be made from, so that what follows is bounded by the recipe."""
