"""From the log to read models: the live projector, rebuilds beside it, and the proofs that both are right."""

from libs.common.projector.live import Projector
from libs.common.projector.model import ReadModel, live_schemas, read_model

__all__ = ["Projector", "ReadModel", "live_schemas", "read_model"]
