// A dashboard live: up to an hour comes over the socket second by second, longer ranges are asked for again each step.
// At most one redraw a second, one chart a frame, only charts in view, none while hidden or paused. Zooming pauses.

import { draw as drawChart, forgetColours, makeTable } from "./charts.js"
import { clock, spell } from "./numbers.js"
import { onStatus, retryNow, subscribe, wireTopBar } from "./stream.js"

const page = JSON.parse(document.getElementById("page-data").textContent)
const POLL_MS = 10_000 // while the socket is away
const FALLBACK_AFTER = 3
const MAX_LIVE_S = 3600
const RECENT = 0.1 // of the range: a value further back is not what a line is at now
const QUERY = "/api/v1/metrics/query/"

// One source for each way of grouping; panels draw their lines from one of them.
const SOURCES = {
  version: { series: ["latency_ms", "requests"], q: [0.5, 0.95, 0.99] },
  code: { series: ["errors"] },
  worker: { series: ["device_use"] },
}
const COUNTS = /^(requests|errors)\|/ // a known second without a value means none, which is 0

let window_ = { name: page.range, start: page.start, end: page.end }
const stores = {} // by → {t0, step, n, series}
let subscriptions = []
let polling = 0
const off = new Set((new URLSearchParams(location.search).get("off") ?? "").split(",").filter(Boolean))

// --- data ---

const spanOf = () => (window_.name ? page.ranges[window_.name] : window_.end - window_.start)
const isLive = () => Boolean(window_.name)
const modelFor = (by) => (by === "worker" ? "" : page.model)

function start() {
  stop()
  if (!isLive()) fetchAll()
  else if (spanOf() > MAX_LIVE_S) {
    fetchAll()
    polling = setInterval(fetchAll, Math.max(POLL_MS, page.steps[window_.name] * 1000))
  } else {
    const step = page.steps[window_.name]
    subscriptions = Object.entries(SOURCES).map(([by, asked]) =>
      subscribe("metrics", { ...asked, by, model: modelFor(by), window: spanOf(), step }, {
        snap(message) { replace(by, message.t0, message.step, message.n, message.s) },
        delta(message) { advance(by, message) },
      }))
  }
}

function stop() {
  clearInterval(polling)
  polling = 0
  for (const subscription of subscriptions) subscription.end()
  subscriptions = []
}

async function fetchAll() {
  if (document.hidden) return
  await Promise.all(Object.entries(SOURCES).map(async ([by, asked]) => {
    const query = new URLSearchParams({ by, series: asked.series.join(",") })
    if (asked.q) query.set("q", asked.q.join(","))
    if (modelFor(by)) query.set("model", modelFor(by))
    if (isLive()) query.set("range", window_.name)
    else { query.set("start", window_.start); query.set("end", window_.end) }
    try {
      const answer = await fetch(`${QUERY}?${query}`)
      if (!answer.ok) return
      const found = await answer.json()
      replace(by, found.t0, found.step, found.points, found.series)
    } catch {
      // The banner says that the console is away; the next turn tries again.
    }
  }))
}

function replace(by, t0, step, n, series) {
  stores[by] = { t0, step, n, series }
  redraw()
}

function advance(by, { t, k, s }) {
  const store = stores[by]
  if (!store) return
  let index = Math.round((t - store.t0) / store.step)
  if (index < 0) return
  const shift = index - store.n + 1
  if (shift > 0) {
    for (const line of Object.values(store.series)) {
      line.splice(0, shift)
      while (line.length < store.n) line.push(null)
    }
    store.t0 += shift * store.step
    index = store.n - 1
  }
  for (const [name, value] of Object.entries(s)) {
    store.series[name] ??= new Array(store.n).fill(null)
    store.series[name][index] = value
  }
  if (k) for (const [name, line] of Object.entries(store.series)) if (COUNTS.test(name) && line[index] === null) line[index] = 0
  redraw()
}

