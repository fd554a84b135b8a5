"""Why a worker stops training a stack, other than by an error of a trial."""

from __future__ import annotations

from irm_sweeps.errors import UserError


class Interrupted(BaseException):
    """The worker was asked to stop; the stack that it was training is checkpointed and released."""


class Lost(Exception):
    """Another worker took this one for dead and has taken a trial over: this one writes nothing more."""


class ProcessChanged(UserError):
    """Code that ran in this process has changed it for good: other trials would get other numbers here.

    The results that were written stay, and the claims are released: another process can go on.
    """


class DeviceLost(UserError):
    """The GPU no longer answers this process, whatever is asked of it: only another process can go on.

    The claims that this worker holds are not released: this counts as a death of the worker, as a crash would.
    """
