"""`python -m knuckle`: the same as the command `knuckle`."""

from knuckle.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