// --- identity: hue and dash say which version, the panel says which quantile ---

const ORDERS = {
  one: ["c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"],
  many: ["c4", "c3", "c5", "c7", "c6", "c8", "c1", "c2"],
  code: ["c6", "c3", "c7", "c8", "c2", "c4", "c5", "c1"],
  worker: ["c4", "c5", "c3", "c7", "c6", "c8", "c1", "c2"],
}

function colourOf(group, by, groups) {
  const order = ORDERS[by === "version" ? (page.model ? "one" : "many") : by]
  const ranked = page.model && by === "version"
    ? [...groups].sort((a, b) => (page.roles[b] === "stable") - (page.roles[a] === "stable"))
    : groups
  return order[ranked.indexOf(group) % order.length]
}

function nameOf(group, by) {
  if (by === "worker") return group
  const [model, last] = [group.slice(0, group.lastIndexOf("/")), group.slice(group.lastIndexOf("/") + 1)]
  const word = by === "code" ? last.replaceAll("_", " ") : last === "0" ? "refused" : `v${last}`
  return page.model ? word : `${model} ${word}`
}

const groupsOf = (by) => {
  const names = Object.keys(stores[by]?.series ?? {}).map((name) => name.split("|")[1])
  return [...new Set(names)].sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
}

const isoOf = (seconds) => new Date(seconds * 1000).toISOString()
const marks = []

function pictureOf(panel) {
  const store = stores[panel.by]
  const groups = groupsOf(panel.by)
  const x = Array.from({ length: store.n }, (_, index) => isoOf(store.t0 + index * store.step))
  const end = store.t0 + store.n * store.step
  const lines = groups.filter((group) => store.series[`${panel.lines}|${group}`]).map((group) => {
    const y = store.series[`${panel.lines}|${group}`]
    const lonely = y.filter((value) => value !== null).length <= store.n / 10
    return { group, name: nameOf(group, panel.by), y, lonely, colour: colourOf(group, panel.by, groups), shown: !off.has(group) }
  })
  return {
    x, lines, spanS: store.n * store.step, range: [isoOf(store.t0), isoOf(end - store.step)],
    marks: marks.filter(({ t }) => t >= store.t0 && t <= end).map(({ t, text }) => ({ at: isoOf(t), text })),
  }
}

// --- drawing ---

const panels = [...document.querySelectorAll("[data-panel]")].map((card) => ({
  card, plot: card.querySelector(".plot"), ...page.panels.find((panel) => panel.id === card.dataset.panel), seen: false,
}))
const dirty = new Set()
let frame = 0
let drawnAt = 0

const sight = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const panel = panels.find(({ card }) => card === entry.target)
    panel.seen = entry.isIntersecting
    if (panel.seen) { dirty.add(panel); pump() }
  }
}, { rootMargin: "120px" })
for (const { card } of panels) sight.observe(card)

let soon = 0

/** All charts need drawing; sources arrive one after the other, so wait for those of this second. */
function redraw() {
  for (const panel of panels) dirty.add(panel)
  if (soon) return
  soon = setTimeout(() => { soon = 0; pump() }, Math.max(60, 900 - (performance.now() - drawnAt)))
}

function pump() {
  if (frame || document.hidden) return
  frame = requestAnimationFrame(async () => {
    const panel = panels.find((one) => dirty.has(one) && one.seen && stores[one.by])
    if (panel) {
      dirty.delete(panel)
      drawnAt = performance.now()
      await drawPanel(panel).catch((error) => { panel.plot.textContent = error.message })
    } else showAround()
    frame = 0
    if (panel) pump()
  })
}

async function drawPanel(panel) {
  const picture = pictureOf(panel)
  showSaid(panel, picture)
  panel.picture = picture
  if (panel.table) {
    panel.table.replaceChildren(makeTable(panel, { ...picture, lines: picture.lines.filter((line) => line.shown) }))
    return
  }
  const first = await drawChart(panel.plot, panel, { ...picture, lines: picture.lines.filter((line) => line.shown) })
  if (first) panel.plot.on("plotly_relayout", zoomed)
}

