// The overview live: tiles, workers, models and events, from two subscriptions. The server drew the first picture.

import { clock, drawSpark, spell, spellChange } from "./numbers.js"
import { onStatus, retryNow, status, subscribe, wireTopBar } from "./stream.js"

const POINTS = 60
const MAX_EVENTS = 10
const shape = document.getElementById("event").content.querySelector("svg")
const sprite = shape.firstElementChild.getAttribute("href").split("#")[0]

let state = {}
let lines = { start: 0, step: 15 }

function icon(name, tone = "") {
  const svg = shape.cloneNode(true)
  svg.setAttribute("class", `i ${tone}`.trim())
  svg.firstElementChild.setAttribute("href", `${sprite}#${name}`)
  return svg
}

// --- tiles ---

function drawTile(tile) {
  const key = tile.dataset.tile
  const value = state[key]
  const number = tile.querySelector("[data-v]")
  number.textContent = value == null ? "–" : spell(value)
  number.classList.toggle("faint", value == null)
  if (key === "use" && state["use.kind"]) tile.querySelector(".k").textContent = `${state["use.kind"]} use`
  if (key === "ready") tile.querySelector("[data-u]").textContent = state.workers == null ? "" : `of ${state.workers}`
  drawChange(tile.querySelector("[data-d]"), key, value)
  if (!lines[key]) return
  const spark = drawSpark(lines[key], key === "use" ? 100 : 0)
  const [fill, line] = tile.querySelectorAll(".spark path")
  fill.setAttribute("d", spark.fill)
  line.setAttribute("d", spark.line)
}

function drawChange(place, key, value) {
  const change = spellChange(key, value, state[`${key}.was`])
  const words = document.createElement("span")
  if (change) words.textContent = change.text
  else if (key === "in_flight" && state.waiting != null) words.textContent = `${state.waiting} waiting`
  else if (key === "ready" && value != null) words.textContent = value === state.workers ? "all of them" : `${state.workers - value} not ready`
  else words.textContent = value == null ? "not known yet" : "no figure 5 min ago"
  if (place.textContent === words.textContent) return
  place.replaceChildren(...(change ? [icon(change.icon, change.good ? "ok" : "")] : []), words)
}

function advanceLines() {
  const newest = state.point_t
  if (!newest) return
  const names = Object.keys(lines).filter((name) => Array.isArray(lines[name]))
  let end = lines.start + (POINTS - 1) * lines.step
  for (; end < newest; end += lines.step) {
    for (const name of names) { lines[name].shift(); lines[name].push(null) }
    lines.start += lines.step
  }
  for (const name of names) lines[name][POINTS - 1] = state[`${name}.point`] ?? null
}

// --- workers and models ---

const LOOKS = {
  ready: ["check", "ok"], draining: ["drain", "warn"], failed: ["bad", "bad"], lost: ["bad", "bad"], stopped: ["stop", "muted"],
}

function drawWorker(box) {
  const figure = (name) => state[`w|${box.dataset.worker}|${name}`]
  const known = figure("state")
  if (known === undefined) return
  const place = box.querySelector("[data-state]")
  if (place.dataset.state !== known) {
    const [name, tone] = LOOKS[known] ?? ["hourglass", "info"]
    const words = document.createElement("span")
    words.className = `row sm nowrap ${tone}`
    words.append(icon(name), known)
    place.replaceChildren(words)
    place.dataset.state = known
  }
  const use = figure("use")
  box.querySelector("[data-use]").textContent = use == null ? "–" : `${use}%`
  box.querySelector("[data-bar]").setAttribute("width", `${use ?? 0}%`)
  box.querySelector("[data-flight]").textContent = figure("in_flight")
}

function drawModel(row) {
  for (const cell of row.querySelectorAll("[data-m]")) {
    const figure = state[`m|${row.dataset.model}|${cell.dataset.m}`]
    // Gateways report, and nobody called it: a real 0.
    const value = figure ?? (cell.dataset.m === "requests" && state.gateways ? 0 : null)
    const unit = document.createElement("span")
    unit.className = "u"
    unit.textContent = cell.dataset.unit
    const dash = document.createElement("span")
    dash.className = "faint"
    dash.textContent = "–"
    cell.replaceChildren(...(value == null ? [dash] : [spell(value), unit]))
  }
}

