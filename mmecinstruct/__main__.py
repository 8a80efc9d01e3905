"""`python -m mmecinstruct` is `mmec`."""

from mmecinstruct.cli import main

main()
