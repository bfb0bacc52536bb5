// Every kind of log that cannot be written, where the suite tries four.
process.env.ALL_CASES = '1'

await import('../daemon/unwritable-log.test.ts')

export {}
