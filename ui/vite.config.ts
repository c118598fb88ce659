import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vite'

/** Builds the console into `ui/built`, which is committed: a checkout, the package and the image have it without a build. */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: '/ui/',
  publicDir: false,
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    outDir: 'built',
    // Licences of what is bundled.
    license: { fileName: 'licenses.md' },
    emptyOutDir: true,
    target: 'es2022',
    // Everything is a file of its own, as the content security policy has no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
})
