"""Which captions are kept: by a vote of models (`votes`), or by what captions do for the right answer (`utility`)."""
