"""`python -m flows.loop`: see `flows.loop.command`."""

from flows.loop.command import main

if __name__ == "__main__":
    main()
