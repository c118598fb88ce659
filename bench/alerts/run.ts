/**
 * `npm run bench:alerts -- [--nab FOLDER] [--series N] [--groups N] [--seed N] [--budget N] [--noise NAME] [--parts worlds,outbreaks,nab,load]`
 *
 * Recall, false alerts, time to detect and decoys of our detector and of others over seeded worlds, the NAB corpus, outbreaks in weekly counts; prints a block for
 * results.md. Ours takes its threshold from the budget; the others get theirs from the seeds `seed + 100,000 …`, which are not reported. `--noise` and `--parts` leave
 * out what another process measures. To calibrate the detector again: seeds from 300000, several budgets, and see at which of them 0.1 false alerts a channel-week are
 * raised.
 */
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { DEFAULT_RULE } from '../../src/rules.ts'
import { raisedBy } from './live.ts'
import { nabScore } from './nab-score.ts'
import { ourScores, profilesOf, prove, readNab } from './nab.ts'
import { noufaily } from './noufaily.ts'
import { calibrated, OTHERS, scored } from './others.ts'
import { addTo, median, noScore, recall, type Score } from './score.ts'
import { createWorld, type Noise } from './world.ts'

const { values } = parseArgs({
  options: {
    nab: { type: 'string', default: process.env['NAB'] ?? '' },
    series: { type: 'string', default: '40' },
    groups: { type: 'string', default: '12' },
    seed: { type: 'string', default: '1' },
    budget: { type: 'string', default: String(DEFAULT_RULE.alertsPerWeek) },
    noise: { type: 'string', default: '' },
    parts: { type: 'string', default: 'worlds,outbreaks,nab,load' },
  },
})
const seed = Number(values.seed)
const CALIBRATION = 100_000
const rule = { ...DEFAULT_RULE, alertsPerWeek: Number(values.budget) }
const NOISES = (['beta-binomial', 'drifting logit-normal'] as const satisfies Noise[]).filter(name => name.includes(values.noise))
const parts = new Set(values.parts.split(','))
/** Sessions in five minutes, channels that are hit together. */
const TIERS = [
  [30, 1],
  [8, 1],
  [0.5, 10],
  [2, 1],
  [0.5, 1],
] as const
const print = (line: string) => process.stdout.write(`${line}\n`)
const two = (value: number) => (Number.isNaN(value) ? '–' : value.toFixed(2))

function row(name: string, score: Score): string {
  const times = [...score.incidents.values()].map(each => each.minutes)
  const minutes = [...times, times.flat()].map(median)
  const alerts = [...score.incidents.values()].reduce((all, each) => all + each.alerts, 0)
  const found = [...score.incidents.values()].reduce((all, each) => all + each.found, 0)
  const falseAlerts = `${two(score.falseAlerts / score.channelWeeks)} (${score.falseAlerts} in ${score.channelWeeks} weeks)`
  return `| ${[name, two(recall(score, 3)), two(recall(score, 5)), minutes.map(two).join(' / '), two(score.decoysRaised / score.decoys), falseAlerts, two(alerts / found)].join(' | ')} |`
}

print(
  `Seed ${seed}, ${values.series} series a tier, ${values.groups} groups; others calibrated on seeds from ${seed + CALIBRATION}; node ${process.version}`,
)
for (const noise of parts.has('worlds') ? NOISES : []) {
  for (const [mean, channels] of TIERS) {
    const count = Number(channels === 1 ? values.series : values.groups)
    print(`\n${noise}, ${mean} sessions in 5 minutes${channels === 1 ? '' : `, ${channels} channels together`}\n`)
    print(
      '| Detector | Recall ×3 | ×5 | Minutes to detect ×3 / ×5 / both | Decoys | False alerts a channel-week | Alerts an incident |',
    )
    print('| --- | --- | --- | --- | --- | --- | --- |')
    const own = noScore()
    const worlds = Array.from({ length: count }, (_, i) => createWorld(noise, mean, channels, seed + i))
    for (const world of worlds) addTo(own, world.happenings, raisedBy(world, rule), channels)
    print(row('**ours**', own))
    const others = Array.from({ length: count }, (_, i) => createWorld(noise, mean, channels, seed + CALIBRATION + i))
    for (const [name, other] of Object.entries(OTHERS)) {
      print(row(name, scored(other, worlds, calibrated(other, others, rule.alertsPerWeek))))
    }
  }
}

if (parts.has('outbreaks')) {
  print(
    '\n| Outbreaks in weekly counts | False positive rate | Detected | Positive predictive value |\n| --- | --- | --- | --- |',
  )
  for (const { detector, falsePositiveRate, detected, positivePredictive } of noufaily(20, seed)) {
    print(`| ${[detector, falsePositiveRate.toFixed(3), two(detected), two(positivePredictive)].join(' | ')} |`)
  }
}

if (!parts.has('nab')) print('\nNAB: left out')
else if (values.nab === '') print('\nNAB: not measured, no folder was given (--nab FOLDER or NAB)')
else {
  const files = readNab(values.nab)
  print('\n| NAB: scorer proven | Profile | Ours | Published |\n| --- | --- | --- | --- |')
  for (const { detector, profile, ours, published } of prove(values.nab, files)) {
    print(`| ${[detector, profile, ours.toFixed(2), published.toFixed(2)].join(' | ')} |`)
  }
  const scores = files.map(ourScores)
  for (const [profile, weights] of Object.entries(profilesOf(values.nab))) {
    print(`| our detector, untuned | ${profile} | ${nabScore(files, scores, weights).score.toFixed(2)} | |`)
  }
}

if (parts.has('load')) {
  const load = execFileSync(process.execPath, ['--expose-gc', fileURLToPath(new URL('load.ts', import.meta.url))], {
    encoding: 'utf8',
  })
  print(`\nJudging: ${load.trim()}`)
}
