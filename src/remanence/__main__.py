"""`python -m remanence` is the command line."""

from remanence.cli.app import main

if __name__ == "__main__":
    main()
