// SHA-256 that takes its input in pieces (FIPS 180-4). WebCrypto only digests what is in memory at once, and only in a
// secure context; a model of 20 GB on a plain-HTTP console is neither.

// Int32: its sums stay machine integers, which is three times as fast here.
const K = new Int32Array(64)
const START = new Int32Array(8)

// The constants are the first 32 bits of the fractions of cube and square roots of the first primes.
for (let n = 2, found = 0; found < 64; n++) {
  let prime = true
  for (let d = 2; d * d <= n; d++) if (n % d === 0) { prime = false; break }
  if (!prime) continue
  if (found < 8) START[found] = (n ** 0.5 % 1) * 2 ** 32
  K[found++] = (Math.cbrt(n) % 1) * 2 ** 32
}

export class Sha256 {
  constructor() {
    this.state = START.slice()
    this.block = new Uint8Array(64)
    this.held = 0 // bytes in the block
    this.total = 0 // bytes so far
    this.words = new Int32Array(64)
  }

  update(bytes) {
    this.total += bytes.length
    let at = 0
    if (this.held) {
      at = Math.min(64 - this.held, bytes.length)
      this.block.set(bytes.subarray(0, at), this.held)
      this.held += at
      if (this.held < 64) return this
      this.compress(this.block, 0)
      this.held = 0
    }
    for (; at + 64 <= bytes.length; at += 64) this.compress(bytes, at)
    this.block.set(bytes.subarray(at))
    this.held = bytes.length - at
    return this
  }

  hex() {
    const length = this.total
    const padding = new Uint8Array(((length % 64) < 56 ? 64 : 128) - (length % 64))
    padding[0] = 0x80
    new DataView(padding.buffer).setUint32(padding.length - 8, Math.floor(length / 2 ** 29))
    new DataView(padding.buffer).setUint32(padding.length - 4, (length << 3) >>> 0)
    this.update(padding)
    return [...this.state].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("")
  }

  compress(bytes, at) {
    const w = this.words
    for (let i = 0; i < 16; i++, at += 4) {
      w[i] = (bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]
    }
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2]
      const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
      const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0
    }
    const s = this.state
    let a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7]
    for (let i = 0; i < 64; i++) {
      const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
      const t1 = (((h + s1) | 0) + ((((e & f) ^ (~e & g)) + K[i]) | 0) + w[i]) | 0
      const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
      h = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0
    }
    s[0] += a; s[1] += b; s[2] += c; s[3] += d; s[4] += e; s[5] += f; s[6] += g; s[7] += h
  }
}
