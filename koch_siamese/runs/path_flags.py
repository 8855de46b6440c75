"""Flags that are paths."""

from absl import flags

from koch_siamese.paths import expand_home

# A flag belongs to the module that asks for it, by which --help groups flags.
flags.disclaim_key_flags()


class PathParser(flags.ArgumentParser):
    """Takes `~` for the home, which shells leave alone in --name=~/path."""

    def parse(self, argument: str) -> str:
        """Expands the home."""
        is_home = argument.startswith("~")
        return str(expand_home(argument)) if is_home else argument


def define_path(
    name: str,
    default: str | None,
    meaning: str,
    values: flags.FlagValues = flags.FLAGS,
) -> flags.FlagHolder:
    """Defines a flag that is a file or a folder."""
    return flags.DEFINE(
        PathParser(),
        name,
        default,
        meaning,
        flag_values=values,
        serializer=flags.ArgumentSerializer(),
    )
