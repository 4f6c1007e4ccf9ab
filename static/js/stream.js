// The live socket (`console.v1`), one a tab: subscriptions outlive it. A snapshot first, then deltas; a hole in the
// numbers of a subscription, a gap or a reconnect asks for a new snapshot. Nothing is received while the tab is hidden.

const STALE_MS = 6000 // the monitor speaks each second
const HIDDEN_MS = 60_000 // then the socket is closed, and opened again on return
const FIRST_MS = 500
const LONGEST_MS = 15_000
const LOGIN = 4401
const FORBIDDEN = 4403

const subscriptions = new Map()
const listeners = new Set()
let socket = null
let beat = 0
let tries = 0
let nextTry = 0
let news = 0 // when anything was last heard
let asked = 0 // ids of subscriptions
let hiddenSince = 0

/** What pages show of the connection: {state: connecting | live | stale | away | refused, tries, through, rtt}. */
export const status = { state: "connecting", tries: 0, through: 0, rtt: null }

/** Hear of changes of `status`; called at once too. */
export function onStatus(listener) {
  listeners.add(listener)
  listener(status)
}

function tell(changes) {
  const before = status.state
  Object.assign(status, changes)
  if (changes.rtt !== undefined || before !== status.state || changes.tries !== undefined) for (const listener of listeners) listener(status)
}

/** Subscribe to a channel. `handlers`: snap(message), delta(message), event(message). */
export function subscribe(channel, params, handlers) {
  const id = `c${++asked}`
  const subscription = { id, channel, params, handlers, seq: 0, paused: false }
  subscriptions.set(id, subscription)
  if (isOpen()) ask(subscription)
  else open()
  return {
    pause() { subscription.paused = true; say({ op: "pause", id }) },
    resume() { if (subscription.paused) { subscription.paused = false; ask(subscription) } },
    change(next) { subscription.params = next; ask(subscription) },
    end() { subscriptions.delete(id); say({ op: "unsub", id }) },
  }
}

export function retryNow() {
  clearTimeout(nextTry)
  socket?.close()
  open()
}

const isOpen = () => socket?.readyState === WebSocket.OPEN

function say(message) {
  if (isOpen()) socket.send(JSON.stringify(message))
}

function ask(subscription) {
  subscription.seq = null // the snapshot says where it begins
  if (!subscription.paused) say({ op: "sub", id: subscription.id, ch: subscription.channel, p: subscription.params ?? {} })
}

function open() {
  if (document.hidden || socket?.readyState === WebSocket.CONNECTING || isOpen()) return
  clearTimeout(nextTry)
  const scheme = location.protocol === "https:" ? "wss:" : "ws:"
  const mine = (socket = new WebSocket(`${scheme}//${location.host}/ws/v1/stream`, "console.v1"))
  mine.addEventListener("open", () => {
    for (const subscription of subscriptions.values()) ask(subscription)
  })
  mine.addEventListener("message", (event) => {
    if (mine === socket) hear(JSON.parse(event.data))
  })
  mine.addEventListener("close", (event) => {
    if (mine === socket) closed(event.code)
  })
}

function closed(code) {
  clearInterval(beat)
  if (code === LOGIN) {
    location.reload() // the server shows the login and brings the person back here
    return
  }
  if (code === FORBIDDEN) {
    tell({ state: "refused" })
    return
  }
  tries += 1
  tell({ state: "away", tries })
  if (document.hidden) return
  const wait = Math.min(LONGEST_MS, FIRST_MS * 2 ** (tries - 1)) * (0.75 + Math.random() / 2)
  nextTry = setTimeout(open, wait)
}

function hear(message) {
  news = performance.now()
  const subscription = subscriptions.get(message.id)
  switch (message.op) {
    case "hello":
      tries = 0
      tell({ state: "live", tries: 0 })
      clearInterval(beat)
      beat = setInterval(ping, message.heartbeat * 1000)
      ping()
      break
    case "pong":
      tell({ rtt: Math.max(0, Math.round(performance.now() - message.t)) })
      break
    case "snap":
      if (!subscription) break
      subscription.seq = message.seq
      heard(message)
      subscription.handlers.snap?.(message)
      break
    case "delta":
    case "event":
      if (!subscription || subscription.seq === null) break
      if (message.seq !== subscription.seq + 1) {
        ask(subscription)
        break
      }
      subscription.seq = message.seq
      heard(message)
      subscription.handlers[message.op]?.(message)
      break
    case "gap":
      if (subscription) ask(subscription)
      break
    case "problem":
      subscription?.handlers.problem?.(message)
  }
}

let lastSecond = 0 // when a second of telemetry was last heard of

function heard(message) {
  if (message.op === "event" || !message.t || message.at === null) return
  if (message.op === "snap" && message.at && Date.now() / 1000 - message.at > STALE_MS / 1000) {
    status.through = message.t // an old state of a monitor that is away
    return
  }
  lastSecond = performance.now()
  status.through = Math.max(status.through, message.t)
  if (status.state === "stale") tell({ state: "live" })
}

function ping() {
  say({ op: "ping", t: performance.now() })
}

setInterval(() => {
  if (document.hidden || !isOpen() || !subscriptions.size || status.state !== "live") return
  if ([...subscriptions.values()].every((subscription) => subscription.paused)) return
  if (performance.now() - Math.max(lastSecond, shownSince) > STALE_MS) tell({ state: "stale" })
}, 1000)

let shownSince = performance.now()

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    hiddenSince = performance.now()
    for (const { id } of subscriptions.values()) say({ op: "pause", id })
    setTimeout(() => {
      if (document.hidden && performance.now() - hiddenSince >= HIDDEN_MS) socket?.close()
    }, HIDDEN_MS + 500)
    return
  }
  shownSince = performance.now()
  if (isOpen()) for (const subscription of subscriptions.values()) ask(subscription)
  else retryNow()
})

// A page kept by the browser for "back" gets a fresh picture.
addEventListener("pageshow", (event) => {
  if (event.persisted) retryNow()
})

/** Pages that show live numbers call this once: the dot and round trip in the top bar, and the Live/Paused pill. */
export function wireTopBar({ onPause, onResume }) {
  const pill = document.getElementById("live")
  const place = document.getElementById("conn")
  const said = {
    connecting: ["Connecting", "muted"], live: ["", ""], stale: ["No news", "warn"], away: ["Reconnecting", "warn"],
    refused: ["Not allowed", "bad"],
  }
  const paused = () => pill.getAttribute("aria-pressed") === "true"
  function show(isPaused) {
    pill.setAttribute("aria-pressed", isPaused)
    pill.lastElementChild.textContent = isPaused ? "Paused" : "Live"
  }
  pill.hidden = false
  pill.addEventListener("click", () => {
    show(!paused())
    if (paused()) onPause()
    else onResume()
  })
  onStatus(({ state, rtt }) => {
    place.hidden = false
    const [words, tone] = said[state]
    place.className = `conn ${tone}`
    place.lastElementChild.textContent = words || (rtt === null ? "" : `${rtt} ms`)
    place.title = words ? `${words}: live numbers do not arrive` : "Live numbers arrive; the time is of one round trip"
  })
  return { show, paused }
}
