"""Lists the commands."""

import ast
from pathlib import Path

COMMANDS = (
    "train",
    "evaluate",
    "classify",
    "verify",
    "transcribe",
    "export",
    "search",
    "demo",
    "report",
)


def main():
    """Prints each command and its purpose."""
    print("One-shot image recognition. Commands (each has --help):\n")
    for name in COMMANDS:
        # Commands are not imported, because they define the same flags.
        source = Path(__file__).with_name(f"{name}.py").read_text()
        purpose = ast.get_docstring(ast.parse(source)).partition("\n")[0]
        print(f"  python -m koch_siamese.{name:10} {purpose}")


if __name__ == "__main__":
    main()
