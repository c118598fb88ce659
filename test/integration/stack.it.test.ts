import { expect, inject, test } from 'vitest'

test('the registry of the shared stack lists its subjects', async () => {
  const response = await fetch(`${inject('stack').registry}/subjects`)
  expect(response.status).toBe(200)
})
