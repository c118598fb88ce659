/** The npm package as its users have it: packed from the files of this checkout, and installed in an empty folder. */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { ROOT } from './checkout.ts'

export interface Installed {
  /** The user's folder, with `node_modules`. */
  readonly folder: string
  /** For processes of the user: Node 24, and nothing of this checkout. */
  readonly env: Readonly<Record<string, string>>
  /** Files in the package. */
  readonly files: readonly string[]
  remove(): void
}

/** Packs a copy, because packing writes `dist` and changes package.json for a moment. Takes about a minute. */
export function installPackage(): Installed {
  const place = mkdtempSync(join(tmpdir(), 'colloquy-package-'))
  const [copy, folder] = [join(place, 'copy'), join(place, 'user')]
  const tracked = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  const files = tracked.split('\0').filter(file => file !== '' && existsSync(join(ROOT, file)))
  for (const file of files) cpSync(join(ROOT, file), join(copy, file))
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
  const gitFolder = execFileSync('git', ['rev-parse', '--absolute-git-dir'], { cwd: ROOT, encoding: 'utf8' })
  writeFileSync(join(copy, '.git'), `gitdir: ${gitFolder}`)

  const path = (process.env['PATH'] ?? '').split(delimiter).filter(each => !each.endsWith(join('node_modules', '.bin')))
  const kept = [
    'HOME',
    'TMPDIR',
    'JAVA_HOME',
    'http_proxy',
    'https_proxy',
    'no_proxy',
    'NODE_EXTRA_CA_CERTS',
    'NODE_COMPILE_CACHE',
  ]
  const env = {
    ...Object.fromEntries(kept.flatMap(name => (process.env[name] === undefined ? [] : [[name, process.env[name] ?? '']]))),
    PATH: [dirname(process.execPath), ...path].join(delimiter),
    npm_config_prefer_offline: 'true',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
    npm_config_update_notifier: 'false',
  }
  const npm = (cwd: string, ...words: string[]) => execFileSync('npm', words, { cwd, env, encoding: 'utf8', stdio: 'pipe' })
  npm(copy, 'pack', '--pack-destination', place)
  const tarball = readdirSync(place).find(name => name.endsWith('.tgz')) ?? ''
  mkdirSync(folder)
  npm(folder, 'install', join(place, tarball))
  const installed = join(folder, 'node_modules/colloquy')
  const packed = readdirSync(installed, { recursive: true, encoding: 'utf8' }).filter(file => !file.startsWith('node_modules'))
  rmSync(copy, { recursive: true })
  return { folder, env, files: packed, remove: () => rmSync(place, { recursive: true, force: true }) }
}
