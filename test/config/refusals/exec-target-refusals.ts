import type { Refusals } from '../relay-yaml.ts'
import { exec } from './section-text.ts'

export const execTargetRefusals: Refusals = {
  'a command that is text': {
    yaml: exec('command: ▸./a.sh --json'),
    path: 'targets.crm.command',
    words: /must be a list of the program and its arguments/,
  },
  'an empty command': {
    yaml: exec('command: ▸[]'),
    path: 'targets.crm.command',
    words: /must be a list of the program/,
  },
  'a command that is not there': {
    yaml: exec('command: [▸./a.sh]'),
    path: 'targets.crm.command[0]',
    words: /no file \.\/a\.sh in \/.*relative to the configuration file/,
  },
  'a command that is not executable': {
    yaml: exec('command: [▸./a.sh]'),
    path: 'targets.crm.command[0]',
    words: /chmod \+x/,
    files: { 'a.sh': '' },
  },
  'a program that is not in PATH': {
    yaml: exec('command: [▸no-such-program-here]'),
    path: 'targets.crm.command[0]',
    words: /not in PATH/,
  },
  'a variable of the relay': {
    yaml: exec('command: [sh], env: { ▸RELAY_EVENT: x }'),
    path: 'targets.crm.env.RELAY_EVENT',
    words: /start with RELAY_ are taken/,
  },
  'a variable that tells of the trace': {
    yaml: exec('command: [sh], passEnv: [▸TRACESTATE]'),
    path: 'targets.crm.passEnv[0]',
    words: /set by the relay itself/,
  },
  'a variable name that is none': {
    yaml: exec('command: [sh], passEnv: [▸A-B]'),
    path: 'targets.crm.passEnv[0]',
    words: /no environment variable name/,
  },
  'a variable both given and passed on': {
    yaml: exec('command: [sh], env: { A: x }, passEnv: [▸A]'),
    path: 'targets.crm.passEnv[0]',
    words: /in env too/,
  },
  'a user that is no name': {
    yaml: exec('command: [sh], user: ▸"a b"'),
    path: 'targets.crm.user',
    words: /a name or a number/,
  },
  'a group that is a list': {
    yaml: exec('command: [sh], user: 1, group: ▸[staff]'),
    path: 'targets.crm.group',
    words: /a name or a number/,
  },
}
