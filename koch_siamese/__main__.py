"""Lists the commands, or runs one."""

import ast
import runpy
import sys
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
    """Runs the command that is named; without one, prints a list of them."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        del sys.argv[1]
        module = f"koch_siamese.{name}"
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    elif name in ("--help", "-help", "-h"):
        _print_commands()
    else:
        sys.exit(
            f"error: there is no command {name!r}: expected one of "
            f"{', '.join(COMMANDS)}."
        )


def _print_commands():
    """Prints each command and its purpose."""
    print("One-shot image recognition. Commands (each has --help):\n")
    for name in COMMANDS:
        # Commands are not imported, because they define the same flags.
        source = Path(__file__).with_name(f"{name}.py").read_text()
        purpose = ast.get_docstring(ast.parse(source)).partition("\n")[0]
        print(f"  python -m koch_siamese.{name:10} {purpose}")


if __name__ == "__main__":
    main()
