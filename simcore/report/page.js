"use strict";
// What every report does: theme, charts, series on and off, keys, sortable tables. Sections add scripts of their own.
const parts = JSON.parse(document.getElementById("report-data").textContent);
const themeListeners = [];
const timeCharts = [];
const scripts = [];
let following = false;

const page = {
  /** Value of a CSS variable of the present theme. */
  css(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  },
  /** Call back now and whenever the theme changes. */
  onTheme(callback) {
    themeListeners.push(callback);
    callback();
  },
  /** Register a section's script. */
  part(id, script) {
    scripts.push([id, script]);
  },
  start() {
    startTheme();
    for (const part of parts) {
      part.charts.forEach((chart, number) => drawChart(document.getElementById(`${part.id}-chart-${number}`), chart));
    }
    document.querySelectorAll("table.sortable").forEach(makeSortable);
    for (const [id, script] of scripts) {
      script(document.getElementById(id), parts.find((part) => part.id === id).data, page);
    }
    document.documentElement.dataset.ready = "yes";
  },
};

function startTheme() {
  const button = document.getElementById("theme");
  const show = (theme) => {
    document.documentElement.dataset.theme = theme;
    button.textContent = theme === "dark" ? "Light" : "Dark";
    themeListeners.forEach((callback) => callback());
  };
  button.addEventListener("click", () => show(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  show(window.matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}

function colour(number) {
  return page.css(`--c${number % 8}`);
}

function faint(hex) {
  return `${hex}40`;
}

/** Plotly's traces of one line: its band first, if it has one. */
function tracesOf(chart, line) {
  const paint = colour(line.color);
  const step = chart.kind === "steps" || chart.kind === "stacked";
  const own = {
    x: line.x, y: line.y, name: line.label, mode: chart.kind === "cloud" ? "markers" : step ? "lines" : "lines+markers",
    line: { color: paint, width: chart.kind === "stacked" ? 0.5 : 1.5, shape: step ? "hv" : "linear", dash: line.dash ? "dot" : "solid" },
    marker: { color: paint, size: chart.kind === "cloud" ? 5 : 7 }, hovertemplate: "%{y:.6~g}",
  };
  if (chart.kind === "stacked") {
    return [{ ...own, stackgroup: "all", fillcolor: paint }];
  }
  if (line.low === null) {
    return [own];
  }
  if (chart.kind === "points") {
    const up = line.high.map((value, at) => value === null ? null : value - line.y[at]);
    const down = line.low.map((value, at) => value === null ? null : line.y[at] - value);
    return [{ ...own, error_y: { type: "data", symmetric: false, array: up, arrayminus: down, color: paint } }];
  }
  // The extremes of a row belong to the time before it.
  const edge = { x: line.x, mode: "lines", line: { width: 0, shape: "vh" }, hoverinfo: "skip", showlegend: false };
  return [{ ...edge, y: line.low }, { ...edge, y: line.high, fill: "tonexty", fillcolor: faint(paint) }, own];
}

function layoutOf(chart) {
  const axis = {
    color: page.css("--soft"), gridcolor: page.css("--line"), zerolinecolor: page.css("--line"), automargin: true, tickfont: { size: 12 },
  };
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: page.css("--ink"), size: 13 }, showlegend: false,
    margin: { l: 50, r: 12, t: 26, b: 40 }, hovermode: chart.kind === "cloud" ? "closest" : "x unified", dragmode: "zoom",
    hoverlabel: { bgcolor: page.css("--panel"), bordercolor: page.css("--line"), font: { color: page.css("--ink") } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: page.css("--soft"), activecolor: page.css("--ink") },
    xaxis: { ...axis, title: { text: plain(chart.xLabel), standoff: 6 } },
    yaxis: { ...axis, title: { text: plain(chart.yLabel), standoff: 6 }, rangemode: "tozero" },
  };
}

/** Plotly reads a few tags in texts; here they are texts. */
function plain(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function drawChart(figure, chart) {
  const place = figure.querySelector(".chart");
  const boxes = [...figure.querySelectorAll("input[data-line]")];
  const owners = [];
  const build = () => {
    owners.length = 0;
    return chart.lines.flatMap((line, number) => {
      const traces = tracesOf(chart, { ...line, label: plain(line.label) });
      traces.forEach(() => owners.push(number));
      return traces.map((trace) => ({ ...trace, visible: boxes[number].checked }));
    });
  };
  const config = {
    displaylogo: false, responsive: true, displayModeBar: "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  };
  let range = null;
  page.onTheme(() => {
    const layout = layoutOf(chart);
    if (range) {
      layout.xaxis.range = range;
    }
    Plotly.react(place, build(), layout, config);
    boxes.forEach((box, number) => {
      box.parentElement.querySelector(".swatch").style.background = colour(chart.lines[number].color);
    });
  });
  boxes.forEach((box, number) => box.addEventListener("change", () => {
    const traces = owners.flatMap((owner, at) => owner === number ? [at] : []);
    Plotly.restyle(place, { visible: box.checked }, traces);
  }));
  place.addEventListener("keydown", (event) => moveByKey(place, event));
  place.on("plotly_relayout", (change) => {
    range = place.layout.xaxis.autorange ? null : [...place.layout.xaxis.range];
    if (chart.time && ("xaxis.range[0]" in change || "xaxis.range" in change || "xaxis.autorange" in change)) {
      follow(place, range);
    }
  });
  if (chart.time) {
    timeCharts.push(place);
  }
}

/** Charts over time show the same time. */
function follow(leader, range) {
  if (following) {
    return;
  }
  following = true;
  const change = range ? { "xaxis.range": range } : { "xaxis.autorange": true };
  Promise.all(timeCharts.filter((place) => place !== leader).map((place) => Plotly.relayout(place, change)))
    .finally(() => { following = false; });
}

function moveByKey(place, event) {
  if (event.key === "0") {
    Plotly.relayout(place, { "xaxis.autorange": true, "yaxis.autorange": true });
    event.preventDefault();
    return;
  }
  const moves = { ArrowLeft: [-0.2, 1], ArrowRight: [0.2, 1], "+": [0, 0.5], "=": [0, 0.5], "-": [0, 2] };
  if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) {
    return;
  }
  const [from, to] = place.layout.xaxis.range.map(Number);
  if (!Number.isFinite(from) || !Number.isFinite(to)) {
    return;
  }
  const [shift, stretch] = moves[event.key];
  const middle = (from + to) / 2 + shift * (to - from);
  const half = (to - from) / 2 * stretch;
  Plotly.relayout(place, { "xaxis.range": [middle - half, middle + half] });
  event.preventDefault();
}

function makeSortable(table) {
  const heads = [...table.querySelectorAll("thead th")];
  const body = table.querySelector("tbody");
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const upwards = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", upwards ? "ascending" : "descending");
    const key = (row) => {
      const cell = row.cells[column];
      return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent;
    };
    const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    const rows = [...body.rows].sort((a, b) => upwards ? order(key(a), key(b)) : order(key(b), key(a)));
    body.append(...rows);
  }));
}
