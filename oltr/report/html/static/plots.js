// Plots drawn as SVG at the width they are shown at, so that text has one size on every screen.

const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { left: 46, right: 12, top: 10, bottom: 40 };
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "1 3", "12 4"];

function shape(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

/** About ``count`` round numbers from ``low`` to ``high``. */
function ticks([low, high], count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough * 0.999);
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) found.push(index * step);
  return found;
}

const tickText = (value) => String(Number(value.toPrecision(4)));

/** One plot: ``content`` tells title, x, y (label and domain), lines, bars, limit and marks; a new one replaces the old. */
class Plot {
  constructor(id) {
    this.place = byId(id);
    this.id = id;
    this.content = null;
    new ResizeObserver(() => requestAnimationFrame(() => this.#resized())).observe(this.place);
  }

  show(content) {
    this.content = content;
    this.#draw();
  }

  #resized() {
    if (this.content && Math.abs(this.place.clientWidth - this.width) > 1) this.#draw();
  }

  #draw() {
    const { title, says, x, y, lines = [], bars = [], limit = null, marks = [] } = this.content;
    this.width = Math.max(260, this.place.clientWidth);
    const height = Math.round(Math.min(300, Math.max(220, this.width * 0.62)));
    const across = scale(x.domain, MARGIN.left, this.width - MARGIN.right);
    const up = scale(y.domain, height - MARGIN.bottom, MARGIN.top);
    const svg = shape("svg", { viewBox: `0 0 ${this.width} ${height}`, role: "img", "aria-labelledby": `${this.id}-t`, "aria-describedby": `${this.id}-d` });
    svg.append(shape("title", { id: `${this.id}-t` }, title), shape("desc", { id: `${this.id}-d` }, says));
    svg.append(...axes(x, y, across, up, this.width, height));
    for (const bar of bars) svg.append(outline(bar, across, up));
    for (const line of lines) {
      svg.append(shape("path", { class: "line", d: path(line, across, up), stroke: line.colour, "stroke-dasharray": line.dash ?? "" }));
    }
    if (limit !== null) {
      const place = Math.min(this.width - MARGIN.right, Math.max(MARGIN.left, across(limit)));
      svg.append(shape("line", { class: "limit", x1: place, x2: place, y1: up(y.domain[0]), y2: up(y.domain[1]) }));
    }
    for (const mark of marks) {
      if (mark.y === null) continue;
      svg.append(shape("circle", { class: "mark", cx: across(mark.x), cy: up(mark.y), r: 6, fill: mark.colour, "data-x": mark.x, "data-y": mark.y }));
    }
    this.place.replaceChildren(svg, legend([...lines, ...bars]));
  }
}

const scale = ([low, high], from, to) => (value) => from + ((value - low) / (high - low || 1)) * (to - from);

function axes(x, y, across, up, width, height) {
  const made = [];
  for (const value of ticks(y.domain, 5)) {
    made.push(shape("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: up(value), y2: up(value) }));
    made.push(shape("text", { x: MARGIN.left - 6, y: up(value) + 4, "text-anchor": "end" }, tickText(value)));
  }
  for (const value of ticks(x.domain, Math.max(3, Math.floor(width / 90)))) {
    made.push(shape("line", { class: "grid", x1: across(value), x2: across(value), y1: up(y.domain[0]), y2: up(y.domain[0]) + 5 }));
    made.push(shape("text", { x: across(value), y: height - MARGIN.bottom + 18, "text-anchor": "middle" }, tickText(value)));
  }
  made.push(shape("text", { x: (MARGIN.left + width) / 2, y: height - 5, "text-anchor": "middle" }, x.label));
  made.push(shape("text", { transform: `translate(11 ${(height - MARGIN.bottom + MARGIN.top) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.label));
  return made;
}

/** The path of a line, with a gap where a value is not defined; what lies outside the domain is cut by it. */
function path({ xs, ys }, across, up) {
  let pen = "M";
  return xs.map((x, index) => {
    if (ys[index] === null) {
      pen = "M";
      return "";
    }
    const step = `${pen}${across(x).toFixed(1)} ${up(ys[index]).toFixed(1)}`;
    pen = "L";
    return step;
  }).join("");
}

/** The outline of a histogram, filled lightly. */
function outline({ edges, heights, colour, dash }, across, up) {
  const steps = heights.map((value, index) => `V${up(value).toFixed(1)}H${across(edges[index + 1]).toFixed(1)}`);
  const d = `M${across(edges[0]).toFixed(1)} ${up(0).toFixed(1)}${steps.join("")}V${up(0).toFixed(1)}`;
  return shape("path", { d, stroke: colour, fill: colour, "fill-opacity": 0.16, "stroke-width": 1.6, "stroke-dasharray": dash ?? "" });
}

function legend(entries) {
  return element("ul", { class: "legend" }, ...entries.filter((entry) => entry.label).map((entry) => {
    const sample = shape("svg", { viewBox: "0 0 30 10", "aria-hidden": "true" });
    sample.append(shape("line", { x1: 0, x2: 30, y1: 5, y2: 5, stroke: entry.colour, "stroke-width": 3, "stroke-dasharray": entry.dash ?? "" }));
    return element("li", {}, sample, entry.label);
  }));
}
