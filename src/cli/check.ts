import { Command } from 'commander'
import { formatProblem } from '../config/problem.ts'
import { exitStatus, RelayError } from '../domain/errors.ts'
import { configFile, configOption, loadOrProblems, loadTold } from './config-file.ts'
import { writeError, writeJson, writeOut } from './output.ts'
import { examples, jsonOption } from './printing.ts'

/** Loads everything and starts nothing: 0 valid, 2 not. */
export function checkCommand(): Command {
  return new Command('check')
    .description('check the configuration and say everything that is wrong with it')
    .argument('[file]', 'the configuration, as --config')
    .addOption(configOption())
    .addOption(jsonOption())
    .addHelpText('after', examples('check', 'check /etc/ultravox-relay/relay.yaml', 'check -c relay.yaml --json'))
    .action((named: string | undefined, options: { config?: string; json?: boolean }) => {
      if (named !== undefined && options.config !== undefined)
        throw new RelayError('usage', 'name the configuration once: as the argument or with --config')
      const file = configFile(named ?? options.config)
      if (options.json === true) return printVerdict(file)
      const { config, notes } = loadTold(file, process.env, 'daemon')
      for (const note of notes) writeError(`note: ${formatProblem(note)}\n`)
      const counts = [
        count(Object.keys(config.sources).length, 'source'),
        count(Object.keys(config.targets).length, 'target'),
        count(config.routes.length, 'route'),
      ]
      writeOut(`${file} is valid: ${counts.join(', ')}\n`)
    })
}

/** The same for scripts: whether it is valid, and all that is to be said of it with its place. */
function printVerdict(file: string): void {
  const loaded = loadOrProblems(file, 'daemon')
  const problems = 'problems' in loaded ? loaded.problems : []
  const { warnings, notes } = 'problems' in loaded ? { warnings: [], notes: [] } : loaded
  writeJson({ file, valid: problems.length === 0, problems, warnings, notes }, 2)
  if (problems.length > 0) process.exitCode = exitStatus('config_invalid')
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
