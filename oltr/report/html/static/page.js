// The page as a whole: theme, the run that is shown, copying, and the start.

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").setAttribute("aria-pressed", String(dark));
}

/** The theme of the system, until one is chosen; the choice is kept where the browser lets a file keep anything. */
function startTheme() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try {
    chosen = localStorage.getItem("oltr-theme");
  } catch {
    chosen = null;
  }
  setTheme(chosen === null ? system.matches : chosen === "dark");
  system.addEventListener("change", () => {
    if (chosen === null) setTheme(system.matches);
  });
  byId("theme").addEventListener("click", () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    setTheme(chosen === "dark");
    try {
      localStorage.setItem("oltr-theme", chosen);
    } catch {
      // kept for this visit only
    }
  });
}

async function copy(source) {
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    getSelection().selectAllChildren(source);
    document.execCommand("copy"); // where a page that is a file may not use the clipboard
  }
  byId("copied").textContent = "The command is copied.";
}

function start() {
  startTheme();
  methodsTable();
  const showClasses = classesTable();
  const panel = new ThresholdPanel(showTail);
  const show = (index) => {
    for (const part of document.querySelectorAll("[data-run]")) part.hidden = part.dataset.run !== String(index);
    panel.show(data.runs[index]);
    showClasses(data.runs[index]);
    showCalibration(data.runs[index].calibration);
  };
  const runs = byId("run");
  runs.parentElement.hidden = data.runs.length === 1;
  runs.addEventListener("change", () => show(Number(runs.value)));
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(byId(button.dataset.copy)));
  }
  show(Number(runs.value));
}

start();
