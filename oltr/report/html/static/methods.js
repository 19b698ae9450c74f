// The table of methods, scorers and seeds, and its means over seeds.

function methodsTable() {
  const aggregate = byId("aggregate");
  const search = byId("methods-search");
  const table = new SortedTable("methods-table", { columns: [], count: byId("methods-count") });
  const several = data.runs.length > 1;
  const single = data.rows.map((row) => singleRow(row));
  const joined = [...Map.groupBy(single, (row) => JSON.stringify([row.method, row.scorer])).values()].map(joinedRow);
  const columns = (seeds) => [
    ...(several ? [{ title: "method", word: true, value: (row) => row.method, text: (row) => row.method }] : []),
    { title: "scorer", word: true, value: (row) => row.scorer, text: (row) => row.scorer },
    ...(seeds ? [{ title: "seed", word: true, value: (row) => row.seed, text: (row) => row.seed }] : []),
    ...data.columns.map((column, index) => ({
      ...column, value: (row) => row.values[index], text: (row) => row.texts[index],
    })),
  ];
  const show = () => table.show(aggregate?.checked ? joined : single, columns(several));
  aggregate?.addEventListener("change", show);
  search.addEventListener("input", () => table.filter((row) => matches(`${row.method} ${row.scorer}`, search.value.trim())));
  show();
  byId("methods-rules").textContent = rulesUsed();
}

function singleRow(row) {
  const run = data.runs[row.run];
  return {
    method: data.methods[run.method],
    scorer: row.scorer ?? "–",
    seed: run.seed === null ? "–" : String(run.seed),
    values: row.values,
    texts: row.values.map(percent),
  };
}

/** The rows of several seeds as one: mean ± sample standard deviation of those that have the number. */
function joinedRow(rows) {
  const columns = data.columns.map((_, index) => rows.map((row) => row.values[index]).filter((value) => value !== null));
  return {
    method: rows[0].method,
    scorer: rows[0].scorer,
    seed: rows.map((row) => row.seed).join(", "),
    values: columns.map(mean),
    texts: columns.map((values) => spread(values, rows.length)),
  };
}

const mean = (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null);

function spread(values, asked) {
  if (values.length < 2) return percent(mean(values)) + (values.length && asked > 1 ? ` (1 of ${asked})` : "");
  const centre = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  const text = `${percent(centre)} ± ${percent(Math.sqrt(squares / (values.length - 1)))}`;
  return values.length === asked ? text : `${text} (${values.length} of ${asked})`;
}

/** By which rules the columns at an operating point were set; of some scorers it may be another one. */
function rulesUsed() {
  const rules = data.runs.flatMap((run) => run.scorers.map((scorer) => scorer.points[0]?.rule)).filter(Boolean);
  return rules.length ? `First operating point: ${[...new Set(rules)].join("; ")}.` : "";
}
