"""Lists the commands."""

import ast
from pathlib import Path

COMMANDS = (
    "train",
    "evaluate",
    "classify",
    "verify",
    "export",
    "search",
    "report",
)


def main():
    """Prints each command, and what it is for."""
    print("One-shot image recognition. Commands (each has --help):\n")
    for name in COMMANDS:
        # Not imported: their flags have the same names.
        source = Path(__file__).with_name(f"{name}.py").read_text()
        purpose = ast.get_docstring(ast.parse(source)).partition("\n")[0]
        print(f"  python -m koch_siamese.{name:9} {purpose}")


if __name__ == "__main__":
    main()
