"""DescribeLimits and DescribeEndpoints."""

from __future__ import annotations

from trial import Case, Step

CASES = [
    Case("limits", [Step("DescribeLimits", {})]),
    Case("endpoints", [Step("DescribeEndpoints", {})]),
]
