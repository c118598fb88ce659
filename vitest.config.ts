import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineConfig } from 'vitest/config'

/** Many tests start processes, which compile the same modules. */
process.env['NODE_COMPILE_CACHE'] ??= join(tmpdir(), 'node-compile-cache')

const onStack = {
  globalSetup: ['test/support/stack-setup.ts'],
  testTimeout: 120_000,
  hookTimeout: 120_000,
  maxConcurrency: 3,
  fileParallelism: false,
}

/**
 * Unit and conformance need no stack; integration starts a real Kafka and registry once for all its files. What takes too long for `npm test` is in test/long, and CI
 * runs it after that: slow needs no stack, long has one.
 * Deploy downloads ClickHouse and is run by hand: `npm run test:deploy`.
 */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/connectors/**', 'test/integration/**', 'test/long/**', 'test/parity/**'],
          testTimeout: 60_000,
          // Many small files: those of one worker share its modules, whose import took a sixth of the time. A secret that a test registers stays hidden after it: let it be no word.
          isolate: false,
        },
      },
      {
        test: {
          name: 'conformance',
          include: ['test/connectors/**/*.test.ts', 'connectors/**/*.test.ts', 'scripts/scaffold/*.test.ts'],
          testTimeout: 300_000,
        },
      },
      { test: { name: 'integration', include: ['test/integration/**/*.it.test.ts'], ...onStack } },
      { test: { name: 'long', include: ['test/long/**/*.it.test.ts'], ...onStack } },
      {
        test: {
          name: 'deploy',
          include: ['test/parity/**/*.it.test.ts'],
          ...onStack,
          testTimeout: 3_600_000,
          hookTimeout: 300_000,
        },
      },
      {
        test: {
          name: 'slow',
          include: ['test/long/**/*.test.ts'],
          exclude: ['test/long/**/*.it.test.ts'],
          testTimeout: 300_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
