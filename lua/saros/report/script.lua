--- The part of a report that runs in the reader's browser: it draws the curves
--- from the data in the page, with dygraphs.

return [=[
"use strict";
window.addEventListener("error", function (e) {
  document.documentElement.dataset.error = e.message;
});

const runs = JSON.parse(document.getElementById("data").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const charts = [];

function escape(text) {
  const node = document.createElement("span");
  node.textContent = text;
  return node.innerHTML;
}

function colour(n) {
  return getComputedStyle(document.documentElement).getPropertyValue("--s" + (n % 8 + 1)).trim();
}

function gridColour() {
  return getComputedStyle(document.documentElement).getPropertyValue("--grid").trim();
}

// Exponential smoothing without the bias of its beginning.
function smoothed(values, by) {
  let mean = 0, weight = 0;
  return values.map(function (value) {
    if (value === null || by === 0) return value;
    mean = by * mean + (1 - by) * value;
    weight = by * weight + (1 - by);
    return mean / weight;
  });
}

// Series over their own steps -> rows over all steps.
function rowsOf(series, by) {
  const rows = new Map();
  series.forEach(function (s, n) {
    const values = s.points || s.steady ? s.y : smoothed(s.y, by);
    s.x.forEach(function (x, k) {
      if (!rows.has(x)) rows.set(x, [x].concat(series.map(() => null)));
      if (values[k] !== null) rows.get(x)[n + 1] = values[k];
    });
  });
  return Array.from(rows.values()).sort((a, b) => a[0] - b[0]);
}

function brief(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return +(value / 1e9).toPrecision(4) + "G";
  if (size >= 1e6) return +(value / 1e6).toPrecision(4) + "M";
  if (size >= 1e4) return +(value / 1e3).toPrecision(4) + "k";
  return String(+value.toPrecision(4));
}

function legend(data) {
  const at = data.x === undefined ? "" : "<span>update " + brief(data.x) + "</span>";
  return at + data.series.filter((s) => s.isVisible).map(function (s) {
    const value = s.y === undefined || s.y === null ? "" : " <b>" + brief(s.y) + "</b>";
    const line = '<i style="color:' + s.color + '">' + s.dashHTML + "</i> ";
    return "<span>" + line + escape(s.label) + value + "</span>";
  }).join("");
}

// The series of a chart: for each run the curves that it has.
function seriesOf(curves) {
  const series = [];
  runs.forEach(function (run, n) {
    curves.forEach(function (curve) {
      const from = run[curve.from];
      const y = from[curve.field];
      if (!y || !y.some((value) => value !== null)) return;
      series.push({ x: from.step, y: y, points: curve.points, run: n,
        steady: curve.steady,
        name: curves.length === 1 ? run.name : runs.length === 1 ? curve.name : run.name + ", " + curve.name });
    });
  });
  return series;
}

function look(series) {
  const alone = runs.length === 1;
  const options = {};
  series.forEach(function (s, n) {
    options[s.name] = {
      color: colour(alone ? n : s.run), drawPoints: !!s.points, pointSize: 3,
      strokeWidth: s.points ? 2 : 1.5, strokePattern: s.points && !alone ? [6, 3] : null,
    };
  });
  return options;
}

function add(figure, curves) {
  const series = seriesOf(curves);
  if (series.length === 0) {
    figure.remove();
    return;
  }
  const rows = rowsOf(series, 0);
  const chart = new Dygraph(figure.querySelector(".chart"), rows, {
    labels: ["step"].concat(series.map((s) => s.name)),
    labelsDiv: figure.querySelector(".legend"), legend: "always", legendFormatter: legend,
    connectSeparatedPoints: true, series: look(series), xRangePad: 4, yRangePad: 8,
    gridLineColor: gridColour(), axisLineColor: gridColour(), axisLabelFontSize: 12,
    highlightCircleSize: 4, includeZero: false, xlabel: "update", xLabelHeight: 18,
    axes: {
      x: { axisLabelFormatter: brief, valueFormatter: brief, drawGrid: false },
      y: { axisLabelFormatter: brief, valueFormatter: brief, axisLabelWidth: 52 },
    },
  });
  // On a log scale what is not positive would have no place.
  const positive = rows.every((row) => row.slice(1).every((y) => y === null || y > 0));
  charts.push({ chart: chart, series: series, positive: positive });
}

const curves = {
  loss: [{ from: "windows", field: "loss", name: "training" },
         { from: "epochs", field: "valid", name: "validation", points: true }],
  accuracy: [{ from: "windows", field: "accuracy", name: "training" },
             { from: "epochs", field: "accuracy", name: "validation", points: true }],
  lr: [{ from: "windows", field: "lr", steady: true }],
  norm: [{ from: "windows", field: "norm" }],
  speed: [{ from: "windows", field: "symbols_per_second" }],
  memory: [{ from: "windows", field: "memory", steady: true }],
};
// A run that logged its epochs only has curves, too.
if (!runs.some((run) => run.windows.step.length > 0)) {
  curves.loss[0] = { from: "epochs", field: "train", name: "training", points: true };
  curves.speed[0].from = "epochs";
}
document.querySelectorAll("figure[data-curves]").forEach(function (figure) {
  add(figure, curves[figure.dataset.curves]);
});

const smoothing = document.getElementById("smoothing");
const log = document.getElementById("log");
function redraw() {
  charts.forEach(function (c) {
    c.chart.updateOptions({
      file: rowsOf(c.series, +smoothing.value), logscale: log.checked && c.positive,
      series: look(c.series), gridLineColor: gridColour(), axisLineColor: gridColour(),
    });
  });
}
smoothing.addEventListener("input", redraw);
log.addEventListener("change", redraw);
dark.addEventListener("change", redraw);
if (+smoothing.value > 0 || log.checked) redraw();

document.querySelectorAll(".samples input").forEach(function (slider) {
  const texts = slider.parentNode.querySelectorAll("details");
  slider.hidden = texts.length < 2;
  slider.addEventListener("input", function () {
    texts.forEach((details, n) => { details.open = n === +slider.value; });
  });
});
document.documentElement.dataset.state = "ready";
]=]
