/**
 * `/docs/`: the endpoints for people, written from the same schemas as `/openapi.json`. No scripts and nothing from elsewhere: calls are links, and each
 * endpoint has a form that asks it, which works because an empty parameter is as absent.
 */
import { ENDPOINTS, type Endpoint } from './endpoints.ts'
import { type Parameter, parametersOf, SHOWN_BASE } from './openapi.ts'

export function docsPage(version: string): string {
  const endpoints: readonly Endpoint[] = Object.values(ENDPOINTS)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Colloquy: API</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>Colloquy: API <small>${escaped(version)}</small></h1>
<p>Every path takes GET. For programs the same is at <a href="/openapi.json">/openapi.json</a>; the <a href="/ui/">console</a> shows it.
Errors are <code>{"error_code": 400, "message": "…"}</code>, below <code>/v1/bots</code> and <code>/v1/teams</code> with <code>code</code> and <code>details</code> beside them, and the message names the parameter and what it takes. With <code>http.token</code>, requests carry
<code>Authorization: Bearer TOKEN</code>, or Basic with the token as password. Answers have an <code>ETag</code>, and are packed with br or gzip where the client takes that.</p>
<nav><ul>${endpoints.map(({ path, operationId, summary }) => `<li><a href="#${operationId}"><code>${escaped(path)}</code></a> ${escaped(summary)}</li>`).join('')}</ul></nav>
${endpoints.map(section).join('\n')}
</main>
</body>
</html>
`
}

function section(endpoint: Endpoint): string {
  const { path, operationId, summary, description, answers, calls } = endpoint
  const parameters = parametersOf(endpoint)
  const samples = calls.map(
    ({ call, shows }) =>
      `<li>${escaped(shows)}: <a href="${escaped(call)}"><code>${escaped(call)}</code></a><pre>curl '${escaped(SHOWN_BASE + call)}'</pre></li>`,
  )
  const types = Object.entries(answers).map(
    ([type, named]) => `<code>${escaped(type)}</code> (${Object.keys(named).join(' or ')})`,
  )
  return `<section id="${operationId}">
<h2><code>GET ${escaped(path)}</code> ${escaped(summary)}</h2>
<p>${marked(description)}</p>
${parameters.length === 0 ? '<p>It takes no parameters.</p>' : parameterTable(parameters)}
<p>Answers with ${types.join(', or ')}.</p>
<ul class="calls">${samples.join('')}</ul>
${parameters.some(each => each.in === 'query') ? formOf(endpoint, parameters) : ''}
</section>`
}

function parameterTable(parameters: readonly Parameter[]): string {
  const rows = parameters.map(
    parameter =>
      `<tr><td><code>${escaped(parameter.name)}</code>${parameter.required ? ' <em>required</em>' : ''}</td><td>${marked(parameter.description)}</td><td>${takes(parameter)}</td></tr>`,
  )
  return `<div class="table"><table><thead><tr><th>Parameter</th><th>Meaning</th><th>Takes</th></tr></thead><tbody>${rows.join('')}</tbody></table></div>`
}

/** Values, default and examples of a parameter. */
function takes({ schema }: Parameter): string {
  const words = wordsOf(schema)
  const initial = inQuery(schema['default'] ?? '')
  const examples = (schema['examples'] as unknown[] | undefined) ?? []
  return [
    ...(words.length > 0 ? [words.map(code).join(', ')] : []),
    ...(initial === '' ? [] : [`default ${code(initial)}`]),
    ...(examples.length > 0 ? [`such as ${examples.map(example => code(inQuery(example))).join(', ')}`] : []),
  ].join('; ')
}

function formOf({ path, inPath }: Endpoint, parameters: readonly Parameter[]): string {
  const inputs = parameters
    .filter(each => each.in === 'query')
    .map(({ name, required, schema }) => {
      const words = wordsOf(schema)
      const needed = required ? ' required' : ''
      const input =
        words.length > 0 && schema['type'] === 'string'
          ? `<select name="${name}"><option></option>${words.map(word => `<option>${escaped(String(word))}</option>`).join('')}</select>`
          : `<input name="${name}" placeholder="${escaped(inQuery((schema['examples'] as unknown[] | undefined)?.[0] ?? ''))}"${needed}>`
      return `<label>${name} ${input}</label>`
    })
  // A form has one address: one for each value that the part of the path may have.
  const [part, ...more] = Object.keys(inPath.shape)
  const places =
    part === undefined
      ? [path]
      : wordsOf(parameters.find(({ name }) => name === part)?.schema ?? {}).map(word => path.replace(`{${part}}`, String(word)))
  // A part that may be anything cannot be filled in without a script: the calls above show how.
  if (places.length === 0 || more.length > 0) return ''
  const buttons = places.map(place => `<button formaction="${escaped(place)}">GET ${escaped(place)}</button>`)
  return `<details><summary>Try it</summary><form method="get">${inputs.join('')}<div>${buttons.join('')}</div></form></details>`
}

/** The closed set of values, also of a list's items; empty where there is none. */
function wordsOf(schema: Parameter['schema']): readonly unknown[] {
  const items = (schema['items'] ?? {}) as Parameter['schema']
  return ((schema['enum'] ?? items['enum']) as unknown[] | undefined) ?? []
}

/** A value as it stands in a query. */
export const inQuery = (value: unknown): string =>
  Array.isArray(value) ? value.map(each => String(each).replaceAll(/[\\,]/g, '\\$&')).join(',') : String(value)

const code = (value: unknown) => `<code>${escaped(String(value))}</code>`

/** Text with code between backticks. */
const marked = (text: string) => escaped(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
const escaped = (text: string) => text.replaceAll(/[&<>"']/g, sign => ESCAPES[sign] ?? sign)

const STYLE = `
:root { color-scheme: light dark; --ink: #1c2524; --soft: #64716f; --line: #dfe5e3; --ground: #f6f8f7; --card: #fff; --accent: #2f7d6b }
@media (prefers-color-scheme: dark) { :root { --ink: #e4ebe9; --soft: #93a19e; --line: #2b3533; --ground: #131817; --card: #1b2221; --accent: #5fbfa6 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 48px }
h1 { font-size: 22px } h1 small { color: var(--soft); font-weight: 400 } h2 { font-size: 17px; margin: 0 0 8px }
a { color: var(--accent) } em { color: var(--soft) }
code, pre { font: 13px/1.5 ui-monospace, monospace; overflow-wrap: anywhere }
pre { background: var(--ground); border: 1px solid var(--line); border-radius: 6px; padding: 8px 10px; margin: 4px 0 12px; white-space: pre-wrap }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin: 18px 0 }
.table { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line) } th { color: var(--soft); font-weight: 500 }
ul.calls { padding-left: 18px }
form { display: grid; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); gap: 10px; margin-top: 12px }
label { display: grid; font-size: 13px; color: var(--soft) } form div { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: 8px }
input, select, button { font: inherit; color: inherit; background: var(--ground); border: 1px solid var(--line); border-radius: 6px; padding: 5px 8px }
button { color: var(--accent); cursor: pointer }
`
