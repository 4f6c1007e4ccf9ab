// The playground: answers without a reload, a square to draw in, the choice of model at once. Without it the form posts.

import { toast } from "./shell.js"

const request = document.getElementById("request")
const choose = document.getElementById("choose")
choose?.addEventListener("change", (event) => {
  if (event.target.name === "model") choose.elements.target.value = "" // another model has other versions
  choose.submit()
})

// --- run ---

let running = null

request?.addEventListener("submit", async (event) => {
  event.preventDefault()
  running?.abort()
  running = new AbortController()
  const result = document.getElementById("result")
  result.setAttribute("aria-busy", "true")
  try {
    const answer = await fetch(request.action, {
      method: "POST", body: new FormData(request), headers: { "HX-Request": "true" }, signal: running.signal,
    })
    if (answer.status >= 500) throw new Error(`The console answered ${answer.status}.`)
    const parts = new DOMParser().parseFromString(await answer.text(), "text/html")
    for (const id of ["result", "code"]) {
      const fresh = parts.getElementById(id)
      if (fresh) document.getElementById(id).replaceChildren(...fresh.childNodes)
    }
    showOnePanel()
  } catch (error) {
    if (error.name !== "AbortError") toast(`Not answered. ${error.message}`, "error")
    return
  } finally {
    result.removeAttribute("aria-busy")
  }
})

// Two programs under each other without script; with it, one at a time.
function showOnePanel() {
  const [, ...rest] = document.querySelectorAll("#code [data-panel]")
  for (const panel of rest) panel.hidden = true
}
showOnePanel()

// --- counts ---

for (const count of document.querySelectorAll("[data-count]")) {
  const field = document.getElementById(count.dataset.count)
  const say = () => {
    const lines = field.value.split("\n").filter((line) => line.trim()).length
    count.textContent = `${field.value.length} characters, ${lines} ${lines === 1 ? "line" : "lines"}. `
  }
  field.addEventListener("input", say)
  say()
}

// --- pictures: chosen, or drawn in white on black as scanned digits are ---

for (const box of document.querySelectorAll("[data-picture]")) {
  const [image, canvas, file, held] = ["img", "canvas", "[type=file]", "[type=hidden]"].map((one) => box.querySelector(one))
  const pen = canvas.getContext("2d")

  function clear() {
    pen.fillStyle = "#000"
    pen.fillRect(0, 0, canvas.width, canvas.height)
    held.value = ""
    file.value = ""
    image.hidden = true
    image.removeAttribute("src")
  }
  function keep() {
    held.value = canvas.toDataURL("image/png").split(",")[1]
    image.src = `data:image/png;base64,${held.value}`
    file.value = ""
  }

  pen.lineWidth = 13
  pen.lineCap = pen.lineJoin = "round"
  pen.strokeStyle = "#fff"
  if (!held.value) clear()
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId)
    pen.beginPath()
    pen.moveTo(event.offsetX, event.offsetY)
    pen.lineTo(event.offsetX, event.offsetY)
    pen.stroke()
  })
  canvas.addEventListener("pointermove", (event) => {
    if (!event.buttons) return
    pen.lineTo(event.offsetX, event.offsetY)
    pen.stroke()
  })
  canvas.addEventListener("pointerup", keep)
  box.querySelector("[data-clear]").addEventListener("click", clear)
  file.addEventListener("change", () => {
    const [picked] = file.files
    if (!picked) return
    held.value = ""
    const url = URL.createObjectURL(picked)
    image.src = url
    image.hidden = false
    image.onload = () => {
      pen.drawImage(image, 0, 0, canvas.width, canvas.height)
      URL.revokeObjectURL(url)
    }
  })
}
