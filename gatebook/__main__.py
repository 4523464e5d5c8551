"""`python -m gatebook`: the command line."""

from gatebook.cli import main

if __name__ == "__main__":
    main()
