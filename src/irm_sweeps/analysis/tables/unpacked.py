"""The line under a table on results that were not made in its store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from irm_sweeps.analysis.readings import Results
from irm_sweeps.errors import one_line
from irm_sweeps.wording import count


def unpacked_lines(results: Results, trial_ids: Iterable[str]) -> Iterator[str]:
    """Yield a line that names the archives that results of the trials were unpacked from, if any were."""
    read = [trial_id for trial_id in dict.fromkeys(trial_ids) if results.of(trial_id) is not None]
    archives = Counter(
        (origin.archive, origin.archive_sha256) for trial_id in read if (origin := results.origin(trial_id))
    )
    if archives:
        named = (
            f"{count(n, 'result')} from {one_line(name)} (sha256 {sha256[:12]})"
            for (name, sha256), n in sorted(archives.items())
        )
        yield f"Unpacked, not trained in the store: {'; '.join(named)}."
