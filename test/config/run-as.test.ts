import t, { type Test } from 'tap'
import { findGroup, findUser } from '../../src/config/accounts.ts'
import { exec } from './refusals/section-text.ts'
import { load, refuses } from './relay-yaml.ts'

/** The configuration only asks who the relay runs as; what that user can do is tested with the target. */
function startedAs(t: Test, uid: number): void {
  t.intercept(process, 'getuid', { value: () => uid, configurable: true })
}

const runAsOf = (t: Test, rest: string) => {
  const { crm } = load(t, exec(`command: [sh], ${rest}`)).config.targets
  return crm?.type === 'exec' ? crm.runAs : undefined
}

t.test('a user is found by name or number, with its group and its home', async (t) => {
  startedAs(t, 0)
  const root = { uid: 0, gid: 0, home: '/root' }
  t.strictSame(runAsOf(t, 'user: root'), root)
  t.strictSame(runAsOf(t, 'user: 0'), root)
  t.strictSame(runAsOf(t, 'user: "0"'), root)
  t.strictSame(findUser('daemon'), { uid: 1, gid: 1, home: '/usr/sbin' })
})

t.test('a group of its own comes before that of the user', async (t) => {
  startedAs(t, 0)
  t.strictSame(runAsOf(t, 'user: root, group: daemon'), { uid: 0, gid: 1, home: '/root' })
  t.strictSame(runAsOf(t, 'user: 64321, group: 64322'), { uid: 64_321, gid: 64_322, home: null })
})

t.test('names that are not there are none', async (t) => {
  t.equal(findUser('no-such-user'), undefined)
  t.equal(findGroup('no-such-group'), undefined)
  t.strictSame(findUser('64321'), { uid: 64_321, gid: null, home: null })
})

t.test('without either a program runs as the relay does', async (t) => {
  startedAs(t, 1000)
  t.equal(runAsOf(t, 'concurrency: 1'), null)
})

const REFUSED = {
  'a user that is not there': ['user: ▸no-such-user', 'user', /no user of this name/],
  'a group that is not there': ['user: root, group: ▸no-such-group', 'group', /no group of this name/],
  'a group without a user': ['▸group: daemon', 'group', /rights of root: write user too/],
  'a number of which no group is known': ['user: ▸64321', 'user', /write group too/],
} as const

for (const [mistake, [rest, key, words]] of Object.entries(REFUSED)) {
  t.test(`${mistake} is told`, async (t) => {
    startedAs(t, 0)
    refuses(t, { yaml: exec(`command: [sh], ${rest}`), path: `targets.crm.${key}`, words })
  })
}

t.test('changing the user takes a relay that is started as root', async (t) => {
  startedAs(t, 1000)
  const words = /only be changed to where the relay is started as root/
  refuses(t, { yaml: exec('command: [sh], ▸user: root'), path: 'targets.crm.user', words })
  refuses(t, { yaml: exec('command: [sh], ▸group: daemon'), path: 'targets.crm.group', words })
})
