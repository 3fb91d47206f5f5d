"use strict";
// The figures of the Server page: asks once a second for the seconds it has not got yet, and draws them.
// Whatever comes from outside is put in as text, never as markup.

// Charts begin with the load, and show no less and no more than this.
const LEAST_S = 30;
const SHOWN_S = 120;
const KEPT_S = 600;
const MIB = 1024 * 1024;
const SIZE = { width: 480, height: 190, left: 52, right: 8, top: 10, bottom: 20 };
const SVG = "http://www.w3.org/2000/svg";

// The columns of a row of "seconds".
const [SECOND, REQUESTS, FAILURES, P50, P99, SERVER_CPU, GENERATOR_CPU, RSS] = [0, 1, 2, 3, 4, 5, 6, 7];

// Of each line: what it is called, its column, by what it is multiplied, how it looks.
const CHARTS = [
  { title: "Per second", lines: [["requests", REQUESTS, 1, "one"], ["failed", FAILURES, 1, "bad"]] },
  { title: "CPU (% of one)", lines: [["server", SERVER_CPU, 100, "one"], ["generator", GENERATOR_CPU, 100, "two"]] },
  { title: "Latency of the second (ms)", lines: [["median", P50, 0.001, "one"], ["99 %", P99, 0.001, "two"]] },
  { title: "Memory of the server (MiB)", lines: [["RSS", RSS, 1 / MIB, "one"]] },
];

const rows = new Map();
let began = null;
// "asked" for a report, which is then "making"; null when none is to be opened.
let opening = null;

const byId = (id) => document.getElementById(id);

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function number(value, digits = 0) {
  if (value === null || value === undefined) return "";
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function digitsFor(top) {
  if (top === 0) return 0;
  return top >= 20 ? 0 : top >= 2 ? 1 : top >= 0.2 ? 2 : 3;
}

// The least of 1, 2, 2.5, 5 times a power of ten that is not below the value.
function roundUp(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= value * 0.999999);
}

function clock(seconds) {
  return new Date(seconds * 1000).toLocaleTimeString();
}

// How long after something it was, or before.
function moment(seconds) {
  return `${number(Math.abs(seconds), 2)} s ${seconds < 0 ? "before" : "after"}`;
}

function draw(chart, seconds, deaths) {
  const newest = seconds[seconds.length - 1][SECOND];
  const span = Math.max(LEAST_S, newest - seconds[0][SECOND]);
  const values = seconds.flatMap((row) => chart.lines.map(([, at, factor]) => (row[at] ?? 0) * factor));
  const top = roundUp(Math.max(0, ...values));
  const right = SIZE.width - SIZE.right;
  const bottom = SIZE.height - SIZE.bottom;
  const x = (second) => right - ((newest - second) / span) * (right - SIZE.left);
  const y = (value) => bottom - (value / top) * (bottom - SIZE.top);
  const svg = shape("svg", { viewBox: `0 0 ${SIZE.width} ${SIZE.height}`, role: "img", "aria-label": chart.title });
  for (const part of [0, 0.5, 1]) {
    const level = y(top * part);
    svg.append(shape("line", { class: "grid", x1: SIZE.left, x2: right, y1: level, y2: level }));
    const label = number(top * part, digitsFor(top / 2));
    svg.append(shape("text", { x: SIZE.left - 6, y: level + 4, "text-anchor": "end" }, label));
  }
  svg.append(shape("text", { x: SIZE.left, y: SIZE.height - 5 }, `${span} s ago`));
  svg.append(shape("text", { x: right, y: SIZE.height - 5, "text-anchor": "end" }, "now"));
  for (const death of deaths.filter((each) => each > newest - span)) {
    svg.append(shape("line", { class: "death", x1: x(death), x2: x(death), y1: SIZE.top, y2: bottom }));
  }
  chart.lines.forEach(([, at, factor, look]) => {
    for (const points of runs(seconds, at)) {
      const path = points.map(([second, value]) => `${x(second).toFixed(1)},${y(value * factor).toFixed(1)}`);
      svg.append(shape("polyline", { class: look, points: path.join(" ") }));
    }
  });
  return svg;
}

// The points of a line, in pieces: where a second is missing, nothing is drawn.
function runs(seconds, at) {
  const pieces = [];
  let last = null;
  for (const row of seconds) {
    if (row[at] === null) continue;
    if (last === null || row[SECOND] > last + 1) pieces.push([]);
    pieces[pieces.length - 1].push([row[SECOND], row[at]]);
    last = row[SECOND];
  }
  return pieces;
}

function drawAll(told) {
  const newest = Math.max(...rows.keys(), 0);
  const seconds = [...rows.values()].filter((row) => row[SECOND] > newest - SHOWN_S);
  seconds.sort((one, other) => one[SECOND] - other[SECOND]);
  const deaths = told.last_restarts.map((each) => each.time);
  const known = ([, at]) => seconds.some((row) => row[at] !== null);
  byId("charts").replaceChildren(...CHARTS.filter((chart) => chart.lines.some(known)).map((chart) => {
    const figure = element("figure");
    const caption = element("figcaption", chart.title);
    for (const [name, at, factor, look] of chart.lines.filter(known)) {
      const value = seconds.findLast((row) => row[at] !== null)[at] * factor;
      caption.append(element("span", `${name} ${number(value, digitsFor(value))}`, look));
    }
    if (deaths.length) caption.append(element("span", "┊ a worker died", "death"));
    figure.append(caption, draw(chart, seconds, deaths));
    return figure;
  }));
}

function words(told) {
  const load = told.load;
  if (!load) return told.state === "starting" ? "the server is being started …" : "no load yet: choose, then press Start";
  const what = load.configuration ?? load.url;
  const state = { idle: "stopped", starting: "another server is being started …", running: "running", stopping: "stopping …" };
  return `${what}: ${state[told.state]}`;
}

