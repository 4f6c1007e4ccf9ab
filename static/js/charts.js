// Charts in our look: Plotly basic, loaded when the first chart is near the viewport, coloured from the tokens of look.css.
// The policy forbids inline styles: no markup in texts, no mode bar, no legend of Plotly's; ours are HTML.

const SOURCE = new URL("../vendor/plotly/plotly-basic.min.js", import.meta.url)
export const DASH = {
  c1: "solid", c2: "6px,3px", c3: "2px,3px", c4: "10px,3px,2px,3px", c5: "12px,4px", c6: "5px,2px,1px,2px", c7: "3px,6px",
  c8: "14px,3px,2px,3px,2px,3px",
}
const CONFIG = { displayModeBar: false, responsive: true, doubleClick: false, scrollZoom: false }
const MAX_LABELS = 12 // marks past that are lines without words
const LABEL_WIDTH = 0.11 // share of the chart

// light-dark() resolves only on a real property, so a probe element is asked for its colour.
const probe = document.createElement("span")
probe.hidden = true
document.body.append(probe)
let colours = {}

export function forgetColours() {
  colours = {}
}

function token(name, alpha = 1) {
  const key = `${name}/${alpha}`
  if (!colours[key]) {
    probe.style.color = `var(--${name})`
    const channels = getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3)
    colours[key] = `rgba(${channels.join(",")},${alpha})`
  }
  return colours[key]
}

let library = null

function plotly() {
  library ??= new Promise((done, failed) => {
    const script = document.createElement("script")
    script.src = SOURCE
    script.onload = () => done(window.Plotly)
    script.onerror = () => { library = null; failed(new Error("The chart library did not load.")) }
    document.head.append(script)
  })
  return library
}

/** Marks that get their words: the newest, as long as they do not run into each other. */
function labelled({ marks, spanS }) {
  const kept = []
  for (const mark of marks.toReversed()) {
    const room = kept.length ? (Date.parse(kept.at(-1).at) - Date.parse(mark.at)) / 1000 / spanS : 1
    if (room > LABEL_WIDTH && kept.length < MAX_LABELS) kept.push(mark)
  }
  return kept
}

function layout(panel, picture) {
  const font = getComputedStyle(document.body).fontFamily
  const axis = {
    gridcolor: token("grid"), zeroline: false, linecolor: token("line"), ticks: "", automargin: false,
    tickfont: { color: token("faint"), size: 11 },
  }
  const top = picture.lines.reduce((most, line) => line.y.reduce((top, value) => (value > top ? value : top), most), 0)
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, dragmode: "zoom",
    font: { family: font, size: 12, color: token("muted") }, margin: { l: 56, r: 16, t: 20, b: 26 },
    hovermode: "x unified",
    hoverlabel: { bgcolor: token("raised"), bordercolor: token("line"), font: { color: token("text"), size: 12, family: font } },
    xaxis: {
      ...axis, type: "date", showgrid: false, nticks: 6, range: picture.range, fixedrange: false,
      tickformat: picture.spanS > 86_400 ? "%d %b" : picture.spanS > 900 ? "%H:%M" : "%H:%M:%S",
      hoverformat: picture.spanS > 86_400 ? "%d %b %H:%M UTC" : "%H:%M:%S UTC",
      showspikes: true, spikemode: "across", spikethickness: -2, spikedash: "solid", spikecolor: token("edge"),
    },
    yaxis: {
      ...axis, fixedrange: true, nticks: panel.size === "lg" ? 6 : 4, ticksuffix: ` ${panel.unit}`,
      range: [0, panel.ceiling ?? (top ? top * 1.12 : 1)],
    },
    shapes: picture.marks.map(({ at }) => ({
      type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, layer: "below",
      line: { color: token("edge", 0.75), width: 1, dash: "2px,3px" },
    })),
    annotations: (panel.size === "lg" ? labelled(picture) : []).map(({ at, text }) => ({
      x: at, yref: "paper", y: 1, yanchor: "bottom", xanchor: "center", text, showarrow: false, yshift: -1,
      font: { size: 10.5, color: token("muted") },
    })),
  }
}

/** Draw or redraw. picture: {x, range, spanS, lines: [{name, y, colour}], marks: [{at, text}]}. */
export async function draw(element, panel, picture) {
  const Plotly = await plotly()
  const traces = picture.lines.map((line) => ({
    x: picture.x, y: line.y, name: line.name, type: "scatter", mode: line.lonely ? "lines+markers" : "lines", connectgaps: false,
    marker: { size: 4, color: token(line.colour) },
    line: { color: token(line.colour), width: 1.75, dash: DASH[line.colour], shape: "linear" },
    hovertemplate: `%{y:.3~r} ${panel.unit}`,
  }))
  const first = !element.classList.contains("js-plotly-plot")
  if (first) element.replaceChildren()
  await Plotly.react(element, traces, layout(panel, picture), CONFIG)
  return first
}

/** The same numbers as a table, newest first. */
export function makeTable(panel, picture) {
  const table = document.createElement("table")
  table.className = "table dense"
  const head = table.createTHead().insertRow()
  for (const [index, title] of ["At", ...picture.lines.map((line) => `${line.name}, ${panel.unit}`)].entries()) {
    const cell = head.appendChild(document.createElement("th"))
    cell.scope = "col"
    cell.textContent = title
    if (index) cell.className = "num"
  }
  const body = table.createTBody()
  for (let index = picture.x.length - 1; index >= 0; index -= 1) {
    const values = picture.lines.map((line) => line.y[index])
    if (values.every((value) => value === null)) continue
    const row = body.insertRow()
    row.insertCell().textContent = `${picture.x[index].slice(0, 19).replace("T", " ")} UTC`
    for (const value of values) {
      const cell = row.insertCell()
      cell.className = "num"
      cell.textContent = value === null ? "no data" : Number(value.toPrecision(3)).toString()
    }
  }
  if (!body.rows.length) {
    const cell = body.insertRow().insertCell()
    cell.colSpan = picture.lines.length + 1
    cell.textContent = "No data in this range."
  }
  return table
}
