"""Tables as Markdown, and as LaTeX with booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from oltr.bench.tables import Cell, Table
from oltr.report.cells import cell, rows

LATEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "↓": r"$\downarrow$",
    "≥": r"$\geq$",
    "–": "--",
}


def markdown(table: Table) -> str:
    """The table alone; its title and caption are the page's."""
    lines = [[cell(name), *map(_markdown_cell, cells)] for name, cells in table.rows]
    return rows([cell(table.corner), *map(cell, table.columns)], lines)


def latex(tables: Sequence[Table]) -> str:
    """One float a table; needs the packages booktabs and graphicx, and says so."""
    return "\n\n".join(["% \\usepackage{booktabs,graphicx}", *map(_float, tables)]) + "\n"


def escaped(text: str) -> str:
    """``text`` as LaTeX prints it."""
    return re.sub("|".join(map(re.escape, LATEX)), lambda found: LATEX[found.group()], text)


def _float(table: Table) -> str:
    head = " & ".join(map(escaped, (table.corner, *table.columns)))
    body = [" & ".join([escaped(name), *map(_latex_cell, cells)]) for name, cells in table.rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(table.title)}. {escaped(table.caption)}}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            *(rf"{line} \\" for line in body),
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        ]
    )


def _markdown_cell(shown: Cell) -> str:
    if shown.mean is None:
        return "–"
    text = f"**{shown.mean}**" if shown.bold else shown.mean
    text += "" if shown.deviation is None else f" ± {shown.deviation}"
    return text + (f" ({shown.note})" if shown.note else "")


def _latex_cell(shown: Cell) -> str:
    if shown.mean is None:
        return "--"
    text = rf"\textbf{{{shown.mean}}}" if shown.bold else shown.mean
    text += "" if shown.deviation is None else rf" $\pm$ {shown.deviation}"
    return text + (f" ({shown.note})" if shown.note else "")
