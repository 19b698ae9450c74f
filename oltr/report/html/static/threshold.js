// The threshold of a run's scorer: a slider over observed scores, and the report's operating points.

const F_TITLES = { f_oltr2020: "OLTR 2020", f_oltr2019: "OLTR 2019", f_micro: "micro", f1_macro_k1: "macro F1 over K+1" };
const KINDS = {
  known: ["known", "var(--series-7)"], many: ["many", "var(--series-1)"], medium: ["medium", "var(--series-3)"],
  few: ["few", "var(--series-2)"], open: ["open", "var(--series-4)"], far: ["far open", "var(--series-5)"],
  common: ["known, many and medium", "var(--series-1)"],
};
const F_COLOURS = ["var(--series-1)", "var(--series-2)", "var(--series-3)", "var(--series-4)"];

class ThresholdPanel {
  constructor(changed) {
    this.changed = changed;
    this.slider = byId("slider");
    this.plots = Object.fromEntries(["roc", "f", "rejection", "histogram"].map((name) => [name, new Plot(`plot-${name}`)]));
    this.slider.addEventListener("input", () => this.#moved());
    byId("scorer").addEventListener("change", () => this.#scorer(Number(byId("scorer").value)));
  }

  /** Turn to a run: the scorer of that name where it has one, else its first. */
  show(run) {
    const before = this.scorer?.name;
    this.run = run;
    byId("scorer").replaceChildren(...run.scorers.map((scorer, index) => element("option", { value: index }, scorer.name)));
    byId("threshold-panel").hidden = run.scorers.length === 0;
    byId("threshold-none").hidden = run.scorers.length > 0;
    byId("threshold-none").textContent = run.note ?? "No open-set scorer was evaluated.";
    this.scorer = null;
    this.point = null;
    if (!run.scorers.length) return this.changed(this);
    const index = Math.max(0, run.scorers.findIndex((scorer) => scorer.name === before));
    byId("scorer").value = String(index);
    return this.#scorer(index);
  }

  #scorer(index) {
    this.scorer = this.run.scorers[index];
    this.curves = this.scorer.curves;
    this.slider.max = this.curves ? this.curves.threshold.length - 1 : 0;
    this.slider.disabled = !this.curves;
    const placed = this.scorer.points.filter((point) => point.threshold !== null && this.curves);
    byId("slider-marks").replaceChildren(...placed.map((point) => element("option", { value: this.#near(point), label: point.rule })));
    byId("points").replaceChildren(...this.scorer.points.map((point) =>
      element("button", { type: "button", "aria-pressed": "false", onclick: () => this.#choose(point) }, point.rule)));
    if (this.scorer.points.length) this.#choose(this.scorer.points[0]);
    else this.#moved();
  }

  #near(point) {
    return lastAtMost(this.curves.threshold, point.threshold);
  }

  /** An operating point: its own numbers, exact; the slider goes to the nearest threshold below. */
  #choose(point) {
    this.point = point;
    if (this.curves && point.threshold !== null) this.slider.value = String(this.#near(point));
    this.#draw({ threshold: point.threshold, words: `${point.rule}: ${point.words}`, f: point.f, rejection: point.rejection });
  }

  #moved() {
    this.point = null;
    const index = Number(this.slider.value);
    const at = (lists) => Object.fromEntries(Object.entries(lists).map(([name, values]) => [name, values?.[index] ?? null]));
    if (!this.curves) return this.changed(this);
    const threshold = this.curves.threshold[index];
    return this.#draw({ threshold, words: `threshold ${threshold.toPrecision(4)}`, f: at(this.curves.f), rejection: at(this.curves.rejection) });
  }

  #draw(now) {
    const rejected = (kind) => share(now.rejection[kind]);
    const far = rejected("far") === null ? "" : `, ${percent(rejected("far"))} % of far open`;
    const says = `${now.words}. Rejected: ${percent(rejected("known"))} % of known images (few-shot ${percent(rejected("few"))} %), `
      + `${percent(rejected("open"))} % of open${far}.`;
    byId("slider-says").textContent = says;
    this.slider.setAttribute("aria-valuetext", now.words);
    [...byId("points").children].forEach((button, index) =>
      button.setAttribute("aria-pressed", String(this.scorer.points[index] === this.point)));
    fillTable("live-f", ["F-measure", "%"], Object.entries(F_TITLES).map(([name, title]) => [title, percent(share(now.f[name]))]));
    const kinds = ["known", "many", "medium", "few", "open", "far"].filter((kind) => now.rejection[kind] !== null);
    fillTable("live-rejection", ["images", "rejected %"], kinds.map((kind) => [KINDS[kind][0], percent(rejected(kind))]));
    byId("plots")?.toggleAttribute("hidden", !this.curves);
    if (this.curves) this.#plots(now, says);
    this.changed(this);
  }

  #plots(now, says) {
    const { curves } = this;
    const { edges } = curves.histogram;
    const score = { label: `score of ${this.scorer.name}: above is rejected`, domain: edges };
    const whole = { domain: [0, 100] };
    const accepted = (kind) => (now.rejection[kind] === null ? null : 100 - now.rejection[kind] / 100);
    const roc = (curve, rest) => ({ xs: curve.open_accepted.map((x) => x / 100), ys: curve.known_accepted.map((y) => y / 100), ...rest });
    const mark = (kind) => ({ x: accepted(kind), y: accepted(kind) === null ? null : accepted("known"), colour: KINDS[kind][1] });
    this.plots.roc.show({
      title: `ROC of ${this.scorer.name}`, says,
      x: { label: "open images accepted (%)", ...whole }, y: { label: "known accepted (%)", ...whole },
      lines: [roc(curves.roc, { label: "near open set", colour: KINDS.open[1] }),
        ...(curves.far_roc ? [roc(curves.far_roc, { label: "far open set", colour: KINDS.far[1], dash: DASHES[1] })] : [])],
      marks: [mark("open"), ...(curves.far_roc ? [mark("far")] : [])],
    });
    const inside = curves.threshold.map((value) => Math.min(edges[1], Math.max(edges[0], value)));
    const line = (values, rest) => ({ xs: inside, ys: values.map((value) => (value === null ? null : value / 100)), ...rest });
    const limit = now.threshold;
    const place = limit === null ? null : Math.min(edges[1], Math.max(edges[0], limit));
    const dots = (wholes, colours) => (place === null ? [] : Object.entries(colours).map(([name, colour]) =>
      ({ x: place, y: wholes[name] === null ? null : wholes[name] / 100, colour })));
    const names = Object.keys(F_TITLES);
    this.plots.f.show({
      title: `F-measures of ${this.scorer.name} against the threshold`, says, x: score, y: { label: "F (%)", ...whole }, limit,
      lines: names.map((name, index) => line(curves.f[name], { label: F_TITLES[name], colour: F_COLOURS[index], dash: DASHES[index] })),
      marks: dots(now.f, Object.fromEntries(names.map((name, index) => [name, F_COLOURS[index]]))),
    });
    const kinds = ["known", "many", "medium", "few", "open", "far"].filter((kind) => curves.rejection[kind]);
    this.plots.rejection.show({
      title: `Images rejected by ${this.scorer.name} against the threshold`, says, x: score, y: { label: "rejected (%)", ...whole }, limit,
      lines: kinds.map((kind, index) => line(curves.rejection[kind], { label: KINDS[kind][0], colour: KINDS[kind][1], dash: DASHES[index] })),
      marks: dots(now.rejection, Object.fromEntries(kinds.map((kind) => [kind, KINDS[kind][1]]))),
    });
    this.plots.histogram.show(histogram(this.scorer.name, curves.histogram, { says, score, limit }));
  }
}

function histogram(name, { edges, shares: wholes }, { says, score, limit }) {
  const bars = Object.entries(wholes).filter(([, values]) => values).map(([kind, values], index) => ({
    heights: values.map((value) => value / 100),
    edges: Array.from({ length: values.length + 1 }, (_, place) => edges[0] + ((edges[1] - edges[0]) * place) / values.length),
    label: KINDS[kind][0], colour: KINDS[kind][1], dash: DASHES[index],
  }));
  const top = Math.max(1, ...bars.flatMap((bar) => bar.heights)) * 1.05;
  return { title: `Scores of known and open images by ${name}`, says, x: score, y: { label: "images (%)", domain: [0, top] }, bars, limit };
}