function showFacts(told) {
  const load = told.load;
  const facts = [];
  if (load) {
    const rate = load.rate_per_s === null ? "closed loop" : `${number(load.rate_per_s)} arrivals/s`;
    facts.push(["load", `${load.classes.join(", ")}: ${number(load.users)} users, ${rate}`], ["address", load.url]);
    if (load.configuration) {
      const recycle = load.max_requests === null ? "never replaced" : `replaced after ${number(load.max_requests)} requests`;
      facts.push(["workers", `${load.workers}, ${recycle}`]);
      if (load.proxy !== null) facts.push(["proxy", load.proxy]);
      facts.push(["CPU per request now", told.cpu_us === null ? "not known yet" : `${number(told.cpu_us, 1)} µs`]);
    } else {
      facts.push(["server", "runs already: it is neither metered nor recorded"]);
    }
    const used = told.generator_cpu === null ? "not known yet" : `${number(told.generator_cpu * 100)} % of one CPU`;
    const processes = told.generator_processes > 1 ? `, ${told.generator_processes} processes` : "";
    facts.push(["generator", used + processes]);
    const ceiling = told.ceiling;
    facts.push(["the generator’s ceiling", ceiling === null ? "not measured for this scenario and number of users (make ceiling)" :
      `${ceiling.at_least ? "at least " : ""}${number(ceiling.requests_per_s)} requests/s (null server, ${number(ceiling.users)} users)`]);
  }
  byId("facts").replaceChildren(...facts.flatMap(([name, text]) => [element("dt", name), element("dd", text)]));
}

function showWorkers(told) {
  byId("before").hidden = told.load !== null;
  byId("metered").hidden = told.load === null || told.load.configuration === null;
  byId("workers").hidden = told.workers.length === 0;
  byId("nobody").hidden = told.workers.length > 0;
  byId("workers").tBodies[0].replaceChildren(...told.workers.map((worker) => {
    const row = element("tr");
    const memory = worker.rss_bytes === null ? null : worker.rss_bytes / MIB;
    const cells = [
      String(worker.pid), number(told.now - worker.born), number(worker.served),
      number(worker.cpu === null ? null : worker.cpu * 100), number(memory, 1),
    ];
    row.append(...cells.map((text) => element("td", text)));
    return row;
  }));
  byId("count").textContent = number(told.restarts);
  byId("restarts").hidden = told.last_restarts.length === 0;
  byId("restarts").tBodies[0].replaceChildren(...told.last_restarts.map((death) => {
    const row = element("tr");
    const gap = death.successor === null ? "not yet" : moment(death.successor - death.time);
    const losses = Object.entries(death.losses).map(([kind, count]) => `${number(count)} ${kind}`).join(", ");
    const cells = [clock(death.time), String(death.pid), death.exit_status ?? "", gap, losses || "none"];
    row.append(...cells.map((text) => element("td", text)));
    return row;
  }));
}

function showReport(told) {
  const { state, reason, possible, since } = told.report;
  byId("make").disabled = !possible || state === "making" || told.state !== "idle";
  byId("open").hidden = state !== "ready";
  byId("report").textContent = {
    none: possible ? "" : "Nothing is recorded here, so there is no report.",
    making: `The report is being made … ${number(told.now - since)} s so far`,
    ready: "",
    failed: `No report: ${reason}`,
  }[state];
  if (opening === "making" && state === "ready") location.assign("/report/report.html");
  if (opening === "making" && state === "failed") opening = null;
  if (opening === "asked" && state === "making") opening = "making";
}

function showNotices(told) {
  byId("happened").hidden = told.notices.length === 0;
  byId("notices").replaceChildren(...[...told.notices].reverse().map((notice) => {
    return element("li", `${clock(notice.time)}  ${notice.text}`, notice.kind);
  }));
}

function take(told) {
  const now = told.load ? told.load.began : null;
  if (now !== began) {
    began = now;
    rows.clear();
  }
  for (const row of told.seconds) rows.set(row[SECOND], row);
  const newest = Math.max(0, ...rows.keys());
  for (const second of rows.keys()) if (second < newest - KEPT_S) rows.delete(second);
}

function show(told) {
  byId("state").textContent = words(told);
  byId("full").hidden = !told.generator_is_full;
  showForm(told);
  showFacts(told);
  showWorkers(told);
  showReport(told);
  showNotices(told);
  drawAll(told);
}

// The last seconds are asked for again: what the server used in them is known a little later.
const AGAIN_S = 5;
// So many seconds come at once at most; then there are more.
const AT_ONCE = 60;

async function figures() {
  const newest = Math.max(0, ...rows.keys());
  const answer = await fetch(`/server/live?since=${Math.max(0, newest - AGAIN_S)}`, { redirect: "error" });
  if (!answer.ok) throw new Error(`${answer.status}`);
  return answer.json();
}

async function turn() {
  let told = null;
  try {
    told = await figures();
  } catch {
    byId("state").textContent = "the web UI does not answer: it has ended, or wants you to log in again";
  }
  if (told !== null) take(told);
  const more = told !== null && told.seconds.length >= AT_ONCE;
  setTimeout(turn, more ? 0 : 1000);
  if (told !== null && !more) show(told);
}

byId("make").addEventListener("click", async () => {
  const answer = await fetch("/server/report", { method: "POST" });
  const told = await answer.json();
  opening = answer.ok ? "asked" : null;
  byId("report").textContent = answer.ok ? "The report is being made …" : told.message;
});

document.addEventListener("DOMContentLoaded", turn);  // form.js, which it calls, is there by then
