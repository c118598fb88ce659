/** Upper tails of counts that vary more than chance alone would have it. Pure arithmetic. */

/** Terms below this share of the sum no longer change it. */
const NEGLIGIBLE = 1e-13

/**
 * P(X ≥ x) for X ~ beta-binomial: `n` trials whose common rate varies around `mean / n`.
 *
 * @param mean Expected count, 0 < mean < n.
 * @param rho Correlation of two trials, 0 < rho < 1: the variance is n·p·(1 − p)·(1 + (n − 1)·rho).
 */
export function betaBinomialTail(x: number, n: number, mean: number, rho: number): number {
  if (x <= 0) return 1
  if (x > n) return 0
  const p = mean / n
  const k = 1 / rho - 1
  const a = p * k
  const b = (1 - p) * k
  let term = Math.exp(
    logGamma(n + 1) -
      logGamma(x + 1) -
      logGamma(n - x + 1) +
      logGamma(x + a) +
      logGamma(n - x + b) -
      logGamma(n + k) -
      logGamma(a) -
      logGamma(b) +
      logGamma(k),
  )
  let sum = 0
  for (let j = x; j <= n; j++) {
    sum += term
    const ratio = ((n - j) * (j + a)) / ((j + 1) * (n - j - 1 + b))
    if (ratio < 1 && term * ratio < NEGLIGIBLE * sum * (1 - ratio)) break
    term *= ratio
  }
  return Math.min(1, sum)
}

/**
 * P(X ≥ x) for X ~ negative binomial.
 *
 * @param mean Expected count, above 0.
 * @param rho Squared coefficient of variation of the rate, above 0: the variance is mean + rho·mean².
 */
export function negativeBinomialTail(x: number, mean: number, rho: number): number {
  if (x <= 0) return 1
  const r = 1 / rho
  const q = mean / (mean + r)
  let term = Math.exp(logGamma(x + r) - logGamma(x + 1) - logGamma(r) + r * Math.log(r / (mean + r)) + x * Math.log(q))
  let sum = 0
  for (let j = x; ; j++) {
    sum += term
    const ratio = (q * (j + r)) / (j + 1)
    if (ratio < 1 && term * ratio <= NEGLIGIBLE * sum * (1 - ratio)) break
    term *= ratio
  }
  return Math.min(1, sum)
}

const LANCZOS = [
  0.999_999_999_999_809_9, 676.520_368_121_885_1, -1259.139_216_722_402_8, 771.323_428_777_653_1, -176.615_029_162_140_6,
  12.507_343_278_686_905, -0.138_571_095_265_720_12, 9.984_369_578_019_572e-6, 1.505_632_735_149_311_6e-7,
]
const HALF_LOG_TAU = Math.log(2 * Math.PI) / 2

/** ln Γ(z) for z > 0, to about 14 digits (Lanczos, g = 7, 9 terms). */
export function logGamma(z: number): number {
  if (z < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * z)) - logGamma(1 - z)
  const y = z - 1
  let series = LANCZOS[0] as number
  for (let i = 1; i < LANCZOS.length; i++) series += (LANCZOS[i] as number) / (y + i)
  const t = y + 7.5
  return HALF_LOG_TAU + (y + 0.5) * Math.log(t) - t + Math.log(series)
}
