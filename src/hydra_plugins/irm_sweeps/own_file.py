"""Hydra's config-source plug-in that reads a user's YAML by its path, as in `method=./my.yaml`."""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin

SCHEME = "own-file"


class OwnFileSource(ConfigSource):
    """Finds `method//folder/my.yaml`, which is what Hydra makes of `method=/folder/my.yaml`."""

    @staticmethod
    def scheme() -> str:
        """Return the word before `://` in Hydra's search path."""
        return SCHEME

    def available(self) -> bool:
        """Return True: there is no folder that could be missing."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Return False: a path names one file."""
        del config_path
        return False

    def is_config(self, config_path: str) -> bool:
        """Return whether the choice is written as the path of a YAML, which need not exist."""
        from irm_sweeps.overrides.own_yaml import own_file

        return own_file(config_path) is not None

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        """Return nothing: the files of a machine are not listed as choices."""
        del config_path, results_filter
        return []

    def load_config(self, config_path: str) -> ConfigResult:
        """Read the file."""
        from omegaconf import OmegaConf

        from irm_sweeps.overrides.own_yaml import read_own_file

        values, text = read_own_file(config_path)
        return ConfigResult(
            provider=self.provider,
            path=f"{SCHEME}://",
            config=OmegaConf.create(values),
            header=self._get_header_dict(text[:512]),
        )


class OwnFileSearchPath(SearchPathPlugin):
    """Puts `OwnFileSource` first in the search path, so that `./erm.yaml` is never the package's `erm`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the source."""
        search_path.prepend(provider="irm_sweeps", path=f"{SCHEME}://")
