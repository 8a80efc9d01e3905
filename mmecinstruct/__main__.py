"""`python -m mmecinstruct` is `mmec`."""

from mmecinstruct.cli.app import main

main()
