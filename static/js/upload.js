// Uploading a version: hash the file, announce it, send it in chunks, go on after an interruption, complete it.
// The REST tree does the same for curl; the page shows how.

import { Sha256 } from "./sha256.js"

const form = document.getElementById("upload")
const drop = document.getElementById("drop")
const picker = document.getElementById("file")
const panel = document.getElementById("progress")
const bar = panel.querySelector("rect")
const title = panel.querySelector("[data-title]")
const detail = panel.querySelector("[data-detail]")
const pause = panel.querySelector("[data-pause]")
const cancel = panel.querySelector("[data-cancel]")
const problem = document.getElementById("problem")

const API = "/api/v1/uploads/"
const CHUNK_BYTES = Number(form.dataset.chunk)
const RETRIES = 6
const csrf = form.elements.csrfmiddlewaretoken.value

let run = null // the upload in hand: {stopped, abort, id}

// --- choosing ---

const EXTENSIONS = { safetensors: "safetensors", zip: "safetensors", onnx: "onnx", pt2: "pt2", pt: "torchscript" }

function choose(file) {
  if (!file) return
  const extension = file.name.split(".").pop().toLowerCase()
  const option = form.querySelector(`[name=format][value="${EXTENSIONS[extension]}"]:not(:disabled)`)
  if (option) option.checked = true
  drop.querySelector("[data-name]").textContent = `${file.name}, ${spellBytes(file.size)}`
  form.querySelector("[type=submit]").disabled = false
  showNative()
}

function showNative() {
  const runsCode = form.querySelector("[name=format]:checked")?.dataset.runsCode === "true"
  document.getElementById("native").hidden = !runsCode
}

picker.addEventListener("change", () => choose(picker.files[0]))
form.addEventListener("change", showNative)
for (const name of ["dragenter", "dragover"]) {
  drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over") })
}
for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"))
drop.addEventListener("drop", (event) => {
  event.preventDefault()
  if (!event.dataTransfer.files.length) return
  picker.files = event.dataTransfer.files
  choose(picker.files[0])
})

// --- sending ---

form.addEventListener("submit", async (event) => {
  event.preventDefault()
  const file = picker.files[0]
  if (!file) return
  problem.hidden = true
  panel.hidden = false
  form.querySelector("fieldset").disabled = true
  run = { stopped: false, abort: new AbortController(), id: null, file, sha256: null }
  await send()
})

pause.addEventListener("click", async () => {
  if (!run) return
  if (run.stopped) {
    run.stopped = false
    run.abort = new AbortController()
    pause.textContent = "Pause"
    await send()
  } else {
    run.stopped = true
    run.abort.abort()
    pause.textContent = "Resume"
    say("Paused", "What was sent is kept for a day; the same file goes on from there.")
  }
})

cancel.addEventListener("click", async () => {
  const ended = run
  run = null
  ended.stopped = true
  ended.abort.abort()
  if (ended.id) await call("DELETE", `${API}${ended.id}/`)
  reset()
})

addEventListener("beforeunload", (event) => { if (run && !run.stopped) event.preventDefault() })

async function send() {
  const mine = run
  try {
    mine.sha256 ??= await hashFile(mine)
    const upload = await announce(mine)
    mine.id = upload.id
    await sendChunks(mine, upload.offset)
    say("Checking the whole file", "The console compares its SHA-256 with the one from here.")
    await call("POST", `${API}${mine.id}:complete`, { key: `complete-${mine.id}-${Date.now()}` })
    const number = (await call("GET", `${API}${mine.id}/`)).version
    run = null
    location.assign(number ? `${form.dataset.versions}${number}/` : form.dataset.model)
  } catch (error) {
    if (mine.stopped || run !== mine) return
    run = null
    fail(error)
  }
}

async function hashFile(mine) {
  const digest = new Sha256()
  const began = performance.now()
  for (let at = 0; at < mine.file.size; at += CHUNK_BYTES) {
    if (mine.stopped) throw new Error("paused")
    digest.update(new Uint8Array(await mine.file.slice(at, at + CHUNK_BYTES).arrayBuffer()))
    draw(at + CHUNK_BYTES, mine.file.size, "Reading the file", began, 0)
  }
  return digest.hex()
}

