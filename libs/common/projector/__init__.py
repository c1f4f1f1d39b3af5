"""From the log to read models: the live projector, rebuilds beside it, and the proofs that both are right."""

from libs.common.projector.comparing import compare, differences
from libs.common.projector.live import Projector
from libs.common.projector.model import ReadModel, live_schemas, read_model
from libs.common.projector.reading import LogDivergedError
from libs.common.projector.rebuilding import Outcome, RebuildRefusedError, Report, rebuild
from libs.common.projector.report import resume_model, status
from libs.common.projector.verify import Verdict, VerifyFailedError, verify_log

__all__ = [
    "LogDivergedError",
    "Outcome",
    "Projector",
    "ReadModel",
    "RebuildRefusedError",
    "Report",
    "Verdict",
    "VerifyFailedError",
    "compare",
    "differences",
    "live_schemas",
    "read_model",
    "rebuild",
    "resume_model",
    "status",
    "verify_log",
]
