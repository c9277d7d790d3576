"""`python -m despina`."""

from despina.cli.main import main

if __name__ == "__main__":
    main()
