// The frame of every page: theme, rail, palette, keys, dialogs, copy, toasts. Pages work without it.

const root = document.documentElement

// --- theme and rail: the server renders both, so the first byte is right; here they change without a reload ---

async function chooseTheme(form, value) {
  if (value === "system") delete root.dataset.theme
  else root.dataset.theme = value
  for (const button of form.querySelectorAll("[name=theme]")) button.setAttribute("aria-pressed", button.value === value)
  root.dispatchEvent(new CustomEvent("themechange"))
  const body = new FormData(form)
  body.set("theme", value)
  const answer = await fetch(form.action, { method: "POST", body, headers: { "HX-Request": "true" } })
  if (!answer.ok) toast("The theme was not saved; it lasts until the page is left.", "error")
}

function foldRail() {
  const icons = root.dataset.rail !== "icons"
  if (icons) root.dataset.rail = "icons"
  else delete root.dataset.rail
  document.cookie = `rail=${icons ? "icons" : "full"};path=/;max-age=31536000;samesite=lax`
}

// --- toasts ---

const TOAST_MS = 8000

/** Say something in the corner; `undo` adds a button that calls it. Errors stay until dismissed. */
export function toast(text, level = "success", undo = null) {
  const box = document.createElement("div")
  box.className = `toast ${level}`
  const words = document.createElement("span")
  words.textContent = text
  const button = document.createElement("button")
  button.type = "button"
  button.textContent = undo ? "Undo" : "Dismiss"
  button.addEventListener("click", () => { box.remove(); undo?.() })
  box.append(words, button)
  document.getElementById("toasts").append(box)
  expire(box)
}

function expire(box) {
  if (box.classList.contains("error")) return
  let timer = setTimeout(() => box.remove(), TOAST_MS)
  box.addEventListener("pointerenter", () => clearTimeout(timer))
  box.addEventListener("focusin", () => clearTimeout(timer))
  box.addEventListener("pointerleave", () => { timer = setTimeout(() => box.remove(), TOAST_MS) })
}

// --- copy ---

async function copy(button) {
  const source = button.dataset.copy
    ? document.getElementById(button.dataset.copy)
    : button.parentElement.querySelector("pre, code")
  const text = source.value ?? source.textContent
  try {
    await navigator.clipboard.writeText(text)
  } catch {
    // No clipboard outside a secure context: select it, so that one key copies.
    getSelection().selectAllChildren(source)
    toast("Selected. Press Ctrl C to copy.")
    return
  }
  const label = button.getAttribute("aria-label")
  button.setAttribute("aria-label", "Copied")
  button.classList.add("done")
  setTimeout(() => { button.setAttribute("aria-label", label); button.classList.remove("done") }, 1500)
}

// --- clicks: one listener, actions by name ---

const actions = {
  fold: foldRail,
  palette: openPalette,
  keys: () => document.getElementById("keys").showModal(),
  close(button) {
    const dialog = button.closest("dialog")
    if (dialog) dialog.close()
    else location.assign(button.href)
  },
  dismiss: (button) => button.closest(".toast").remove(),
  copy,
  press(button) {
    for (const other of button.parentElement.children) other.setAttribute("aria-pressed", other === button)
    const group = button.dataset.shows && button.closest("[data-panels]")
    for (const panel of group?.querySelectorAll("[data-panel]") ?? []) panel.hidden = panel.id !== button.dataset.shows
  },
}

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open]")
  const dialog = opener && document.getElementById(opener.dataset.open)
  if (dialog) {
    event.preventDefault()
    dialog.showModal()
    return
  }
  const link = event.target.closest("a[data-dialog]")
  if (link && !event.ctrlKey && !event.metaKey) {
    event.preventDefault()
    showQuestion(link)
    return
  }
  const button = event.target.closest("[data-do]")
  const action = button && button.tagName !== "FORM" && actions[button.dataset.do]
  if (action) {
    event.preventDefault()
    action(button)
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target) || event.target.closest(".item")) menu.open = false
  }
})

// A question (`a[data-dialog]`) is a page of its own; here its form is shown in a dialog instead.
async function showQuestion(link) {
  const answer = await fetch(link.href, { headers: { "HX-Request": "true" } })
  if (!answer.ok || answer.redirected) {
    location.assign(link.href)
    return
  }
  const dialog = document.getElementById("dialog")
  dialog.innerHTML = await answer.text()
  dialog.showModal()
}

document.addEventListener("submit", (event) => {
  if (event.target.dataset.do === "theme") {
    event.preventDefault()
    chooseTheme(event.target, event.submitter.value)
  }
})

// --- palette ---

const palette = document.getElementById("palette")
const box = palette?.querySelector("input")
const list = document.getElementById("palette-list")
let asked = 0

