// What the page is about, and how numbers and elements are made of it.

const data = JSON.parse(document.getElementById("data").textContent);
const GROUPS = ["many", "medium", "few"];

/** A share that is stored in ten-thousandths. */
const share = (whole) => (whole === null || whole === undefined ? null : whole / 10000);

const shares = (wholes) => (wholes ?? []).map(share);

/** To one digit, of equally near ones the even one, as the rest of the report: toFixed alone makes 58.25 to 58.3. */
const rounded = (number) => (number - Math.floor(number) === 0.25 ? number - 0.05 : number).toFixed(1);

/** A share from 0 to 1 in percent; – where it is not defined. */
const percent = (value) => (value === null || value === undefined ? "–" : rounded(value * 100));

const byId = (id) => document.getElementById(id);

/** An element with attributes and children; text is always text, whatever a class is called. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

/** A table as it stands: the first cell of each row is its head. */
function fillTable(id, titles, rows) {
  const table = byId(id);
  table.tHead.replaceChildren(element("tr", {}, ...titles.map((title) => element("th", { scope: "col" }, title))));
  table.tBodies[0].replaceChildren(
    ...rows.map(([head, ...cells]) =>
      element("tr", {}, element("th", { scope: "row" }, element("span", {}, head)), ...cells.map((cell) =>
        cell instanceof HTMLElement ? cell : element("td", {}, cell)))),
  );
}

/** The position of the last of rising ``values`` that is at most ``value``; the first where all are above. */
function lastAtMost(values, value) {
  const above = values.findIndex((each) => each > value);
  return Math.max(0, (above < 0 ? values.length : above) - 1);
}
