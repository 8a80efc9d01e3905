"""Find shortcuts: what guessers score that know neither the question nor the image.

    files → sampled rows, sizes of images → per task: guessers → accuracy against chance

A blind guesser sees one thing that should tell nothing: the place of an option, its length, how often it is an answer,
the length of an image's file, the source. Where it beats chance, models can learn the same trick. Beside them stand
guessers that read the input without images: text baselines, which show how far text alone leads.
"""

from mmecinstruct.auditing.shortcuts.result import GUESSERS, Guess, Shortcuts, Unguessed, guess_line

__all__ = ["GUESSERS", "Guess", "Shortcuts", "Unguessed", "guess_line"]
