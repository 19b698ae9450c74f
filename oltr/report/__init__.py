"""Reports: JSON, Markdown and pictures of what `oltr.evaluation` found, for one run or many."""

from oltr.report.saving import write
from oltr.report.tables import compare, table

__all__ = ["compare", "table", "write"]
