// Numbers as the server writes them (console/lib/templatetags/units.py, console/telemetry/drawing.py): one look, live or not.

/** Three significant digits, no trailing zeros that were not measured. */
export function spell(number) {
  if (number >= 100 || number === Math.trunc(number)) return Math.round(number).toLocaleString("en-US")
  return number >= 10 ? number.toFixed(1) : number.toFixed(2)
}

export const clock = (seconds) => `${new Date(seconds * 1000).toISOString().slice(11, 19)} UTC`

const WIDTH = 120
const HEIGHT = 40
const TOP = 6
const BOTTOM = 38

/** Line and fill of a sparkline: from zero up, a gap where nothing is known. */
export function drawSpark(values, ceiling = 0) {
  const top = ceiling || Math.max(0, ...values.filter((value) => value !== null))
  const step = WIDTH / Math.max(1, values.length - 1)
  const runs = [[]]
  values.forEach((value, index) => {
    if (value === null) runs.push([])
    else {
      const share = top ? Math.min(1, value / top) : 0
      runs.at(-1).push(`${(index * step).toFixed(1)} ${(BOTTOM - share * (BOTTOM - TOP)).toFixed(1)}`)
    }
  })
  const drawn = runs.filter((run) => run.length)
  return {
    line: drawn.map((run) => (run.length > 1 ? `M${run.join("L")}` : `M${run[0]}h.1`)).join(""),
    fill: drawn.filter((run) => run.length > 1).map((run) => `M${run.join("L")}V${HEIGHT}H${run[0].split(" ")[0]}z`).join(""),
  }
}

/** How a tile differs from earlier: {icon, text, good}, or null where one of the two is not known. */
export function spellChange(key, now, was) {
  if (now == null || was == null || (key === "requests" && !was)) return null
  const difference = now - was
  const size = key === "requests" ? (Math.abs(difference) / was) * 100 : Math.abs(difference)
  const text = `${spell(size)}${key === "requests" ? "%" : key === "p95" ? " ms" : " pp"}`
  if (size < 0.005 || text.startsWith("0.00")) return { icon: "flat", text: "as 5 min ago", good: false }
  return {
    icon: difference > 0 ? "up-right" : "down-right",
    text: `${text} vs 5 min ago`,
    good: difference < 0 && (key === "p95" || key === "errors"),
  }
}
