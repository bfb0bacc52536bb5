import { basename, dirname, join } from 'node:path'

/**
 * The file whose lock makes a daemon the only one on the outbox at `path`, which is free of symbolic links. Its name begins with
 * a dot so that it stays where `mv relay.db*` or `rm relay.db*` takes the outbox away: a relay that starts then finds that there
 * was one, and does not create another.
 */
export const lockFileOf = (path: string): string => join(dirname(path), `.${basename(path)}.lock`)
