import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { scratch } from '../scratch.ts'
import { load, problemsOf } from './relay-yaml.ts'

const YAML = 'targets:\n  hook: { type: exec, command: [./hook] }\nroutes: [{ events: ["*"], to: [hook] }]\n'

/** What `check` says of a hook with this content. */
function judge(t: Test, content: string | Buffer, yaml = YAML) {
  const directory = scratch(t)
  const hook = join(directory, 'hook')
  writeFileSync(hook, content)
  chmodSync(hook, 0o755)
  const absolute = yaml.replace('./hook', hook)
  const problems = problemsOf(t, absolute)
  return problems.length > 0 ? problems : load(t, absolute).warnings
}

const REJECTED: Readonly<Record<string, RegExp>> = {
  '#!/bin/sh\r\necho hi\r\n': /Windows line ends.*sed -i/,
  '#!/usr/bin/env bash\r\n': /Windows line ends/,
  '#!/opt/none/python3\n': /asks for the interpreter \/opt\/none\/python3/,
  '#!/etc\n': /asks for the interpreter \/etc/,
  '#!/usr/bin/env none-such-program\n': /asks env for none-such-program/,
  '#!/usr/bin/env -S none-such-program --flag\n': /asks env for none-such-program/,
  '#!/usr/bin/env sh -e\n': /write #!\/usr\/bin\/env -S sh -e/,
  '#!/usr/bin/env\n': /asks env for no program/,
  '#!\n': /names no interpreter/,
  '\ufeff#!/bin/sh\n': /byte order mark/,
  [`#!/bin/${'x'.repeat(300)}\n`]: /cut off/,
}

t.test('a program whose first line keeps it from starting is rejected, with what to do', async (t) => {
  for (const [content, words] of Object.entries(REJECTED)) {
    t.match(judge(t, content), [{ path: 'targets.hook.command[0]', message: words }], JSON.stringify(content))
  }
})

t.test('a program that does not say how it is run is warned about', async (t) => {
  for (const content of ['echo hi\n', '']) {
    t.match(judge(t, content), [{ path: 'targets.hook.command[0]', message: /write #!\/bin\/sh/ }])
  }
})

t.test('programs that start are taken without a word', async (t) => {
  const contents = [
    '#!/bin/sh\n',
    '#! /bin/sh -e\nx\r\n',
    '#!/usr/bin/env sh',
    '#!/usr/bin/env -S A=1 sh -e\n',
    '#!/usr/bin/env -S -i sh\n',
  ]
  for (const content of contents) t.same(judge(t, content), [], JSON.stringify(content))
  t.same(judge(t, Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 0])), [])
})

t.test('env looks in the PATH that the program is given', async (t) => {
  const yaml = YAML.replace('[./hook]', '[./hook], env: { PATH: /none }')
  t.match(judge(t, '#!/usr/bin/env sh\n', yaml), [{ message: /asks env for sh/ }])
})

t.test('no path may begin with "~", which only a shell replaces', async (t) => {
  const http = (rest: string) => `targets:\n  crm: { type: http, url: "https://x/", ${rest} }\n`
  const yamls = [
    'outbox: { path: ~/relay.db }\n',
    'outbox: { path: "~relay/relay.db" }\n',
    'sources:\n  a: { scheme: ultravox, secretsFile: ~/ultravox.secrets }\n',
    'sources:\n  a: { scheme: ultravox, secrets: ["${file:~/secret}"] }\n',
    'admin: { listen: "unix:~/admin.sock" }\n',
    'targets:\n  hook: { type: exec, command: [~/hook] }\nroutes: [{ events: ["*"], to: [hook] }]\n',
    http('socketPath: ~/app.sock'),
    http('tls: { ca: ~/ca.pem }'),
    'server: { tls: { cert: ~/cert.pem, key: ~/key.pem } }\n',
  ]
  for (const yaml of yamls) {
    const problems = problemsOf(t, yaml)
    t.ok(problems.length > 0, yaml)
    for (const { message } of problems) t.match(message, /"~", which only a shell replaces: write the whole path/)
  }
})
