import t from 'tap'
import { callIdOf, parsePayload } from '../../src/domain/event.ts'
import { LIFECYCLE_EVENTS, sampleEvent } from '../../src/domain/sample-event.ts'

const NOW = Date.UTC(2026, 0, 15, 12)

/** The required properties of schema `Call` in the provider's OpenAPI file of mid-2026. */
const REQUIRED = `agent agentId billedDuration billedSideInputTokens billedSideOutputTokens billingStatus callId
  clientVersion created endReason ended experimentalSettings firstSpeaker firstSpeakerSettings initialOutputMedium
  initialState joinUrl joined metadata requestContext shortSummary sipDetails summary`.split(/\s+/)

/** Its other properties. */
const OPTIONAL = `inactivityMessages joinTimeout languageHint maxDuration medium model recordingEnabled retentionPolicy
  systemPrompt temperature timeExceededMessage voice externalVoice voiceOverrides transcriptOptional vadSettings
  dataConnectionConfig callbacks`.split(/\s+/)

const BILLING_STATUSES = ['BILLING_STATUS_PENDING', 'BILLING_STATUS_BILLED']

const callOf = (event: string) => sampleEvent(event, 'c-1', NOW).call

t.test('the lifecycle events are the provider’s, in the order of a call', async (t) => {
  t.same(LIFECYCLE_EVENTS, ['call.started', 'call.joined', 'call.ended', 'call.billed'])
})

for (const event of [...LIFECYCLE_EVENTS, 'call.something.new']) {
  t.test(`a sample of ${event} has the fields of the provider's Call, and only those`, async (t) => {
    const names = Object.keys(callOf(event))
    t.same(
      REQUIRED.filter((name) => !names.includes(name)),
      [],
      'none is missing',
    )
    t.same(
      names.filter((name) => ![...REQUIRED, ...OPTIONAL].includes(name)),
      [],
      'none is invented',
    )
  })

  t.test(`a sample of ${event} is a payload with its name and call id, and survives JSON`, async (t) => {
    const sample = sampleEvent(event, 'c-1', NOW)
    const parsed = parsePayload(Buffer.from(JSON.stringify(sample)))
    t.same(parsed, { payload: sample })
    if ('payload' in parsed) t.equal(callIdOf(parsed.payload), 'c-1')
    t.equal(sample.event, event)
  })

  t.test(`a sample of ${event} is of the types of the provider's Call`, async (t) => {
    const call = callOf(event)
    t.ok(BILLING_STATUSES.includes(call.billingStatus as string))
    t.ok([null, 'hangup'].includes(call.endReason as string | null))
    t.match(call.agent, { agentId: call.agentId, name: String })
    for (const value of Object.values(call.metadata as object)) t.type(value, 'string')
    const times = [call.created, call.joined, call.ended].filter((time) => time !== null) as string[]
    for (const time of times) t.equal(new Date(time).toISOString(), time)
    t.same(times, [...times].sort(), 'in order')
    t.ok(Date.parse(times.at(-1)!) <= NOW, 'not in the future')
  })
}

t.test('what a sample has reached depends on its event', async (t) => {
  const reached = (event: string) => {
    const { joined, ended, endReason, summary, shortSummary, clientVersion, billedDuration, billingStatus } =
      callOf(event)
    const told = [ended, endReason, summary, shortSummary].map((value) => value !== null)
    t.equal(new Set(told).size, 1, 'all that comes with the end comes together')
    t.equal(clientVersion !== null, joined !== null)
    t.equal(billedDuration !== null, billingStatus === 'BILLING_STATUS_BILLED')
    return { joined: joined !== null, ended: ended !== null, billed: billedDuration !== null }
  }
  t.same(reached('call.started'), { joined: false, ended: false, billed: false })
  t.same(reached('call.joined'), { joined: true, ended: false, billed: false })
  t.same(reached('call.ended'), { joined: true, ended: true, billed: false })
  t.same(reached('call.billed'), { joined: true, ended: true, billed: true })
  t.same(reached('call.something.new'), { joined: true, ended: true, billed: false })
})

t.test('a sample that has ended lasted three minutes from joined to ended', async (t) => {
  const { joined, ended, billedDuration } = callOf('call.billed') as Record<string, string>
  t.equal(Date.parse(ended!) - Date.parse(joined!), 180_000)
  t.equal(billedDuration, '180s')
})

t.test('a sample holds no join address and nobody’s number', async (t) => {
  t.equal(callOf('call.joined').joinUrl, null)
  t.same(callOf('call.joined').medium, { webRtc: {} })
})
