// A table that is sorted by the buttons in its head, and shows no more rows at first than one can read.

/**
 * ``columns``: {title, says, value(row), text(row), word}; ``word`` columns rise first, numbers fall first.
 * Rows are drawn up to ``limit``; ``more`` is the button that shows the others, ``count`` says how many there are.
 */
class SortedTable {
  constructor(id, { columns, limit = Infinity, more = null, count = null, noun = "rows" }) {
    Object.assign(this, { table: byId(id), columns, limit, more, count, noun });
    this.rows = [];
    this.accepts = () => true;
    this.sorted = null;
    this.all = false;
    more?.addEventListener("click", () => {
      this.all = true;
      this.draw();
    });
    this.#head();
  }

  show(rows, columns = this.columns) {
    this.rows = rows;
    if (columns !== this.columns) {
      this.columns = columns;
      this.#head();
    }
    this.draw();
  }

  filter(accepts) {
    this.accepts = accepts;
    this.draw();
  }

  #head() {
    const heads = this.columns.map((column, index) =>
      element("th", { scope: "col", class: column.word ? "word" : null, "aria-sort": "none", title: column.says ?? null },
        element("button", { type: "button", onclick: () => this.sort(index) }, column.title)));
    this.table.tHead.replaceChildren(element("tr", {}, ...heads));
    this.#mark();
  }

  /** Sort by a column, the other way round where it is sorted by that one. */
  sort(index) {
    const again = this.sorted?.index === index;
    this.sorted = { index, rising: again ? !this.sorted.rising : Boolean(this.columns[index].word) };
    this.#mark();
    this.draw();
  }

  #mark() {
    [...this.table.tHead.rows[0].cells].forEach((head, index) => {
      const now = this.sorted?.index === index;
      head.setAttribute("aria-sort", now ? (this.sorted.rising ? "ascending" : "descending") : "none");
    });
  }

  draw() {
    const found = this.rows.filter(this.accepts);
    if (this.sorted) {
      const { value } = this.columns[this.sorted.index];
      found.sort((one, other) => compare(value(one), value(other), this.sorted.rising ? 1 : -1));
    }
    const shown = this.all ? found : found.slice(0, this.limit);
    this.table.tBodies[0].replaceChildren(...shown.map((row) => this.#row(row)));
    if (this.more) {
      this.more.hidden = shown.length === found.length;
      this.more.textContent = `Show all ${found.length.toLocaleString("en")} ${this.noun}`;
    }
    if (this.count) {
      const cut = shown.length < found.length ? `; the first ${shown.length} are shown` : "";
      this.count.textContent = `${found.length.toLocaleString("en")} of ${this.rows.length.toLocaleString("en")} ${this.noun}${cut}`;
    }
  }

  #row(row) {
    return element("tr", {}, ...this.columns.map((column, index) => index === 0
      ? element("th", { scope: "row" }, element("span", {}, column.text(row)))
      : element("td", column.word ? { class: "word" } : {}, column.text(row))));
  }
}

/** What is not defined comes last, whichever way the rest goes. */
function compare(one, other, direction) {
  if (one === null || other === null) return (one === null) - (other === null);
  return direction * (typeof one === "string" ? one.localeCompare(other, "en", { numeric: true }) : one - other);
}

/** Whether each word that was typed is in ``text``. */
function matches(text, typed) {
  const lower = text.toLowerCase();
  return typed.toLowerCase().split(/\s+/).every((word) => lower.includes(word));
}