// A worker that came or went changes the page's structure: the server draws it.
function structureChanged() {
  const shown = new Set([...document.querySelectorAll("[data-worker]")].map((box) => box.dataset.worker))
  const live = new Set(Object.keys(state).filter((key) => key.startsWith("w|")).map((key) => key.split("|")[1]))
  return shown.size !== live.size || [...live].some((name) => !shown.has(name))
}

let redrawn = 0

async function redrawStructure() {
  if (Date.now() - redrawn < 2000) return
  redrawn = Date.now()
  const answer = await fetch(location.href)
  if (!answer.ok || answer.redirected) return
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html")
  for (const id of ["workers", "serving", "first-steps"]) {
    const [old, made] = [document.getElementById(id), fresh.getElementById(id)]
    if (old && made && !old.contains(document.activeElement)) old.replaceWith(made)
  }
}

// --- draw: at most once a second, by frame, never while hidden ---

let waiting = false

function draw() {
  if (waiting || document.hidden) return
  waiting = true
  requestAnimationFrame(() => {
    waiting = false
    document.querySelectorAll("[data-tile]").forEach(drawTile)
    document.querySelectorAll("[data-worker]").forEach(drawWorker)
    document.querySelectorAll("tr[data-model]").forEach(drawModel)
    const asOf = document.querySelector("#as-of")
    if (asOf && status.through) asOf.textContent = clock(status.through)
    if (structureChanged()) redrawStructure()
  })
}

const overview = subscribe("overview", null, {
  snap(message) {
    state = message.s
    lines = message.lines
    if (Object.keys(state).length) draw()
  },
  delta(message) {
    Object.assign(state, message.s)
    for (const key of message.gone ?? []) delete state[key]
    advanceLines()
    draw()
  },
})

// --- events ---

const TONES = { ok: "check", warn: "warn", bad: "bad" }
const KINDS = { worker: "chip", version: "model", controller: "retry", gateway: "bolt" }

function addEvent(event) {
  const line = document.createElement("li")
  const { level, message } = event.data
  const time = document.createElement("time")
  time.dateTime = event.at
  time.dataset.ago = ""
  time.title = event.at
  time.textContent = "now"
  const title = document.createElement("strong")
  const words = event.type.replace(/[._]/g, " ")
  title.textContent = words[0].toUpperCase() + words.slice(1)
  const text = document.createElement("p")
  text.textContent = message
  line.append(icon(TONES[level] ?? KINDS[event.type.split(".")[0]] ?? "info", TONES[level] ? level : "muted"), time, title, text)
  const list = document.getElementById("events")
  list.prepend(line)
  while (list.children.length > MAX_EVENTS) list.lastElementChild.remove()
  document.getElementById("no-events")?.remove()
}

const events = subscribe("events", null, { event: addEvent })

// --- connection ---

const banner = document.getElementById("away")
const tiles = document.getElementById("tiles")
const WHY = {
  stale: "The monitor is silent, so nothing newer is known. Serving goes on without it.",
  away: "The console does not answer. Values are kept, not zeroed; serving goes on without it.",
  refused: "Your account may no longer look at this page.",
}

onStatus(({ state: connection, through }) => {
  const why = WHY[connection]
  const first = connection === "connecting"
  if (first) return // what the server said stays
  banner.hidden = !why
  tiles.classList.toggle("stale", Boolean(why))
  if (!why) return
  banner.querySelector("strong").textContent = connection === "away" && through
    ? `Reconnecting, data as of ${clock(through)}`
    : through ? `Numbers as of ${clock(through)}` : "No numbers yet"
  banner.querySelector("[data-why]").textContent = why
  banner.querySelector("[data-retry]").hidden = connection !== "away"
})
banner.querySelector("[data-retry]").addEventListener("click", retryNow)

wireTopBar({
  onPause() { overview.pause(); events.pause() },
  onResume() { overview.resume(); events.resume() },
})