function openPalette() {
  if (!palette || palette.open) return
  palette.showModal()
  box.value = ""
  box.focus()
  search()
}

async function search() {
  const mine = ++asked
  const url = new URL(box.dataset.source, location)
  url.searchParams.set("q", box.value)
  const answer = await fetch(url, { headers: { "HX-Request": "true" } })
  if (mine !== asked) return // a later key has asked again
  list.innerHTML = answer.ok ? await answer.text() : ""
  select(0)
}

function options() {
  return [...list.querySelectorAll("[role=option]")]
}

function select(index) {
  const all = options()
  all.forEach((option, at) => option.setAttribute("aria-selected", at === index))
  const chosen = all[index]
  if (chosen) {
    box.setAttribute("aria-activedescendant", chosen.id)
    chosen.scrollIntoView({ block: "nearest" })
  } else box.removeAttribute("aria-activedescendant")
}

box?.addEventListener("input", search)
box?.addEventListener("keydown", (event) => {
  const all = options()
  const now = all.findIndex((option) => option.getAttribute("aria-selected") === "true")
  if (event.key === "ArrowDown") select((now + 1) % all.length)
  else if (event.key === "ArrowUp") select((now - 1 + all.length) % all.length)
  else if (event.key === "Enter" && all[now]) location.assign(all[now].href)
  else return
  event.preventDefault()
})

// --- keys ---

const typing = (target) => target.closest?.("input, textarea, select, [contenteditable]")
let leader = 0 // when `g` was pressed

document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault()
    openPalette()
    return
  }
  if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
    const form = event.target.closest?.("form[data-ctrl-enter]") ?? document.querySelector("form[data-ctrl-enter]")
    form?.requestSubmit()
    return
  }
  if (root.dataset.shortcuts !== "on" || event.ctrlKey || event.metaKey || event.altKey) return
  if (typing(event.target) || document.querySelector("dialog[open]")) return
  if (leader && event.timeStamp - leader < 1200) {
    leader = 0
    const page = document.querySelector(`.rail a[data-key="${CSS.escape(event.key.toLowerCase())}"]`)
    if (page) location.assign(page.href)
  } else if (event.key === "g") leader = event.timeStamp
  else if (event.key === "?") actions.keys()
  else if (event.key === "/") {
    const field = document.querySelector("main input[type=search]")
    if (field) { event.preventDefault(); field.focus() }
  }
})

// --- start ---

for (const message of document.querySelectorAll("#toasts .toast")) expire(message)
document.addEventListener("htmx:responseError", (event) => {
  toast(`The console answered ${event.detail.xhr.status}. Nothing was changed.`, "error")
})
document.addEventListener("htmx:sendError", () => toast("The console cannot be reached.", "error"))

// --- parts that stay fresh: `[data-refresh=2]` is fetched again every 2 s while the page is seen and not paused ---

const paused = () => document.hidden || document.getElementById("live")?.getAttribute("aria-pressed") === "true"
let refreshing = false

async function refresh() {
  const parts = [...document.querySelectorAll("[data-refresh][id]")]
  const due = parts.filter((part) => Date.now() - (Number(part.dataset.at) || started) >= part.dataset.refresh * 1000)
  if (!due.length || refreshing || paused() || document.querySelector("dialog[open]")) return
  refreshing = true
  try {
    const answer = await fetch(location.href)
    if (!answer.ok || answer.redirected) throw new Error(`status ${answer.status}`)
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html")
    for (const part of due) replacePart(part, fresh.getElementById(part.id))
  } catch {
    for (const part of due) part.classList.add("stale")
  } finally {
    for (const part of due) part.dataset.at = Date.now()
    refreshing = false
  }
}

function replacePart(part, fresh) {
  const busy = part.contains(document.activeElement) || part.querySelector("details[open]")
  if (!fresh || busy) return
  part.classList.remove("stale")
  part.replaceChildren(...fresh.childNodes)
  for (const name of ["class", "data-refresh"]) {
    if (fresh.hasAttribute(name)) part.setAttribute(name, fresh.getAttribute(name))
    else part.removeAttribute(name)
  }
}

const started = Date.now()
setInterval(refresh, 500)
document.addEventListener("visibilitychange", refresh)

// `3 s ago` keeps counting while the page is seen; the exact time is in the tooltip.
const AGES = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "d"]]

function spellAge(seconds) {
  const [, divisor, unit] = AGES.find(([limit]) => seconds < limit)
  return `${Math.floor(seconds / divisor)} ${unit} ago`
}

setInterval(() => {
  if (document.hidden) return
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const seconds = (Date.now() - Date.parse(time.dateTime)) / 1000
    if (seconds >= 0) time.textContent = spellAge(seconds)
  }
}, 1000)
