"""The report as one self-contained page for a browser, of one run or many."""

from oltr.report.html.rendering import page

__all__ = ["page"]
