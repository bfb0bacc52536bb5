import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { sink, sources } from '../daemon/operator-commands.ts'
import { MAIN, writeConfig } from '../daemon/relay-process.ts'
import { scratch } from '../scratch.ts'

const SECRETS_FILE = fileURLToPath(new URL('../../src/config/secrets-file.js', import.meta.url))
const SECRET = fileURLToPath(new URL('../../src/domain/secret.js', import.meta.url))
/** What `webhooks ensure` does with a secret that it has made. */
const ADD_SECRET = `
  import { addToSecretsFile } from '${SECRETS_FILE}'
  import { Secret } from '${SECRET}'
  const path = process.argv[1]
  try { addToSecretsFile(path, new Secret('whsec_0123456789abcdef'), path) } catch (error) { console.log(error.message) }`

const canMount =
  process.getuid?.() === 0 && existsSync('/etc/fstab') && spawnSync('unshare', ['-m', 'true']).status === 0

t.test(
  'a relay whose volume is in fstab and not mounted creates nothing below its mount point',
  { skip: !canMount && 'needs root, unshare and /etc/fstab' },
  async (t) => {
    const directory = scratch(t)
    const volume = join(directory, 'volume')
    mkdirSync(volume)
    mkdirSync(join(directory, 'backups'))
    const fstab = join(directory, 'fstab')
    writeFileSync(fstab, `tmpfs ${volume} tmpfs defaults,nofail 0 0\ntmpfs ${directory}/backups tmpfs defaults 0 0\n`)
    const config = writeConfig(directory, {
      sources,
      targets: { crm: sink },
      routes: [{ events: ['*'], to: ['crm'] }],
      outbox: { path: './volume/data/relay.db' },
    })
    const relay = `${process.execPath} ${MAIN}`
    // The mount comes and goes in a namespace of its own, and with it.
    const script = `
      mount --bind ${fstab} /etc/fstab || exit 1
      ${relay} serve --config ${config}; echo "unmounted: $?"
      ${relay} doctor --config ${config}; ls ${volume}
      ${process.execPath} --input-type=module -e "${ADD_SECRET}" ${volume}/secrets
      mount ${volume} || exit 1
      ${relay} serve --config ${config} >${directory}/log & pid=$!
      until grep -q '"relay started"' ${directory}/log; do kill -0 $pid || exit 1; sleep 0.05; done
      kill $pid; wait $pid; echo "mounted: $?"; ls ${volume}/data
      ${relay} backup ${volume}/copy.db --config ${config}
      ${relay} backup ${directory}/backups/copy.db --config ${config}; echo "backup: $?"
      cp ${volume}/copy.db ${directory}/copy.db
      umount ${volume} || exit 1
      ${relay} restore ${directory}/copy.db --yes --config ${config}; echo "restore: $?"
      ${relay} serve --config ${config}; echo "unmounted again: $?, $(ls -A ${volume} | wc -l) files"
      ${relay} serve --create --config ${config} >${directory}/log2 & pid=$!
      until grep -q '"relay started"' ${directory}/log2; do kill -0 $pid || exit 1; sleep 0.05; done
      kill $pid; wait $pid; cat ${directory}/log2`
    const { stdout, stderr } = await promisify(execFile)('unshare', ['-m', 'sh', '-c', script])
    const named = `${volume} is in /etc/fstab but not mounted`
    t.match(stderr, new RegExp(`there is no outbox at ${volume}/data/relay.db, and ${named}`))
    t.match(stdout, /^unmounted: 1$/m)
    t.match(stdout, `cannot create ${volume}/secrets: ${named}`)
    t.match(stdout, `problem  outbox`)
    t.match(stdout, /^mounted: 0\nrelay\.db/m)
    t.match(stdout, /^backup: 1$/m)
    t.match(stderr, `cannot write ${directory}/backups/copy.db: ${directory}/backups is in /etc/fstab`)
    t.match(stdout, /^restore: 1$/m)
    t.match(stderr, `cannot restore to ${volume}/data/relay.db: ${named}`)
    t.match(stdout, /^unmounted again: 1, 0 files$/m)
    t.match(stdout, /"mountPoint":"\S+volume","msg":"volume of the outbox not mounted"/)
    t.same(readdirSync(volume), ['data'], 'nothing but what --create has made')
    t.same(readdirSync(join(directory, 'backups')), [])
  },
)

t.test(
  'a disk that is full is named as such, however SQLite reports it',
  { skip: !canMount && 'needs root' },
  async (t) => {
    const volume = join(scratch(t), 'volume')
    mkdirSync(volume, { mode: 0o700 })
    const probe = fileURLToPath(new URL('../../src/outbox/sqlite/storage-probe.js', import.meta.url))
    const script = `
    import { storageProblem } from '${probe}'
    import { writeFileSync } from 'node:fs'
    for (let free = 0; free <= 16; free += 1) {
      writeFileSync('${volume}/fill', Buffer.alloc((64 - free) * 4_096))
      console.log(free, storageProblem('${volume}/relay.db')?.message)
    }`
    const { stdout } = await promisify(execFile)('unshare', [
      '-m',
      'sh',
      '-c',
      `mount -t tmpfs -o size=256k none ${volume} && exec ${process.execPath} --input-type=module -e "${script}"`,
    ])
    const lines = stdout.trim().split('\n')
    t.match(
      lines,
      Array(17).fill(/^\d+ (no file can be written in .*no space left|its disk is full.*make room|undefined$)/),
    )
    t.match(lines[0], 'no space left')
    t.match(lines[6], 'its disk is full')
    t.match(lines[16], 'undefined')
  },
)
