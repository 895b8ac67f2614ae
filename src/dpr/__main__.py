"""``python -m dpr`` is the command ``dpr``."""

from dpr.cli import main

if __name__ == "__main__":
    main()
