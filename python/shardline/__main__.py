"""`python -m shardline` is the command `shardline`."""

from shardline.cli import main

if __name__ == "__main__":
    main()
