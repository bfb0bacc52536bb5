import { randomBytes } from 'node:crypto'
import { existsSync, lstatSync, readFileSync } from 'node:fs'
import { basename, dirname, extname, join, relative, resolve } from 'node:path'
import { Command } from 'commander'
import { HOME_PROBLEM, isHomePath } from '../config/home-path.ts'
import { RelayError } from '../domain/errors.ts'
import { createFile } from '../safe-file.ts'
import { PACKAGE_ROOT } from '../version.ts'
import { examples, jsonOption, note, print } from './printing.ts'

/** Writes a configuration to start with, and a secret for its source beside it. */
export function initCommand(): Command {
  return new Command('init')
    .description('write a configuration to start with, and a fresh webhook secret in a file beside it')
    .argument('[file]', 'the configuration to write', 'relay.yaml')
    .addOption(jsonOption())
    .addHelpText('after', examples('init', 'init /etc/ultravox-relay/relay.yaml'))
    .action((file: string, options: { json?: boolean }) => {
      const secretFile = join(dirname(file), `${basename(file, extname(file))}.secret`)
      for (const each of [file, secretFile]) {
        // Also a symbolic link that leads nowhere.
        if (lstatSync(each, { throwIfNoEntry: false }) !== undefined) throw alreadyThere(each)
      }
      if (isHomePath(file)) throw new RelayError('usage', `${file} ${HOME_PROBLEM}`)
      if (!existsSync(dirname(file))) {
        throw new RelayError(
          'file_unwritable',
          `cannot write ${file}: there is no directory ${dirname(file)}: make it first`,
        )
      }
      createFile(secretFile, `${randomBytes(24).toString('hex')}\n`, 0o600)
      createFile(file, initialConfig(file, secretFile), 0o644)
      print(options.json, { config: file, secretFile }, `${file}\n${secretFile}\n`)
      note(nextSteps(file, secretFile))
    })
}

/**
 * The example with a secret of its own. What it refers to in the package is found from there, wherever the file is to be.
 */
export function initialConfig(file: string, secretFile: string): string {
  const example = readFileSync(join(PACKAGE_ROOT, 'relay.example.yaml'), 'utf8')
  const toPackage = relative(dirname(resolve(file)), PACKAGE_ROOT)
  const inPackage = toPackage === '' ? './' : toPackage.startsWith('..') ? PACKAGE_ROOT : `./${toPackage}/`
  return example
    .replaceAll('./config/', () => `${inPackage}config/`)
    .replace(/^# +cp relay\.example\.yaml .*\n#\n/m, '')
    .replace(/^( *# The secret of that webhook\.).*\n( *secrets: ).*$/m, (_, comment: string, key: string) =>
      [`${comment} Who can read the file can send events.`, `${key}["\${file:./${basename(secretFile)}}"]`].join('\n'),
    )
}

function alreadyThere(file: string): RelayError {
  return new RelayError(
    'file_exists',
    `there is a file ${file} already, which is left as it is: name another, or move it away`,
  )
}

function nextSteps(file: string, secretFile: string): string {
  const option = file === 'relay.yaml' ? '' : ` --config ${file}`
  return `
Next:
  1. Look through ${file}: where events go is in targets and routes.
  2. Register https://YOUR.HOST/webhooks/ultravox as a webhook at Ultravox, with the secret in ${secretFile}
     (its API takes it as "secrets": ["..."]; the README has the request).
  3. ultravox-relay serve${option}
  4. From another terminal, send it a signed sample: ultravox-relay trigger call.ended${option}`
}
