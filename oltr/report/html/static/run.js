// What else the page shows of the run that is chosen: confusion, operating points, classes, calibration.

/** Where the images of each group go, at the operating point that is chosen, or was chosen last. */
function showTail(panel) {
  const { run, scorer } = panel;
  fillConfusion("confusion-closed", run.confusion);
  byId("tail-says").textContent = scorer === null ? run.note ?? "" : "";
  for (const id of ["points-table", "confusion-open"]) byId(id).parentElement.hidden = !scorer?.points.length;
  if (!scorer?.points.length) return;
  const point = panel.point ?? scorer.points[0];
  byId("tail-says").textContent = `${scorer.name} at: ${point.rule} (${point.words}).`;
  byId("confusion-open-caption").textContent = `With rejection by ${scorer.name}: ${point.rule}`;
  fillConfusion("confusion-open", point.confusion);
  const kinds = ["known", "many", "medium", "few", "open", "far"].filter((kind) => scorer.points.some((each) => each.rejection[kind] !== null));
  fillTable("points-table",
    ["operating point", ...kinds.map((kind) => `${KINDS[kind][0]} rejected`), "accuracy", ...GROUPS.map((group) => `accuracy ${group}`)],
    scorer.points.map((each) => [each.rule, ...kinds.map((kind) => percent(share(each.rejection[kind]))), ...shares(each.accuracy).map(percent)]));
}

function fillConfusion(id, { rows, columns, shares: wholes }) {
  const cell = (value) => element("td", { class: "heat", style: `--share:${((value ?? 0) * 0.0055).toFixed(1)}%` }, percent(share(value)));
  fillTable(id, ["images of", ...columns.map((name) => (name === "open" ? "rejected" : name))],
    rows.map((name, row) => [name, ...wholes[row].map(cell)]));
}

function showCalibration({ measures, reliability }) {
  const titles = {
    ece: "ECE (%)", adaptive_ece: "adaptive ECE (%)", classwise_ece: "class-wise ECE (%)", confidence: "mean confidence (%)",
    brier: "Brier score", nll: "negative log-likelihood",
  };
  const text = (key, value) => (["nll", "brier"].includes(key) && value !== null ? value.toFixed(3) : percent(value));
  fillTable("calibration-table", ["", "overall", ...GROUPS],
    Object.entries(titles).map(([key, title]) => [title, ...measures[key].map((value) => text(key, value))]));
  const whole = (values) => values.map((value) => (value === null ? null : value / 100));
  const filled = reliability.confidence.map((value, index) => index).filter((index) => reliability.confidence[index] !== null);
  const at = (values) => filled.map((index) => values[index] / 100);
  plotReliability.show({
    title: "Reliability diagram", says: "Accuracy of the test images against their confidence, in bins of equal width; on the diagonal both agree.",
    x: { label: "confidence (%)", domain: [0, 100] }, y: { label: "accuracy (%)", domain: [0, 100] },
    lines: [{ xs: [0, 100], ys: [0, 100], colour: "var(--soft)", dash: "3 3", label: "perfect" },
      { xs: at(reliability.confidence), ys: at(reliability.accuracy), colour: "var(--series-1)", label: "accuracy" }],
    bars: [{ edges: whole(reliability.edges), heights: whole(reliability.share).map((value) => value ?? 0), colour: "var(--series-5)", label: "share of images" }],
    marks: filled.map((index) => ({ x: reliability.confidence[index] / 100, y: reliability.accuracy[index] / 100, colour: "var(--series-1)" })),
  });
}

const plotReliability = new Plot("plot-reliability");

const CLASS_COLUMNS = [
  { title: "class", key: "name", word: true }, { title: "training images", key: "train_images" },
  { title: "shot", key: "shot", word: true }, { title: "test images", key: "test_images" },
  ...[["accuracy", "accuracy"], ["precision", "precision"], ["f1", "F1"], ["accepted", "accepted"]].map(([key, title]) =>
    ({ title, key, text: (row) => percent(row[key]) })),
].map((column) => ({ value: (row) => row[column.key], text: (row) => String(row[column.key]), ...column }));

function classesTable() {
  const search = byId("classes-search");
  const group = byId("classes-shot");
  const table = new SortedTable("classes-table", {
    columns: CLASS_COLUMNS, limit: 100, more: byId("classes-all"), count: byId("classes-count"), noun: "classes",
  });
  table.sort(1);
  const filter = () => table.filter((row) => (!group.value || row.shot === group.value) && matches(row.name, search.value.trim()));
  search.addEventListener("input", filter);
  group.addEventListener("change", filter);
  return (run) => {
    const { table: place, ...measured } = run.classes;
    const named = data.tables[place];
    table.show(named.name.map((name, index) => ({
      ...Object.fromEntries(Object.entries(named).map(([key, values]) => [key, values[index]])),
      ...Object.fromEntries(Object.entries(measured).map(([key, values]) => [key, share(values[index])])),
    })));
  };
}