// Text around the charts: what a line is at now, in words that a screen reader gets too.
function showSaid(panel, picture) {
  const place = panel.card.querySelector("[data-said]")
  const said = picture.lines.map((line) => {
    const at = line.y.findLastIndex((value) => value !== null)
    const recent = at >= 0 && at >= line.y.length * (1 - RECENT)
    return { ...line, text: recent ? `${spell(line.y[at])} ${panel.unit}` : "no data now" }
  })
  showButtons(place, said)
  panel.plot.setAttribute("aria-label", `${panel.title}: ${said.map((line) => `${line.name} at ${line.text}`).join(", ") || "no data"}`)
}

function showButtons(place, lines) {
  const shape = lines.map((line) => `${line.group}${line.colour}`).join()
  if (place.dataset.shape !== shape) {
    place.dataset.shape = shape
    place.replaceChildren(...lines.map(makeButton))
  }
  lines.forEach((line, index) => {
    const button = place.children[index]
    button.setAttribute("aria-pressed", line.shown)
    const value = button.querySelector("b")
    if (value.textContent !== line.text) value.textContent = line.text
  })
}

function makeButton(line) {
  const button = document.createElement("button")
  button.type = "button"
  button.dataset.group = line.group
  button.title = "Show or hide"
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  svg.setAttribute("class", `key x${line.colour.slice(1)}`)
  svg.setAttribute("aria-hidden", "true")
  const stroke = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "line"))
  for (const [name, value] of Object.entries({ x1: 0, x2: 22, y1: 5, y2: 5 })) stroke.setAttribute(name, value)
  button.append(svg, line.name, document.createElement("b"))
  return button
}

function showAround() {
  const versions = stores.version
  if (!versions) return
  const any = Object.values(versions.series).some((line) => line.some((value) => value))
  document.getElementById("empty").hidden = any
  const end = versions.t0 + versions.n * versions.step
  document.getElementById("range-said").textContent = `${clock(versions.t0).slice(0, -4)} to ${clock(Math.min(end, Date.now() / 1000))}`
}

// --- what people do ---

document.addEventListener("click", (event) => {
  const legend = event.target.closest(".legend button[data-group]")
  if (legend) return toggle(legend.dataset.group)
  const panel = panels.find(({ card }) => card.contains(event.target))
  if (!panel) return
  if (event.target.closest("[data-table]")) showTable(panel)
  if (event.target.closest("[data-full]")) fullScreen(panel.card)
})

function toggle(group) {
  if (!off.delete(group)) off.add(group)
  const url = new URL(location)
  if (off.size) url.searchParams.set("off", [...off].join(","))
  else url.searchParams.delete("off")
  history.replaceState(null, "", url)
  for (const panel of panels) dirty.add(panel)
  pump()
}

function showTable(panel) {
  const button = panel.card.querySelector("[data-table]")
  if (panel.table) {
    panel.table.remove()
    panel.table = null
  } else {
    panel.table = document.createElement("div")
    panel.table.className = `plot ${panel.size} table-wrap`
    panel.table.tabIndex = 0
    panel.table.setAttribute("role", "region")
    panel.table.setAttribute("aria-label", `${panel.title} as table`)
    panel.plot.after(panel.table)
  }
  panel.plot.hidden = Boolean(panel.table)
  button.setAttribute("aria-label", `View ${panel.title} as ${panel.table ? "chart" : "table"}`)
  dirty.add(panel)
  pump()
}

async function fullScreen(card) {
  if (document.fullscreenElement) await document.exitFullscreen()
  else await card.requestFullscreen()
  window.dispatchEvent(new Event("resize"))
}

