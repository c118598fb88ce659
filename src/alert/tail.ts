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
 * P(X ≥ x) for X ~ negative binomial: the regularised incomplete beta function of q = mean / (mean + 1 / rho) at (x, 1 / rho). Its continued fraction takes some
 * √x steps, where a sum of the terms would take a million for counts of a million that vary much.
 *
 * @param mean Expected count, above 0.
 * @param rho Squared coefficient of variation of the rate, above 0: the variance is mean + rho·mean².
 * @returns 1 where an argument is not finite: nothing can be said.
 */
export function negativeBinomialTail(x: number, mean: number, rho: number): number {
  if (x <= 0) return 1
  const r = 1 / rho
  if (![x, mean, r].every(Number.isFinite)) return 1
  const q = mean / (mean + r)
  const logFront = logGamma(x + r) - logGamma(x) - logGamma(r) - r * Math.log1p(mean * rho) - x * Math.log1p(r / mean)
  const front = Math.exp(logFront)
  // Each side converges fast up to about the mean.
  const tail = q < (x + 1) / (x + r + 2) ? (front / x) * betaFraction(q, x, r) : 1 - (front / r) * betaFraction(1 - q, r, x)
  return Math.min(1, Math.max(0, tail))
}

/** Factors this close to 1 no longer change the fraction. */
const CONVERGED = 1e-15
/** Enough for counts of a thousand million. */
const MOST_STEPS = 200_000
const TINY = 1e-300

/** The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), from the top down (Lentz). */
function betaFraction(z: number, a: number, b: number): number {
  let c = 1
  let d = 1 / awayFromZero(1 - ((a + b) * z) / (a + 1))
  let fraction = d
  const refine = (coefficient: number) => {
    d = 1 / awayFromZero(1 + coefficient * d)
    c = awayFromZero(1 + coefficient / c)
    fraction *= c * d
  }
  for (let m = 1; m < MOST_STEPS; m++) {
    refine((m * (b - m) * z) / ((a + 2 * m - 1) * (a + 2 * m)))
    refine((-(a + m) * (a + b + m) * z) / ((a + 2 * m) * (a + 2 * m + 1)))
    if (Math.abs(c * d - 1) < CONVERGED) break
  }
  return fraction
}

function awayFromZero(value: number): number {
  return Math.abs(value) < TINY ? TINY : value
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
