"""Captions of a dataset's images, each for the sample that shows it.

`run` writes them (`caslie_model caption`), `estimates` counts what it would ask. A captioner is `attributes`, or one of
`model_captioners`; `rewriter` makes captions for samples of general ones. `judging` decides which captions are kept
(`caslie_model judge`).
"""