// Zooming chooses an absolute range: that pauses, for every panel, and is in the address.
function zoomed(change) {
  const from = Date.parse(`${change["xaxis.range[0]"]}Z`) / 1000
  const to = Date.parse(`${change["xaxis.range[1]"]}Z`) / 1000
  if (!(to - from >= 5)) return
  setWindow({ name: "", start: Math.floor(from), end: Math.ceil(to) + 1 })
}

let relative = page.range || "15m"

function setWindow(next) {
  if (window_.name) relative = window_.name
  window_ = next
  const url = new URL(location)
  for (const name of ["range", "start", "end"]) url.searchParams.delete(name)
  if (isLive()) url.searchParams.set("range", window_.name)
  else { url.searchParams.set("start", window_.start); url.searchParams.set("end", window_.end) }
  history.pushState(null, "", url)
  showWindow()
  start()
}

function showWindow() {
  topBar.show(!isLive())
  for (const link of document.querySelectorAll("[data-range]")) {
    if (link.dataset.range === window_.name) link.setAttribute("aria-current", "true")
    else link.removeAttribute("aria-current")
  }
  for (const link of document.querySelectorAll("[data-csv]")) {
    const url = new URL(link.href)
    for (const name of ["range", "start", "end"]) url.searchParams.delete(name)
    if (isLive()) url.searchParams.set("range", window_.name)
    else { url.searchParams.set("start", window_.start); url.searchParams.set("end", window_.end) }
    link.href = url
  }
}
addEventListener("popstate", () => location.reload())

const topBar = wireTopBar({
  onPause() {
    const end = Math.floor(Date.now() / 1000)
    setWindow({ name: "", start: end - spanOf(), end })
  },
  onResume() { setWindow({ name: relative, start: 0, end: 0 }) },
})

function recolour() {
  forgetColours()
  for (const panel of panels) dirty.add(panel)
  pump()
}
document.documentElement.addEventListener("themechange", recolour)
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour)
document.addEventListener("visibilitychange", () => { if (!document.hidden) { if (polling) fetchAll(); pump() } })

// --- events are thin marks on every chart ---

const MARKED = { "version.ready": "ready", "worker.lost": "lost", "worker.failed": "failed", "controller.adopted": "adopted" }

function mark(event) {
  if (!(event.type in MARKED)) return
  marks.push({ t: Date.parse(event.at) / 1000, text: `${event.subject.slice(0, 24)} ${MARKED[event.type]}` })
  if (marks.length > 100) marks.shift()
}
subscribe("events", null, {
  snap({ rows }) { marks.length = 0; rows.toReversed().forEach(mark); redraw() },
  event: mark,
})

// --- connection: kept and dimmed, never zeroed; after three failed tries the numbers are asked for instead ---

const banner = document.getElementById("away")
banner.querySelector("[data-retry]").addEventListener("click", retryNow)
let fallback = 0

onStatus(({ state, tries, through }) => {
  const away = isLive() && (state === "away" || state === "stale") && spanOf() <= MAX_LIVE_S
  banner.hidden = !away
  for (const { plot } of panels) plot.classList.toggle("stale", away)
  if (away) {
    const asOf = through ? `data as of ${clock(through)}` : "nothing was heard yet"
    banner.querySelector("[data-title]").textContent = state === "away" ? `Reconnecting, ${asOf}` : `No news, ${asOf}`
    banner.querySelector("[data-why]").textContent = state === "stale"
      ? "The monitor is silent. Serving goes on without it."
      : tries >= FALLBACK_AFTER ? "The live stream cannot be reached; numbers are asked for every 10 s instead." : `Try ${tries}. Values are kept and dimmed, never zeroed.`
  }
  const wanted = away && state === "away" && tries >= FALLBACK_AFTER
  if (wanted && !fallback) { fetchAll(); fallback = setInterval(fetchAll, POLL_MS) }
  if (!wanted && fallback) { clearInterval(fallback); fallback = 0 }
})

showWindow()
start()
