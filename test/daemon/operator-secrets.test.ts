import t from 'tap'
import { scratch } from '../scratch.ts'
import { commandsIn, fill } from './operator-commands.ts'
import { writeConfig } from './relay-process.ts'

t.test(
  'commands on the outbox need neither the secrets nor the programs of the relay, and do not tell of them',
  async (t) => {
    const directory = scratch(t)
    const { run } = commandsIn(directory)
    writeConfig(directory, {
      sources: { ultravox: { scheme: 'ultravox', secrets: ['${ULTRAVOX_WEBHOOK_SECRET}'] }, open: { scheme: 'none' } },
      targets: { crm: { type: 'http', url: '${CRM_URL}' }, hook: { type: 'exec', command: ['./not-here'] } },
      routes: [{ events: ['*'], when: "$not(call.endReason = 'unjoined')", to: ['crm', 'hook'] }],
    })
    const [id] = await fill(directory, [{}], ['crm'], 'dead')
    const looks = ['events list', 'deliveries list', 'deliveries show 1', 'targets list']
    await Promise.all(
      looks.map(async (line) => t.match(await run(line), { code: 0, stdout: /crm|call\./, stderr: '' }, line)),
    )
    t.match(await run('targets pause crm'), { code: 0, stdout: /crm is paused/, stderr: '' })
    t.match(await run('deliveries retry 1 --yes'), { code: 0, stdout: /1 delivery to crm queued for retry/ })
    t.match(await run(`events replay ${id} --yes`), { code: 0, stdout: /crm 1, hook 1/ })
    t.match(await run('check'), { code: 2, stderr: /ULTRAVOX_WEBHOOK_SECRET.*not set/ })
  },
)