function announce({ file, sha256 }) {
  const body = {
    model: form.dataset.name, filename: file.name, size: file.size, sha256,
    format: form.querySelector("[name=format]:checked").value,
    native: form.elements.native.checked, notes: form.elements.notes.value,
  }
  return call("POST", API, { json: body, key: `upload-${sha256}-${Date.now()}` })
}

async function sendChunks(mine, offset) {
  const began = performance.now()
  const from = offset
  let failures = 0
  while (offset < mine.file.size) {
    if (mine.stopped) throw new Error("paused")
    draw(offset, mine.file.size, "Sending", began, from)
    const chunk = new Uint8Array(await mine.file.slice(offset, offset + CHUNK_BYTES).arrayBuffer())
    try {
      offset = (await sendChunk(mine, offset, chunk)).offset
      failures = 0
    } catch (error) {
      if (mine.stopped || !error.again || ++failures > RETRIES) throw error
      say("Waiting for the console", `${error.message} Trying again, ${failures} of ${RETRIES}.`)
      await new Promise((done) => { setTimeout(done, 500 * 2 ** failures) })
      offset = (await call("GET", `${API}${mine.id}/`).catch(() => ({ offset }))).offset // what has arrived decides
    }
  }
  draw(offset, mine.file.size, "Sending", began, from)
}

function sendChunk(mine, offset, chunk) {
  const digest = btoa(String.fromCharCode(...fromHex(new Sha256().update(chunk).hex())))
  return call("PATCH", `${API}${mine.id}/`, {
    bytes: chunk, signal: mine.abort.signal,
    headers: { "Upload-Offset": String(offset), "Content-Digest": `sha-256=:${digest}:` },
  })
}

const fromHex = (hex) => hex.match(/../g).map((pair) => parseInt(pair, 16))

async function call(method, url, { json, bytes, key, headers = {}, signal } = {}) {
  const all = { "X-CSRFToken": csrf, Accept: "application/json", ...headers }
  if (json) all["Content-Type"] = "application/json"
  if (bytes) all["Content-Type"] = "application/offset+octet-stream"
  if (key) all["Idempotency-Key"] = key
  let answer
  try {
    answer = await fetch(url, { method, headers: all, body: json ? JSON.stringify(json) : bytes, signal })
  } catch (error) {
    throw Object.assign(new Error("The console cannot be reached."), { again: error.name !== "AbortError" })
  }
  const body = answer.status === 204 ? {} : await answer.json().catch(() => ({}))
  if (answer.ok) return body
  const again = answer.status === 409 && body.code === "offset_mismatch" || answer.status === 429 || answer.status === 503
  throw Object.assign(new Error(body.detail || `The console answered ${answer.status}.`), { again, body })
}

// --- showing ---

function draw(done, size, what, began, from) {
  const percent = Math.min(100, (100 * done) / size)
  bar.setAttribute("width", `${percent}%`)
  const seconds = (performance.now() - began) / 1000
  const rate = seconds > 0.5 ? (done - from) / seconds : 0
  const left = rate ? `, ${spellBytes(rate)}/s, ${Math.ceil(Math.max(0, size - done) / rate)} s left` : ""
  say(what, `${spellBytes(Math.min(done, size))} of ${spellBytes(size)}${left}`)
}

function say(what, more) {
  title.textContent = what
  detail.textContent = more
}

function fail(error) {
  const version = error.body?.version
  problem.hidden = false
  problem.querySelector("[data-why]").textContent = error.message
  const link = problem.querySelector("a")
  link.hidden = !version
  if (version) {
    link.href = `${form.dataset.versions}${version}/`
    link.textContent = `Open v${version}`
  }
  reset()
}

function reset() {
  panel.hidden = true
  pause.textContent = "Pause"
  bar.setAttribute("width", "0%")
  form.querySelector("fieldset").disabled = false
}

function spellBytes(bytes) {
  const units = ["B", "kB", "MB", "GB"]
  let at = 0
  while (bytes >= 1000 && at < units.length - 1) { bytes /= 1000; at++ }
  return `${at ? bytes.toPrecision(3) : bytes} ${units[at]}`
}
