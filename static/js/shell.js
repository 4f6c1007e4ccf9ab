// The frame of every page: theme, rail, palette, keys, dialogs, copy, toasts. Pages work without it.

const root = document.documentElement

// --- theme and rail: the server renders both, so the first byte is right; here they change without a reload ---

function showTheme(form, value) {
  if (value === "system") delete root.dataset.theme
  else root.dataset.theme = value
  for (const button of form.querySelectorAll("[name=theme]")) button.setAttribute("aria-pressed", button.value === value)
  root.dispatchEvent(new CustomEvent("themechange"))
}

document.addEventListener("submit", (event) => {
  if ("themeForm" in event.target.dataset) showTheme(event.target, event.submitter.value)
})

function foldRail() {
  const icons = root.dataset.rail !== "icons"
  if (icons) root.dataset.rail = "icons"
  else delete root.dataset.rail
  document.cookie = `rail=${icons ? "icons" : "full"};path=/;max-age=31536000;samesite=lax`
}

// --- toasts ---

const TOAST_MS = 10_000 // as long as an act can be undone from it

/** Say something in the corner. Errors stay until dismissed. */
export function toast(text, level = "success") {
  const box = document.createElement("div")
  box.className = `toast ${level}`
  const words = document.createElement("span")
  words.textContent = text
  const button = document.createElement("button")
  button.type = "button"
  button.textContent = "Dismiss"
  button.addEventListener("click", () => box.remove())
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
  const button = event.target.closest("[data-do]")
  const action = actions[button?.dataset.do]
  if (action) {
    event.preventDefault()
    action(button)
  }
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target) || event.target.closest(".item")) menu.open = false
  }
})

// A question is a page of its own; htmx puts its form into the dialog instead.
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id === "dialog") event.detail.target.showModal()
  if (event.detail.target.id === "palette-list") select(0)
})

// --- palette ---

const palette = document.getElementById("palette")
const box = palette?.querySelector("input")
const list = document.getElementById("palette-list")
function openPalette() {
  if (!palette || palette.open) return
  palette.showModal()
  box.value = ""
  box.focus()
  box.dispatchEvent(new Event("open"))
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
// --- parts that stay fresh (`data-live`): held back while hidden, paused, or in use; dimmed when no news comes ---

const paused = () => document.hidden || document.getElementById("live")?.getAttribute("aria-pressed") === "true"
const busy = (part) => part.contains(document.activeElement) || part.querySelector("details[open]") || document.querySelector("dialog[open]")

document.addEventListener("htmx:beforeRequest", (event) => {
  const part = event.detail.elt
  if ("live" in part.dataset && (paused() || busy(part))) event.preventDefault()
})
document.addEventListener("htmx:beforeSwap", (event) => {
  // Clicked into meanwhile: what is there stays, the next one comes soon.
  if ("live" in event.detail.elt.dataset && busy(event.detail.elt)) event.detail.shouldSwap = false
})
document.addEventListener("htmx:responseError", (event) => {
  if ("live" in event.detail.elt.dataset) event.detail.elt.classList.add("stale")
  else toast(`The console answered ${event.detail.xhr.status}. Nothing was changed.`, "error")
})
document.addEventListener("htmx:sendError", (event) => {
  if ("live" in event.detail.elt.dataset) event.detail.elt.classList.add("stale")
  else toast("The console cannot be reached.", "error")
})

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
