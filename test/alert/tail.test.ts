import { expect, test } from 'vitest'
import { betaBinomialTail, logGamma, negativeBinomialTail } from '../../src/alert/tail.ts'

/** The same probabilities by drawing the rate on a fine grid: no gamma functions, no recursion. */
function byIntegration(x: number, n: number, a: number, b: number): number {
  const steps = 20_000
  let all = 0
  let above = 0
  for (let i = 0; i < steps; i++) {
    const p = (i + 0.5) / steps
    const density = p ** (a - 1) * (1 - p) ** (b - 1)
    all += density
    let term = (1 - p) ** n
    let below = 0
    for (let j = 0; j < x; j++) {
      below += term
      term *= ((n - j) / (j + 1)) * (p / (1 - p))
    }
    above += density * (1 - below)
  }
  return above / all
}

test('the beta-binomial tail is what integrating over the rate gives', () => {
  for (const [x, n, mean, rho] of [
    [5, 30, 2.4, 0.02],
    [12, 90, 7.2, 0.01],
    [3, 10, 4, 0.1],
  ] as const) {
    const k = 1 / rho - 1
    const wanted = byIntegration(x, n, (mean / n) * k, (1 - mean / n) * k)
    expect(betaBinomialTail(x, n, mean, rho) / wanted).toBeCloseTo(1, 5)
  }
})

test('nothing is certain, and more than all trials is impossible', () => {
  expect(betaBinomialTail(0, 10, 1, 0.01)).toBe(1)
  expect(betaBinomialTail(11, 10, 1, 0.01)).toBe(0)
  expect(betaBinomialTail(1, 10, 1, 0.01)).toBeLessThan(1)
})

test('with little dispersion the negative binomial tail is the Poisson tail, with more it is heavier', () => {
  let poisson = 1
  for (let j = 0, term = Math.exp(-3); j < 9; j++, term *= 3 / j) poisson -= term
  expect(negativeBinomialTail(9, 3, 1e-7) / poisson).toBeCloseTo(1, 4)
  expect(negativeBinomialTail(9, 3, 0.2)).toBeGreaterThan(2 * poisson)
})

test('the variance that a tail sums to is mean + rho · mean²', () => {
  const [mean, rho] = [20, 0.15]
  let first = 0
  let second = 0
  for (let x = 1; x < 2000; x++) {
    const tail = negativeBinomialTail(x, mean, rho)
    first += tail
    second += (2 * x - 1) * tail
  }
  expect(first).toBeCloseTo(mean, 4)
  expect(second - first ** 2).toBeCloseTo(mean + rho * mean ** 2, 2)
})

test('logGamma agrees with factorials', () => {
  expect(logGamma(11)).toBeCloseTo(Math.log(3_628_800), 10)
  expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.sqrt(Math.PI)), 10)
})
