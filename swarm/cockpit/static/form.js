"use strict";
// The form of the Server page: what is served, how it is loaded, Start and Stop. It sends what Locust's own form
// sends, to the same addresses, so the same checks decide. server.js is loaded first; it calls `showForm` with the
// figures of each second.

const MOST_MIXED = 5;
const STATES_WITH_A_LOAD = ["starting", "running", "stopping"];

let offer = null;
// The load whose fields the form has: when it began, and its number of users.
let filled = { began: null, users: null };
// The refusal of what was ordered last, when the last notice before that order came, and the latest figures.
let refusal = "";
let heardUntil = 0;
let latest = null;
let waiting = false;

function option(value, text, disabled) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  made.disabled = disabled;
  return made;
}

function chosenConfiguration() {
  return offer.configurations.find((each) => each.name === byId("configuration").value);
}

function mixed() {
  return [...document.querySelectorAll("#mix input:checked:not(:disabled)")].map((each) => each.value);
}

// Put in what is offered: once, when the page opens.
function fillOffer() {
  for (const each of offer.configurations) {
    const text = each.unavailable === null ? each.name : `${each.name} (unavailable: ${each.unavailable})`;
    byId("configuration").append(option(each.name, text, each.unavailable !== null));
  }
  for (const label of offer.scenarios) {
    const disabled = label in offer.unavailable;
    byId("scenario").append(option(label, label, disabled));
    const box = document.createElement("input");
    box.type = "checkbox";
    box.value = label;
    const line = document.createElement("label");
    line.append(box, label);
    byId("mix").append(line);
  }
  for (const kind of offer.proxies) byId("proxy").append(option(kind, kind, false));
  byId("ways").hidden = offer.proxies.length === 0;
  byId("users").max = offer.most_users;
  byId("more").hidden = offer.scenarios.length < 2;
  if (offer.target !== null) {
    for (const part of document.querySelectorAll(".of-server")) part.remove();
    byId("target").textContent = `${offer.target} runs already: it is neither started, metered nor recorded.`;
    byId("target").hidden = false;
  }
  byId("window").textContent = `The measurement begins ${offer.warmup_s} s after the last change of users and ends at Stop.`;
  fillLoad(offer.first);
}

// Have the form say what a load is, or what is proposed at first.
function fillLoad(load) {
  if (offer.target === null) {
    byId("configuration").value = load.configuration ?? "";
    byId("server-workers").value = load.workers;
    byId("recycle").value = load.max_requests ?? "";
    byId("proxy").value = load.proxy ?? "none";
  }
  const [first, ...rest] = load.classes;
  byId("scenario").value = first ?? "";
  for (const box of document.querySelectorAll("#mix input")) box.checked = rest.includes(box.value);
  byId("more").open = rest.length > 0;
  byId("users").value = load.users;
  byId("ramp").value = load.spawn_rate;
  byId("arrivals").value = load.rate_per_s ?? "";
  byId("time").value = load.run_time_s === null ? "" : `${load.run_time_s}s`;
  followChoices();
}

// What one field says of others: bounds, hints, what cannot be chosen.
function followChoices() {
  const configuration = offer.target === null ? chosenConfiguration() : undefined;
  if (configuration !== undefined) {
    byId("summary").textContent = configuration.summary;
    byId("server-workers").max = configuration.most_workers;
    byId("server-workers").readOnly = configuration.most_workers === 1;
    if (configuration.most_workers === 1) byId("server-workers").value = 1;
    const replaces = configuration.recycles === "requests";
    byId("recycle").disabled = !replaces;
    if (!replaces) byId("recycle").value = "";
    byId("recycle").placeholder = replaces ? "never" : "";
    byId("recycle-hint").textContent =
      replaces ? "requests" : configuration.recycles === "memory" ? "this one does so by memory only" : "this one cannot";
  }
  const several = mixed().length + 1 >= MOST_MIXED;
  for (const box of document.querySelectorAll("#mix input")) {
    box.disabled = box.value === byId("scenario").value || box.value in offer.unavailable || (several && !box.checked);
  }
}

