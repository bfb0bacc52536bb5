// What the suite tries a little, tried more: see each for what it mangles.
process.env.RUNS ??= '1500'

await import('../config/fuzz.test.ts')
await import('../ingest/fuzz.test.ts')
await import('../ingest/signature-matrix.test.ts')
await import('../sources/signature-clocks.test.ts')
await import('../targets/hostile-answers.test.ts')
await import('../daemon/admin-fuzz.test.ts')

export {}
