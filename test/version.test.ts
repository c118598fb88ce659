import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { headOf } from '../src/version.ts'

const COMMIT = '0123456789abcdef0123456789abcdef01234567'
const OTHER = 'f'.repeat(40)

function folderWith(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'colloquy-version-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), text)
  }
  return root
}

test.each([
  ['a commit that is checked out by itself', { '.git/HEAD': `${COMMIT}\n` }],
  ['a branch', { '.git/HEAD': 'ref: refs/heads/main\n', '.git/refs/heads/main': `${COMMIT}\n` }],
  [
    'a branch whose ref is packed',
    {
      '.git/HEAD': 'ref: refs/heads/main\n',
      '.git/packed-refs': `# pack-refs\n${OTHER} refs/heads/x-main\n${COMMIT} refs/heads/main\n`,
    },
  ],
])('the commit of a checkout is read from its files: %s', (_, files) => {
  expect(headOf(folderWith(files))).toBe(COMMIT)
})

test('the commit of a further work tree is that of its own branch', () => {
  const root = folderWith({
    'main/.git/HEAD': 'ref: refs/heads/main\n',
    'main/.git/refs/heads/main': `${OTHER}\n`,
    'main/.git/refs/heads/side': `${COMMIT}\n`,
    'main/.git/worktrees/side/HEAD': 'ref: refs/heads/side\n',
    'main/.git/worktrees/side/commondir': '../..\n',
  })
  mkdirSync(join(root, 'side'))
  writeFileSync(join(root, 'side/.git'), `gitdir: ${root}/main/.git/worktrees/side\n`)
  expect(headOf(join(root, 'side'))).toBe(COMMIT)
  expect(headOf(join(root, 'main'))).toBe(OTHER)
})

test.each([
  ['no checkout', {}],
  ['a branch without a commit', { '.git/HEAD': 'ref: refs/heads/main\n' }],
  ['something else', { '.git/HEAD': 'who knows\n' }],
])('the commit is not known: %s', (_, files) => {
  expect(headOf(folderWith(files))).toBeNull()
})