function showForm(told) {
  latest = told;
  if (offer === null) return;
  const load = told.load;
  const isOn = STATES_WITH_A_LOAD.includes(told.state);
  if (load && isOn && (load.began !== filled.began || load.users !== filled.users)) {
    if (load.began !== filled.began) fillLoad(load);
    else if (document.activeElement !== byId("users")) byId("users").value = load.users;
    filled = { began: load.began, users: load.users };
  }
  const isRunning = told.state === "running";
  byId("served").disabled = isOn || waiting;
  for (const id of ["scenario", "arrivals", "time"]) byId(id).disabled = isOn || waiting;
  byId("mix").inert = isOn || waiting;
  for (const id of ["users", "ramp"]) byId(id).disabled = waiting || (isOn && !isRunning);
  byId("start").textContent = isRunning ? "Change users" : waiting || told.state === "starting" ? "Starting …" : "Start";
  enable("start", !waiting && (isRunning || told.state === "idle"));
  enable("stop", isRunning);
  showOutcome(told);
}

// A button that cannot be pressed keeps the focus, which a disabled one would lose.
function enable(id, isEnabled) {
  byId(id).setAttribute("aria-disabled", String(!isEnabled));
}

const isEnabled = (id) => byId(id).getAttribute("aria-disabled") !== "true";

// What came of it, where one looks: the refusal, or else the newest notice.
function showOutcome(told) {
  const newest = told.notices.at(-1);
  heardUntil = Math.max(heardUntil, told.load ? told.load.began : 0);
  const notice = newest && newest.time > heardUntil ? newest : null;
  const problem = refusal || (notice && notice.kind === "error" ? notice.text : "");
  say("problem", problem);
  say("outcome", problem === "" && notice ? notice.text : "");
}

// Screen readers hear of a change only: the same text is not put in again.
function say(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
  byId(id).hidden = text === "";
}

async function post(path, fields) {
  const answer = await fetch(path, { method: "POST", body: new URLSearchParams(fields), redirect: "error" });
  return answer.json();
}

function startFields() {
  const fields = [["user_classes", byId("scenario").value], ...mixed().map((label) => ["user_classes", label])];
  const ids = ["users", "ramp", "arrivals", "time"];
  if (offer.target === null) ids.push("configuration", "server-workers", "recycle", "proxy");
  for (const id of ids) fields.push([byId(id).name, byId(id).value]);
  return fields;
}

async function order(path, fields) {
  refusal = "";
  heardUntil = latest?.notices.at(-1)?.time ?? 0;
  say("problem", "");
  say("outcome", "");
  try {
    const told = await post(path, fields);
    if (told.success === false) refusal = told.message;
  } catch {
    refusal = "The web UI did not answer: it has ended, or wants you to log in again.";
  }
  say("problem", refusal);
}

byId("load").addEventListener("submit", async (event) => {
  event.preventDefault();
  if (offer === null || !isEnabled("start")) return;
  const isChange = isEnabled("stop");
  const fields = isChange ? [["user_count", byId("users").value], ["spawn_rate", byId("ramp").value]] : startFields();
  waiting = true;
  byId("start").focus();
  enable("start", false);
  if (!isChange) byId("start").textContent = "Starting …";
  await order("/swarm", fields);
  waiting = false;
  // Nothing has changed by a refusal; what an order has changed the next figures tell.
  if (refusal) showForm(latest);
});

byId("stop").addEventListener("click", async () => {
  if (!isEnabled("stop")) return;
  enable("stop", false);
  await order("/stop", []);
});

byId("load").addEventListener("change", () => {
  if (offer !== null) followChoices();
});

async function loadOffer() {
  try {
    offer = await (await fetch("/server/offer", { redirect: "error" })).json();
  } catch {
    setTimeout(loadOffer, 1000);
    return;
  }
  fillOffer();
}

loadOffer();
