"""The formats by the content type that they are answered with."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from perflens.export.prometheus import negotiate
from perflens.export.prometheus.form import Format
from perflens.export.prometheus.openmetrics import OPENMETRICS
from perflens.export.prometheus.protobuf import PROTOBUF
from perflens.export.prometheus.text import TEXT

__all__ = ["FORMATS"]

FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        negotiate.TEXT_0_0_4: TEXT,
        negotiate.TEXT_1_0_0: TEXT,
        negotiate.OPENMETRICS_1_0_0: OPENMETRICS,
        negotiate.PROTOBUF: PROTOBUF,
    }
)
