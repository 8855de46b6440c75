"""Flags that are paths."""

from absl import flags

from koch_siamese.paths import expand_home_in

# absl then assigns flags to the calling module, by which --help groups them.
flags.disclaim_key_flags()


class PathParser(flags.ArgumentParser):
    """Expands `~` to the home folder, as shells do not in --name=~/path."""

    def parse(self, argument: str) -> str:
        """Expands `~` at the beginning."""
        return expand_home_in(argument)


def define_path(
    name: str, default: str | None, meaning: str
) -> flags.FlagHolder:
    """Defines a flag whose value is a file or a folder."""
    return flags.DEFINE(
        PathParser(),
        name,
        default,
        meaning,
        serializer=flags.ArgumentSerializer(),
    )
