"""``python -m groundglass``."""

from groundglass.cli.main import main

if __name__ == "__main__":
    main()
