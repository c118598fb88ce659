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

test('counts of a thousand million are judged as fast as those of a few', () => {
  // With rho 1 the distribution is geometric: the tail is q^x.
  for (const mean of [3, 1000, 1e6, 1e9]) {
    for (const x of [1, mean, 2 * mean, 20 * mean]) {
      expect(negativeBinomialTail(x, mean, 1) / Math.exp(-x * Math.log1p(1 / mean))).toBeCloseTo(1, 3)
    }
  }
})

test('below the mean and above it, the tail is what the sum of all terms leaves', () => {
  for (const [mean, rho] of [
    [20, 0.15],
    [5, 2],
    [0.3, 0.01],
  ] as const) {
    let below = 0
    let term = (1 + mean * rho) ** (-1 / rho)
    for (let x = 0; x < 60; x++) {
      expect(negativeBinomialTail(x, mean, rho)).toBeCloseTo(1 - below, 10)
      below += term
      term *= ((x + 1 / rho) / (x + 1)) * (mean / (mean + 1 / rho))
    }
  }
  // Far below the mean the fraction of this side alone would end in 0.
  for (const x of [1, 1000, 900_000]) expect(negativeBinomialTail(x, 1_000_000, 1e-6)).toBeCloseTo(1, 10)
})

test('a tail of what is not finite says nothing', () => {
  expect(negativeBinomialTail(5, Number.POSITIVE_INFINITY, 0.1)).toBe(1)
  expect(negativeBinomialTail(5, 3, Number.NaN)).toBe(1)
  expect(negativeBinomialTail(5, 3, 0)).toBe(1)
})

test('logGamma agrees with factorials', () => {
  expect(logGamma(11)).toBeCloseTo(Math.log(3_628_800), 10)
  expect(logGamma(0.5)).toBeCloseTo(Math.log(Math.sqrt(Math.PI)), 10)
})
