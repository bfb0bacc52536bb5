import type { Refusals } from '../relay-yaml.ts'
import { exec, http, slack } from './section-text.ts'

const ULTRAVOX = 'ultravox: { apiKey: a-key }\n'

export const attachmentRefusals: Refusals = {
  'something attached with nowhere to fetch it from': {
    yaml: http('▸attach: [transcript]'),
    path: 'targets.crm.attach',
    words: /add ultravox: \{ apiKey: \$\{ULTRAVOX_API_KEY\} \}/,
  },
  'something attached that is switched off': {
    yaml: `ultravox: { apiKey: a-key, enrich: { recording: false } }\n${http('attach: [transcript, ▸recording]')}`,
    path: 'targets.crm.attach[1]',
    words: /write ultravox\.enrich\.recording: true, or remove it here/,
  },
  'something attached that there is not': {
    yaml: ULTRAVOX + http('attach: [▸transcripts]'),
    path: 'targets.crm.attach[0]',
    words: /must be one of transcript, recording/,
  },
  'a recording attached to a Slack message': {
    yaml: ULTRAVOX + slack('attach: [▸recording]'),
    path: 'targets.crm.attach[0]',
    words: /must be transcript: a recording cannot/,
  },
  'a form for a recording that is not attached': {
    yaml: ULTRAVOX + http('attach: [transcript], ▸recordingAs: file'),
    path: 'targets.crm.recordingAs',
    words: /write attach: \[recording\]/,
  },
  'a signature over a recording as a file': {
    yaml:
      ULTRAVOX +
      http('attach: [recording], recordingAs: file, ▸sign: { scheme: ultravox, secrets: [a-long-enough-secret] }'),
    path: 'targets.crm.sign',
    words: /write recordingAs: url/,
  },
  'a content type beside a recording as a file': {
    yaml: ULTRAVOX + http('attach: [recording], recordingAs: file, headers: { ▸Content-Type: text/plain }'),
    path: 'targets.crm.headers.Content-Type',
    words: /is multipart\/form-data/,
  },
  'a recording as a file for a program of another user': {
    yaml: ULTRAVOX + exec(`command: [sh], attach: [recording], recordingAs: file, ▸user: "${process.getuid?.() ?? 0}"`),
    path: 'targets.crm.user',
    words: /could not read a recording/,
  },
}
