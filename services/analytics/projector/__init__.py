"""From the log to read models: the live projector, rebuilds beside it, and the proofs that both are right."""

from services.analytics.projector.comparing import compare, differences
from services.analytics.projector.live import Projector
from services.analytics.projector.model import ReadModel, live_schemas, read_model
from services.analytics.projector.rebuilding import Outcome, RebuildRefusedError, Report, rebuild
from services.analytics.projector.report import resume_model, status
from services.analytics.projector.stream_reader import LogDivergedError
from services.analytics.projector.verify import Verdict, VerifyFailedError, verify_log

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
