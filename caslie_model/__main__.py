"""`python -m caslie_model` is the console script `caslie_model`."""

from caslie_model.cli import main

if __name__ == "__main__":
    main()
