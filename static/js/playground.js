// The playground: a square to draw in, counts, the choice of model at once. htmx sends the form; without script it posts.

const choose = document.getElementById("choose")
choose?.addEventListener("change", (event) => {
  if (event.target.name === "model") choose.elements.target.value = "" // another model has other versions
  choose.submit()
})

// Two programs under each other without script; with it, one at a time.
function showOnePanel() {
  const [, ...rest] = document.querySelectorAll("#code [data-panel]")
  for (const panel of rest) panel.hidden = true
}
showOnePanel()
document.addEventListener("htmx:oobAfterSwap", showOnePanel)

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

for (const picture of document.querySelectorAll("[data-picture]")) {
  const [canvas, file, held] = ["canvas", "[type=file]", "[type=hidden]"].map((one) => picture.querySelector(one))
  const pen = canvas.getContext("2d")
  pen.lineWidth = canvas.width / 9
  pen.lineCap = pen.lineJoin = "round"
  pen.strokeStyle = "#fff"

  function clear() {
    pen.fillStyle = "#000"
    pen.fillRect(0, 0, canvas.width, canvas.height)
    held.value = ""
    file.value = ""
  }
  function show(url) {
    const image = new Image()
    image.onload = () => {
      pen.imageSmoothingEnabled = image.width > canvas.width // small scans stay crisp
      pen.drawImage(image, 0, 0, canvas.width, canvas.height)
    }
    image.src = url
  }

  const before = held.value
  clear()
  if (before) {
    held.value = before
    show(`data:image/png;base64,${before}`)
  }
  canvas.addEventListener("pointerdown", (event) => {
    if (file.value || held.value === before) clear()
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
  canvas.addEventListener("pointerup", () => { held.value = canvas.toDataURL("image/png").split(",")[1] })
  picture.querySelector("[data-clear]").addEventListener("click", clear)
  file.addEventListener("change", () => {
    if (!file.files.length) return
    held.value = ""
    show(URL.createObjectURL(file.files[0]))
  })
}
